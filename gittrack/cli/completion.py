"""What the shell may complete: commands, options, runs, experiments, metrics, params, columns.

A script of the shell calls `gittrack __complete WORDS...`, the last word being the one that is
typed, and gets one candidate a line: a word, a tab, and what it stands for. Nothing is ever
printed but candidates, whatever is wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence

from gittrack.cli.output.columns import FACT_NAMES
from gittrack.cli.output.text import safe
from gittrack.core.query import ATTRIBUTES, DATASET_FIELDS
from gittrack.errors import GittrackError

_MOST_RUNS = 200
SHELLS = ("bash", "zsh", "fish")

_BASH = """\
# gittrack: eval "$(gittrack completion bash)"
_gittrack() {
    local cur words IFS=$'\\n'
    COMPREPLY=()
    # Bash parts words at = and :, which stand in our names; read the line ourselves.
    IFS=' ' read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ "${COMP_LINE:COMP_POINT-1:1}" == " " ]] && words+=("")
    [[ "${words[0]}" == git && "${words[1]}" == gittrack ]] && words=("${words[@]:1}")
    cur="${words[-1]}"
    local prefix="" candidate
    [[ "$cur" == *[:=]* && "$COMP_WORDBREAKS" == *:* ]] && prefix="${cur%"${cur##*[:=]}"}"
    while IFS=$'\\t' read -r candidate _; do
        [[ "$candidate" == "$cur"* ]] && COMPREPLY+=("$(printf %q "${candidate#"$prefix"}")")
    done < <(gittrack __complete "${words[@]:1}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then compopt -o default 2>/dev/null; fi
}
_git_gittrack() { _gittrack; }
complete -F _gittrack gittrack
"""
_ZSH = """\
#compdef gittrack
# gittrack: eval "$(gittrack completion zsh)"
_gittrack() {
    local -a candidates
    local line
    for line in "${(@f)$(gittrack __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n "$line" ]] && candidates+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done
    if (( ${#candidates} )); then _describe gittrack candidates; else _files; fi
}
compdef _gittrack gittrack
"""
_FISH = """\
# gittrack: gittrack completion fish | source
function __gittrack_complete
    set -l words (commandline -opc) (commandline -ct)
    gittrack __complete $words[2..-1] 2>/dev/null
end
complete -c gittrack -f -a '(__gittrack_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def complete(words: Sequence[str]) -> list[str]:
    """The candidates for the last word, a line each."""
    try:
        return [f"{safe(word)}\t{safe(text)}" for word, text in _candidates(list(words) or [""])]
    except (GittrackError, OSError):
        return []


def _candidates(words: list[str]) -> Iterator[tuple[str, str]]:
    from gittrack.cli.main import COMMANDS, command_parser

    *before, word = words
    while before and before[0] == "-C":
        before = before[2:]
    before = [item for i, item in enumerate(before) if i or not item.startswith("--")]
    if not before:
        yield from _matching(COMMANDS.items(), word)
        return
    if before[0] not in COMMANDS:
        return
    parser = command_parser(before[0])
    action, start = _wanted(parser, before[1:], word)
    if action is None:
        if word.startswith("-"):
            for option in parser._actions:
                text = (option.help or "").replace("%%", "%")
                names = [name for name in option.option_strings if name.startswith(word)]
                yield from ((name, text) for name in names[-1:])
        return
    prefix, typed = word[:start], word[start:]
    for candidate, text in _values(action, typed):
        yield prefix + candidate, text


def _wanted(
    parser: argparse.ArgumentParser, before: Sequence[str], word: str
) -> tuple[argparse.Action | None, int]:
    """The argument that a word belongs to, and where in the word its value starts."""
    options = {name: action for action in parser._actions for name in action.option_strings}
    if word.startswith("--") and "=" in word:
        name = word.partition("=")[0]
        return options.get(name), len(name) + 1
    if before and (last := options.get(before[-1])) is not None and last.nargs != 0:
        return last, 0
    if word.startswith("-"):
        return None, 0
    given = 0
    skip = False
    for item in before:
        if skip:
            skip = False
        elif item in options:
            skip = options[item].nargs != 0
        elif not item.startswith("-"):
            given += 1
    positional = [action for action in parser._actions if not action.option_strings]
    if not positional:
        return None, 0
    at = min(given, len(positional) - 1)
    if at < given and positional[at].nargs not in ("*", "+"):
        return None, 0
    return positional[at], 0


def _values(action: argparse.Action, typed: str) -> Iterator[tuple[str, str]]:
    from gittrack.cli import arguments

    if action.choices is not None:
        yield from _matching(((str(choice), "") for choice in action.choices), typed)
        return
    kind = getattr(action, arguments.COMPLETES, None)
    if kind == arguments.RUNS:
        yield from _matching(_runs(), typed)
    elif kind == arguments.EXPERIMENTS:
        yield from _matching(_experiments(), typed)
    elif kind == arguments.METRICS:
        keys = ((name.removeprefix("metrics."), text) for name, text in _keys() if text == "metric")
        yield from _matching(keys, typed)
    elif kind == arguments.DATASETS:
        yield from _matching(_datasets(), typed)
    elif kind in (arguments.FIELDS, arguments.COLUMNS):
        # After a comma, and inside a filter, the last word is what is typed.
        start = max(typed.rfind(mark) + 1 for mark in ", (")
        start += typed[start : start + 1] == "-"
        lead, rest = typed[:start], typed[start:]
        fields = [*ATTRIBUTES, *(f"datasets.{name}" for name in DATASET_FIELDS)]
        facts = FACT_NAMES if kind == arguments.COLUMNS else fields
        found = [*((name, "") for name in facts), *_keys()]
        yield from ((lead + name, text) for name, text in _matching(found, rest))


def _datasets() -> Iterator[tuple[str, str]]:
    from gittrack.repo import Repo

    with Repo.find() as repo:
        found = repo.datasets()
    yield from ((item.name, f"{item.runs} runs") for item in found)


def _runs() -> Iterator[tuple[str, str]]:
    from gittrack.repo import Repo

    with Repo.find() as repo:
        runs = repo.search_runs(max_results=_MOST_RUNS)
    yield "@", "the latest run"
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.name] = counts.get(run.name, 0) + 1
    for run in runs:
        if counts[run.name] == 1:
            yield run.name, f"{run.experiment}, {run.status}"
        yield run.short_id, run.name


def _experiments() -> Iterator[tuple[str, str]]:
    from gittrack.repo import Repo

    with Repo.find() as repo:
        for row in repo.experiments():
            yield row.experiment.name, f"{row.runs} runs"


def _keys() -> Iterator[tuple[str, str]]:
    from gittrack.repo import Repo

    with Repo.find() as repo:
        for key in repo.metric_keys():
            yield f"metrics.{key}", "metric"
        for key in repo.param_keys():
            yield f"params.{key}", "param"


def _matching(items: Iterable[tuple[str, str]], typed: str) -> Iterator[tuple[str, str]]:
    for word, text in items:
        if word.startswith(typed):
            yield word, text
