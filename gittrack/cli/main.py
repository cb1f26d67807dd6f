"""The command `gittrack`: its commands, its global options and the one error handler."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

import gittrack
from gittrack.cli.output import Output, streams
from gittrack.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    GittrackError,
    UsageError,
)

#: Name and help of every command; its module is imported when it is asked for.
COMMANDS = {
    "log": "list runs, the newest first",
    "show": "show one run, or one of its files",
    "diff": "show what differs between two runs",
    "compare": "show several runs side by side",
    "blame": "name the commit where the level of a metric shifts",
    "bisect": "find the first commit at which a condition holds",
    "history": "show who changed what of a run",
    "data": "list the datasets that runs used, and their versions",
    "experiments": "list, create, rename, delete, restore and tag experiments",
    "tag": "set and remove tags of a run",
    "note": "describe a run",
    "rename": "call a run otherwise",
    "delete": "hide runs; nothing is lost",
    "restore": "bring deleted runs back",
    "purge": "take runs out of the store for good",
    "record": "record what commits hold",
    "run": "record any program",
    "start": "begin a run that a script records step by step",
    "param": "record params of such a run",
    "metric": "record points of such a run, or a stream of them",
    "artifact": "keep files with such a run",
    "finish": "end such a run",
    "artifacts": "list, copy, check and measure the files that runs keep",
    "env": "show or compare the environments of runs",
    "scan": "look for secrets in what is not pushed yet",
    "pull": "bring the runs of a remote",
    "push": "send runs to a remote",
    "sync": "pull and push",
    "bundle": "carry runs in a file",
    "remote": "choose the remotes that get and give runs",
    "hooks": "install git hooks, take them away, show how they stand",
    "status": "show what runs, what was lost, what is not shared",
    "fsck": "check every object, file and law of the store",
    "gc": "free what no run needs",
    "checkout": "lay out exactly what ran in a new folder",
    "export": "make a commit of a run that DVC reads",
    "config": "list settings and where they come from",
    "init": "make the store in this repository",
    "recover": "take over the runs of dead processes",
    "demo": "record real runs in a throwaway repository and look at them",
    "completion": "print the completion script of a shell",
}
#: Commands whose output a person reads through a pager.
PAGED = ("log", "show", "diff", "compare", "blame", "history", "config")

#: Options whose value may begin with a dash: `--sort -metrics.acc`.
_DASHED = ("--sort", "--where", "--step")
COLORS = ("auto", "always", "never")
#: What the completion scripts call, and what git hooks do; not listed among the commands.
COMPLETE = "__complete"
HOOK = "hook"


class Command(Protocol):
    """What a module under `commands` offers."""

    HELP: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's own arguments."""

    def run(self, args: argparse.Namespace, out: Output) -> int:
        """Do it; the exit code."""


