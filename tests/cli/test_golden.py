"""Every command in every format, at 40, 80 and 200 columns, of no run, one run and 300 runs.

A golden file holds all of one command on one store. Of a long output it holds the first and last
lines and a digest of the whole.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from gittrack.cli import main as cli
from gittrack.cli.output import text as t
from gittrack.cli.output.formats import DIFF_FORMATS, LIST_FORMATS, LOG_FORMATS
from tests.cli.conftest import Project
from tests.cli.stores import build

WIDTHS = (40, 80, 200)
HEAD, TAIL = 24, 4
#: Of these the output is for programs: width means nothing, so one width shows it.
MACHINE = ("json", "jsonl", "csv", "tsv", "markdown", "--porcelain", "tformat:%h %s %m(acc)", "-z")

COMMANDS: dict[str, list[list[str]]] = {
    "log": [
        ["log"],
        ["log", "--only-changed", "-n3"],
        ["log", "--stat", "-n3"],
        ["log", "-p", "-n2"],
        ["log", "--parent", "run-2"],
        ["log", "--all", "--status", "failed", "-n2", "--reverse"],
        ["log", "main~1..main", "-n2"],
        ["log", "--columns", "name,max(metrics.acc),params.*", "-n3"],
        *(["log", "--format", form] for form in LOG_FORMATS),
        ["log", "--porcelain"],
        ["log", "--format", "tformat:%h %s %m(acc)"],
    ],
    "show": [
        ["show", "run-0"],
        ["show", "run-0", "--params", "--metrics", "--tags", "--source", "--files", "--env"],
        ["show", "run-0", "--stdout"],
        ["show", "run-6"],
        ["show", "run-6", "--params"],
        ["show", "run-8"],
        ["show", "run-0:"],
        *(["show", "run-0", "--format", form] for form in LOG_FORMATS),
        ["show", "run-0", "--porcelain"],
    ],
    "diff": [
        ["diff", "@{-1}", "@"],
        ["diff", "@{-1}", "@", "--all"],
        ["diff", "@{-1}", "@", "--stat"],
        ["diff", "@{-1}", "@", "-p"],
        ["diff", "@"],
        *(["diff", "@{-1}", "@", "--format", form] for form in DIFF_FORMATS),
        ["diff", "@", "--format", "json"],
    ],
    "compare": [
        ["compare", "@{-2}", "@{-1}", "@"],
        ["compare", "@{-2}", "@{-1}", "@", "--transpose", "--all"],
        *(["compare", "@{-1}", "@", "--format", form] for form in LIST_FORMATS),
    ],
    "archaeology": [
        ["blame", "acc"],
        ["blame", "max(acc)", "main", "--format", "json"],
        ["blame", "accc"],
        ["bisect", "main~1..main", "--where", "metrics.acc < 0.7"],
        ["bisect", "main~1..main", "--where", "metrics.acc > 0.7"],
        ["bisect", "main~1..main", "--where", "metrics.acc > 0.7", "--format", "json"],
    ],
    "history": [["history", "run-0"], ["history", "run-0", "--format", "json"]],
    "experiments": [
        *(["experiments", "--format", form] for form in LIST_FORMATS),
        ["experiments", "rename", "iris", "flowers", "--dry-run"],
        ["experiments", "create", "new", "a=b", "--dry-run"],
        ["experiments", "delete", "iris", "--dry-run"],
    ],
    "edit": [
        ["tag", "run-0", "team=speech", "a=b", "--delete", "team", "--dry-run"],
        ["note", "run-0", "-m", "text", "--dry-run"],
        ["rename", "run-0", "zero", "--dry-run"],
        ["delete", "run-0", "--dry-run"],
        ["restore", "run-0", "--dry-run"],
    ],
    "status": [["status"], ["status", "--format", "json"], ["status", "--porcelain"]],
    "fsck": [["fsck"], ["fsck", "--format", "json"], ["fsck", "--porcelain"]],
    "config": [["config", "--format", form] for form in LIST_FORMATS],
    "hooks": [
        ["hooks"],
        ["hooks", "--format", "json"],
        ["hooks", "install", "--dry-run"],
        ["hooks", "uninstall", "--dry-run"],
    ],
    "others": [
        ["recover"],
        ["recover", "--dry-run"],
        ["init", "--dry-run"],
        ["checkout", "run-0", "--into", "../laid-out", "--dry-run"],
        ["completion", "bash"],
        ["completion", "zsh"],
        ["completion", "fish"],
    ],
    "help": [[name, "--help"] for name in cli.COMMANDS],
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Project]:
    return {}


@pytest.mark.parametrize("runs", [0, 1, 300])
@pytest.mark.parametrize("command", COMMANDS)
def test_golden(
    command: str,
    runs: int,
    golden: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    stores: dict[int, Project],
) -> None:
    if command == "help" and runs:
        return  # help does not look at the store
    if runs not in stores:
        stores[runs] = build(tmp_path_factory.mktemp(f"runs-{runs}") / "repo", runs)
    project = stores[runs]
    monkeypatch.chdir(project.path)
    golden(f"{command}-{runs}.txt", "".join(sections(project, COMMANDS[command], monkeypatch)))


def sections(
    project: Project, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    for args in commands:
        plain = any(word in MACHINE for word in args) or args[0] == "completion"
        for width in (80,) if plain else WIDTHS:
            monkeypatch.setenv("COLUMNS", str(width))
            code, out, err = call(args, monkeypatch)
            assert code in (0, 1, 2, 5), (args, err)
            if "csv" not in args and "tsv" not in args:  # these hold values as they are
                assert not t.UNSAFE_IN_LAYOUT.search(out + err), args
            lines = out.splitlines()
            # git's own output, sentences that hold a path, and commands to type are never cut.
            whole = {"--help", "-p", "--stat", "init", "hooks", "checkout"} & {*args}
            if not plain and not whole:
                wide = [
                    line
                    for line in lines
                    if t.width_of(line) > width and not line.startswith("next: ")
                ]
                assert not wide, (args, width, wide)
            yield f"$ COLUMNS={width} gittrack {' '.join(args)}\n"
            yield from shortened(out, project)
            yield from (
                f"[stderr] {line}\n" for line in err.replace(project.path, "REPO").splitlines()
            )
            yield f"[exit {code}]\n\n"


def shortened(text: str, project: Project) -> Iterator[str]:
    text = text.replace(project.path, "REPO").replace("\r\n", "\n")
    text = text.replace(str(Path(project.path).parent), "BASE")
    lines = [line + "\n" for line in text.split("\n")[:-1]]
    if len(lines) <= HEAD + TAIL + 1 and all(len(line) < 500 for line in lines):
        yield text
        return
    cut = [
        line if len(line) < 500 else f"{line[:480]}... {len(line)} characters\n" for line in lines
    ]
    if len(cut) <= HEAD + TAIL + 1:
        yield from cut
    else:
        yield from cut[:HEAD]
        yield f"[... {len(lines) - HEAD - TAIL} lines]\n"
        yield from cut[-TAIL:]
    yield f"[sha256 {sha256(text.encode()).hexdigest()[:16]}]\n"


class Captured(io.TextIOWrapper):
    """Standard output or error of a command that runs in this process."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="")

    def text(self) -> str:
        self.flush()
        data = self.buffer.getvalue()  # type: ignore[attr-defined]
        return str(data.decode("utf-8"))


def call(args: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    out, err = Captured(), Captured()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        patched.setattr(sys, "stderr", err)
        code = cli.main(args)
    return code, out.text(), err.text()


def test_no_golden_file_is_left_over() -> None:
    expected = {
        f"{command}-{runs}.txt"
        for command in COMMANDS
        for runs in (0, 1, 300)
        if command != "help" or not runs
    }
    there = {path.name for path in Path(__file__).parents[1].glob("golden/cli/*-*.txt")}
    matrix = {
        name
        for name in there
        if name.rpartition("-")[0] in COMMANDS and name.split("-")[-1][:-4] in ("0", "1", "300")
    }
    assert matrix == expected
