"""`gittrack hooks`: install git hooks, take them away, and show how they stand."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Iterator, Sequence

from gittrack.cli import arguments
from gittrack.cli.exchanging import near
from gittrack.cli.output import Output
from gittrack.cli.output.text import safe, safe_lines
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_FIXABLE, EXIT_OK
from gittrack.repo import Repo
from gittrack.store.hooks import Hook

HELP = "Install git hooks beside those that are there, take them away, or show how they stand."
EXAMPLE = "gittrack hooks install"

_VERBS = {
    "install": Repo.install_hooks,
    "uninstall": Repo.uninstall_hooks,
}
#: States in which what was asked for is left to the user.
_UNDONE = ("blocked", "elsewhere", "left")
#: Of these `install` makes `installed`.
_TO_INSTALL = ("missing", "stale")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `hooks`."""
    parser.add_argument(
        "verb", nargs="?", choices=("status", *_VERBS), default="status", help="default: status"
    )
    arguments.add_dry_run(parser)
    parser.add_argument("--format", choices=("json",), help="a form other than the usual one")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it; 1 if something is left to do by hand."""
    installable = False
    with open_repo(out) as repo:
        if args.verb == "status":
            hooks = repo.hooks_status()
            installable = any(hook.state in _TO_INSTALL for hook in hooks) and not repo.is_bare
        else:
            hooks = _VERBS[args.verb](repo, dry_run=args.dry_run)
    if args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json([hook._asdict() for hook in hooks]))
    else:
        out.lines(_render(hooks, dry_run=args.dry_run))
        if installable:
            out.lines(["next: gittrack hooks install"])
    undone = args.verb != "status" and any(hook.state in _UNDONE for hook in hooks)
    return EXIT_FIXABLE if undone else EXIT_OK


def _render(hooks: Sequence[Hook], *, dry_run: bool) -> Iterator[str]:
    """Hooks that stand alike on one line, and what is left to do once for each file."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for hook in hooks:
        folder, name = os.path.split(hook.path)
        place = folder if name == hook.name else hook.path
        # A reason that names a file is one hook's alone.
        groups.setdefault((hook.state, hook.why, place), []).append(hook.name)
    for (state, why, place), names in groups.items():
        would = "would be " if dry_run and state in ("written", "removed", "restored") else ""
        yield f"{would}{state} {'from' if state == 'removed' else 'in'} {near(place)}"
        yield from textwrap.wrap(
            ", ".join(names), 80, initial_indent="  ", subsequent_indent="  ",
            break_on_hyphens=False,
        )  # fmt: skip
        if why:
            yield f"  {safe(why)}"
    snippets: dict[str, str] = {}
    for hook in hooks:
        if hook.snippet:
            snippets[hook.snippet_file] = snippets.get(hook.snippet_file, "") + hook.snippet
    for file, snippet in snippets.items():
        yield f"add to {safe(file)}:"
        yield ""
        yield from (f"    {line}" for line in safe_lines(snippet))
        yield ""
