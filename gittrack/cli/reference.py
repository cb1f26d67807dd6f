"""The reference, printed from the code: commands and settings as Markdown, and man pages.

`python -m gittrack.cli.reference docs` writes them; a test holds the files to this.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import gittrack
from gittrack.cli.main import COMMANDS, command_parser, top_parser
from gittrack.cli.output import Output
from gittrack.cli.output.columns import FACT_NAMES
from gittrack.cli.output.porcelain import LOG_COLUMNS
from gittrack.cli.output.template import COLORS, KEYED, PLACEHOLDERS
from gittrack.cli.usage import Entry, Usage, usage_of
from gittrack.config.settings import SETTINGS, VARIABLES, Setting, render_value
from gittrack.core.query import ATTRIBUTES

_MADE = "<!-- made by `python -m gittrack.cli.reference docs`; do not edit -->"

_HEAD = """\
Every command takes `--help` and `--color auto|always|never`. Before the command may stand `-C DIR`
(run as if there) and `--no-pager`. Data goes to standard output, everything else to standard error;
[ERRORS.md](ERRORS.md) lists the exit codes. `git gittrack` is the same as `gittrack`.
"""
_COLUMNS = """\
`--columns` takes {facts}, `params.KEY`, `metrics.KEY` (the last value) and `tags.KEY`, each also as
a pattern (`params.*`), and `last`, `min`, `max` or `count` of a metric: `max(metrics.acc)`. A key
alone does where it is clear.

`--where` takes MLflow's filters with `or`, `not` and parentheses added; its attributes are
{attributes}. `--sort` takes the same fields."""
_PORCELAIN = """
## Porcelain

`--porcelain` is for scripts. What it prints never changes within a version (`v1`), whatever
gittrack learns and whatever anybody configures: no colour, no pager, nothing cut, times as ISO 8601
in UTC, fields parted by tabs, no header. In a field a backslash, a tab, a line feed and every
character that could steer a terminal are written `\\\\`, `\\t`, `\\n`, `\\xNN`, `\\uNNNN`.
`log -z` ends lines with NUL.

- `log` and `show`: {columns}; or the columns of `--columns`.
- `status`: a word and its values a line: `runs`, `experiments`, `tip`, `unsealed`, `deleted`,
  `unpushed REMOTE COUNT`, `unjoined REMOTE`, then `running`, `lost`, `warnings`, `withheld`,
  `redacted`, `conflicts`, each with id and name of a run. New words may be added.