class Parser(argparse.ArgumentParser):
    """An argument parser that prints through `out` and raises its complaints."""

    def __init__(self, out: Output, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.out = out

    def format_help(self) -> str:
        """The help, as wide as the terminal and alike under every version of Python."""
        from gittrack.cli.usage import render_help, usage_of

        return "".join(f"{line}\n" for line in render_help(usage_of(self), self.out.width))

    def print_help(self, file: object = None) -> None:
        """Print the help."""
        self.out.lines(self.format_help().splitlines())

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError that names the help to read."""
        raise UsageError(message, next=f"{self.prog} --help")


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    if argv[:1] == [HOOK]:
        from gittrack.cli.commands.hook import run_hook

        return run_hook(argv[1:], os.environ)
    streams.open_closed()
    try:
        return _main(argv, Output())
    finally:
        streams.let_go()


def _main(argv: Sequence[str], out: Output) -> int:
    try:
        return _run_and_close(list(argv), out)
    except SystemExit as ended:  # argparse ends so after help
        return int(ended.code or EXIT_OK)
    except GittrackError as error:
        out.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has what it wanted.
        return EXIT_OK
    except Exception as error:
        from gittrack.cli.bug import report

        out.error(report(error, argv))
        return EXIT_BUG


def _run_and_close(argv: list[str], out: Output) -> int:
    try:
        return _run(argv, out)
    finally:
        out.close()


def _run(argv: list[str], out: Output) -> int:
    top = top_parser(out)
    args = top.parse_args(argv)
    out.set_color(args.color)
    if args.version:
        out.lines([f"gittrack {gittrack.__version__}"])
        return EXIT_OK
    if not args.command:
        top.print_help()
        return EXIT_USAGE
    name, *rest = args.command
    if name == "help":
        return _run([*rest[:1], "--help"], out)
    if name == COMPLETE:
        from gittrack.cli.completion import complete

        out.lines(complete(rest))
        return EXIT_OK
    if name not in COMMANDS:
        raise _unknown(name)
    command = load(name)
    parser = parser_for(name, command, out)
    passed: list[str] | None = None
    marks = getattr(command, "PASSES_ON", ())
    at = next((at for at, word in enumerate(rest) if word in marks), None)
    if at is not None:
        rest, passed = rest[:at], rest[at + 1 :]
    if _asks_for_help(rest):
        parser.print_help()
        return EXIT_OK
    # Options may stand anywhere, as in git: `tag RUN --delete old new=text`.
    parsed = parser.parse_intermixed_args(join_dashed(rest, parser))
    if marks:
        parsed.passed = passed
    if parsed.color:
        out.set_color(parsed.color)
    for folder in args.folders:
        _enter(folder)
    if name in PAGED and not args.no_pager:
        out.page()
    return command.run(parsed, out)


def _asks_for_help(words: Sequence[str]) -> bool:
    before = words[: words.index("--")] if "--" in words else words
    return "--help" in before or "-h" in before


def top_parser(out: Output) -> Parser:
    """The parser of what stands before the command."""
    listed = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    top = Parser(
        out,
        "gittrack",
        "Experiment tracking that lives in git.",
        f"commands:\n{listed}\n\nexample:\n  gittrack log --where 'metrics.loss < 0.3' -n 5",
    )
    top.add_argument("--version", action="store_true", help="print the version")
    top.add_argument(
        "-C", dest="folders", metavar="DIR", action="append", default=[], help="run as if in DIR"
    )
    top.add_argument("--no-pager", action="store_true", help="never use a pager")
    _add_color(top)
    top.add_argument("command", nargs=argparse.REMAINDER, help="a command and its arguments")
    return top


def load(name: str) -> Command:
    """The module of a command."""
    return cast("Command", import_module(f"gittrack.cli.commands.{name}"))


def command_parser(name: str) -> Parser:
    """The parser of the command of that name."""
    return parser_for(name, load(name), Output())


def parser_for(name: str, command: Command, out: Output) -> Parser:
    """The parser of one command, with its help and example."""
    parser = Parser(out, f"gittrack {name}", command.HELP, f"example:\n  {command.EXAMPLE}")
    command.add_arguments(parser)
    _add_color(parser)
    return parser


def _add_color(parser: Parser) -> None:
    parser.add_argument(
        "--color", metavar="WHEN", choices=COLORS, help="auto (default), always or never"
    )


def join_dashed(argv: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """`--sort -x` as `--sort=-x` and `-5` as `-n5`, which argparse would take for options."""
    # Of a parser without the option argparse would take `--where=a = 1` for a name: it has blanks.
    dashed = [option for option in _DASHED if option in parser._option_string_actions]
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in dashed:
            joined[-1] += f"={word}"
        elif word[:1] == "-" and word[1:].isascii() and word[1:].isdigit():
            joined.append(f"-n{word[1:]}")
        else:
            joined.append(word)
    return joined


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise GittrackError(
            f"cannot go to {folder}", why=error.strerror or str(error), next="gittrack -C DIR"
        ) from None


def _unknown(name: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    return UsageError(
        f"there is no command '{name}'",
        why=f"did you mean '{near[0]}'?" if near else f"there are {', '.join(COMMANDS)}",
        next=f"gittrack {near[0]}" if near else "gittrack --help",
    )