- `fsck`: for each finding `damaged`, `broken` or `odd`, the run's id, the path, the ref where it is
  not ours, what is wrong, what to type; then `tips`, `runs`, `objects`, `files`, with a number."""


def pages() -> dict[str, str]:
    """Every page of the reference: its path below `docs`, and its text."""
    found = {"COMMANDS.md": commands_page(), "SETTINGS.md": settings_page()}
    found["man/gittrack.1"] = man_page(usage_of(top_parser(Output())), "gittrack")
    # What `git gittrack --help` opens.
    found["man/git-gittrack.1"] = ".so man1/gittrack.1\n"
    for name in COMMANDS:
        found[f"man/gittrack-{name}.1"] = man_page(usage_of(command_parser(name)), name)
    return found


def commands_page() -> str:
    """docs/COMMANDS.md."""
    return "\n".join(_commands()) + "\n"


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield _MADE
    yield ""
    yield _HEAD
    for name, text in COMMANDS.items():
        yield f"- [`{name}`](#{name}): {text}"
    for name in COMMANDS:
        usage = usage_of(command_parser(name))
        yield ""
        yield f"## {name}"
        yield ""
        yield usage.description
        yield ""
        yield "```text"
        yield usage.line
        yield "```"
        yield ""
        for entry in (*usage.arguments, *usage.options):
            if entry.names[-1] not in ("--help", "--color WHEN"):
                names = ", ".join(f"`{name}`" for name in entry.names)
                yield f"- {names}: {_escaped(entry.text)}"
        example = usage.epilog.partition("\n")[2].strip()
        yield ""
        yield "```sh"
        yield example
        yield "```"
    yield from _names()
    yield from _columns()
    yield from _templates()
    yield from _porcelain()


def _names() -> Iterator[str]:
    yield ""
    yield "## How runs are named"
    yield ""
    yield "| what you type | which run |"
    yield "|---|---|"
    for typed, run in (
        ("20261123-153012-7f3a9c1d2b4e", "that id"),
        ("7f3a", "the id whose last part begins so; at least 4 digits"),
        ("brave-otter", "that name, if one run has it"),
        ("iris/brave-otter", "that name in that experiment"),
        ("@, iris/@", "the latest, of all or of an experiment"),
        ("@{-1}", "the one before the latest"),
        ("@{best:metrics.acc}", "the best last value; see `metrics.maximize` in the settings"),
        ("@{max:acc}, @{min:min(loss)}", "the greatest, the smallest of a metric's statistic"),
        ("HEAD~2, v1.0, 4f2c1d9", "the run recorded at that commit, if it is the only one"),
    ):
        yield f"| `{typed}` | {run} |"


def _columns() -> Iterator[str]:
    yield ""
    yield "## Columns and filters"
    yield ""
    yield _COLUMNS.format(
        facts=", ".join(f"`{name}`" for name in FACT_NAMES),
        attributes=", ".join(f"`{name}`" for name in ATTRIBUTES),
    )


def _templates() -> Iterator[str]:
    yield ""
    yield "## Templates"
    yield ""
    yield "`log --format 'tformat:%h %s'` ends each run with a line feed, `format:` stands between"
    yield "them, and a text with `%` alone is `tformat:`. `-z` uses NUL instead."
    yield ""
    yield "| placeholder | is replaced by |"
    yield "|---|---|"
    for name, (text, _) in PLACEHOLDERS.items():
        yield f"| `%{name}` | {text} |"
    for name, kind in KEYED.items():
        key, text = ("KEY", f"one of {kind}") if kind else ("COLUMN", "any column")
        yield f"| `%{name}({key})` | {text} |"
    yield f"| `%C(COLOUR)` | a colour: {', '.join(COLORS)} |"
    yield "| `%<(N)`, `%>(N)` | pads what follows to N columns, on the right or on the left |"
    yield "| `%<(N,trunc)` | likewise, and cuts it |"
    yield "| `%xNN` | that character |"


def _porcelain() -> Iterator[str]:
    yield _PORCELAIN.format(columns=", ".join(LOG_COLUMNS))


def settings_page() -> str:
    """docs/SETTINGS.md."""
    return "\n".join(_settings()) + "\n"


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield _MADE
    yield ""
    yield "A setting's value is that of its environment variable, else of `git config` (one clone),"
    yield "else of `.gittrack.yaml` at the top of the worktree (the whole team), else its default."
    yield "`gittrack config` lists every value and where it comes from."
    for setting in SETTINGS:
        yield ""
        yield f"## {setting.name}"
        yield ""
        yield f"{setting.meaning} Change it if {setting.reason}."
        yield ""
        yield f"- value: {setting.allowed}; default `{render_value(setting.default)}`"
        yield f"- `{setting.variable}`, `git config {setting.git_key}`{_in_file(setting)}"
    yield ""
    yield "## Only in the environment"
    yield ""
    for variable in VARIABLES:
        yield f"- `{variable.name}`: {variable.meaning} Use it if {variable.reason}."


def _in_file(setting: Setting) -> str:
    return (
        f", `{setting.name}` in `.gittrack.yaml`" if setting.shared else "; not in `.gittrack.yaml`"
    )


def man_page(usage: Usage, name: str) -> str:
    """A man page in the classic macros."""
    return "\n".join(_man(usage, name)) + "\n"


def _man(usage: Usage, name: str) -> Iterator[str]:
    title = "gittrack" if name == "gittrack" else f"gittrack-{name}"
    short = COMMANDS.get(name, "experiment tracking that lives in git")
    yield f'.TH "{title.upper()}" "1" "" "gittrack {gittrack.__version__}" "gittrack manual"'
    yield ".SH NAME"
    yield f"{_roff(title)} \\- {_roff(short)}"
    yield ".SH SYNOPSIS"
    yield f"\\fB{_roff(usage.line)}\\fR"
    yield ".SH DESCRIPTION"
    yield _roff(usage.description)
    for heading, entries in (("ARGUMENTS", usage.arguments), ("OPTIONS", usage.options)):
        if entries:
            yield f".SH {heading}"
            yield from (line for entry in entries for line in _man_entry(entry))
    yield ".SH EXAMPLE" if name != "gittrack" else ".SH COMMANDS"
    yield ".nf"
    for line in usage.epilog.splitlines()[1:]:
        yield _roff(line)
    yield ".fi"
    yield ".SH SEE ALSO"
    others = ["gittrack"] if name != "gittrack" else [f"gittrack-{other}" for other in COMMANDS]
    yield ", ".join(f"\\fB{_roff(other)}\\fR(1)" for other in [*others, "git"])


def _man_entry(entry: Entry) -> Iterator[str]:
    yield ".TP"
    yield ", ".join(f"\\fB{_roff(name)}\\fR" for name in entry.names)
    yield _roff(entry.text)


def _roff(text: str) -> str:
    """Text in which nothing is a request or an escape."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith(".") else text


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")


def write(folder: str) -> None:
    """Write every page below a folder, and take away man pages of commands that are gone."""
    found = pages()
    os.makedirs(os.path.join(folder, "man"), exist_ok=True)
    for name in os.listdir(os.path.join(folder, "man")):
        if f"man/{name}" not in found:
            os.unlink(os.path.join(folder, "man", name))
    for name, text in found.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else "docs")
