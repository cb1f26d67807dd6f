"""Whatever a fetched store says, what reads it goes on, and everything else is still there."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from gittrack.cli import main as cli
from gittrack.core import codec
from gittrack.core.model import LOST, Stamp
from gittrack.repo import Repo
from gittrack.repo.seal import first_files
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, Tree, commit
from tests.support import GitRepo

ADA = Person("Ada", "ada@example.org")
GOOD = "20260101-000000-000000000000"
EVIL = "20260101-000001-000000000001"

#: Values that YAML can hold, of every type and of no sane content.
VALUES: list[Any] = [
    None, True, -1, 0, 2**63, -(2**70), 1e308, float("nan"), float("inf"), "", "x", "--output=/tmp/x",
    "\x1b]0;evil\x07", "../../etc/passwd", "a\nb", "a\0b", "\u202e", "9" * 5000, "HEAD", "0" * 40,
    [], [1, [2]], ["--all"], {}, {"a": {"b": 1}}, {"v": None, "t": 1, "by": "w"}, "99999-99-99T99:99:99Z",
    "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", {"blob": "--", "mode": 7, "size": "many"},
]  # fmt: skip
FACTS = (
    "argv", "author", "author_source", "base", "branch", "commit", "dirty", "entry", "env", "experiment",
    "host", "id", "parent", "python", "rank", "redacted", "remote", "start", "state", "tree",
)  # fmt: skip
NOTES = (
    "name",
    "status",
    "end",
    "exit",
    "description",
    "deleted",
    "tags.a",
    "warnings.0",
    "redacted.x",
)
DATASET = (
    "columns", "context", "digest", "dvc", "files", "kind", "opaque", "rows", "sampled", "schema",
    "shape", "size", "source",
)  # fmt: skip
SOURCE = (
    "base", "deleted", "files", "gitlinks", "modes", "overlay", "rebuilds", "submodules_dirty",
    "symlinks", "tree", "withheld",
)  # fmt: skip


def some(chance: random.Random, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: chance.choice(VALUES) for key in keys if chance.random() < 0.5}


def evil_files(chance: random.Random) -> dict[str, bytes]:
    files = {"run.yaml": codec.encode_mapping(some(chance, FACTS))}
    if chance.random() < 0.7:
        stamps = {
            k: Stamp(v, chance.choice([0, 1, 2**53 - 1]), "w")
            for k, v in some(chance, NOTES).items()
        }
        files["notes.yaml"] = codec.encode_stamps(stamps)
    if chance.random() < 0.5:
        files["params.yaml"] = codec.encode_mapping(some(chance, ("lr", "a\nb", "\x1b[31m")))
    if chance.random() < 0.5:
        files["source.yaml"] = codec.encode_mapping(some(chance, SOURCE))
    if chance.random() < 0.4:
        entries = {k: Stamp(chance.choice(VALUES), 1, "w") for k in ("a", "../b", "/c")}
        files["artifacts.yaml"] = codec.encode_stamps(entries)
    if chance.random() < 0.4:
        files["metrics/w-000000000000.csv"] = chance.choice(
            [
                b"",
                b"key,step\n",
                b"key,step,time_ms,value\nm,x,1,1\n",
                b"\xff",
                b"key,step,time_ms,value\nm,1,1,nan\n",
            ]
        )
        if chance.random() < 0.5:
            summary = {
                "of": chance.choice([["w-000000000000.csv"], 3]),
                "metrics.m": chance.choice(VALUES),
            }
            files["metrics.yaml"] = codec.encode_mapping(summary)
    for name in ("inputs.set.yaml", "conflicts.set.yaml", "writers/w.yaml"):
        if chance.random() < 0.3:
            files[name] = codec.encode_mapping(some(chance, ("a", "host", "start", "rank")))
    if chance.random() < 0.5:
        inputs = {f"{name}//0123456789ab": some(chance, DATASET) for name in ("a", "\x1bb", "")}
        inputs["a"] = {"digest": "\x1b[1m", "schema": [["", "\x1b]0;x\x07"], ["\u202e", "\x07"]]}
        files["inputs.set.yaml"] = codec.encode_mapping(inputs)
    return files


def forge(repo: GitRepo, files: dict[str, bytes], parent: str | None = None) -> str:
    """A store with one good run and an evil one."""
    git = Git(find_paths(repo.path, {}))
    good = {
        "run.yaml": codec.encode_mapping({"id": GOOD, "start": "2026-01-01T00:00:00.000Z"}),
        "notes.yaml": codec.encode_stamps(
            {"name": Stamp("good", 1, "w"), "status": Stamp("finished", 1, "w")}
        ),
    }
    whole: dict[str, bytes | None] = dict(first_files())
    whole |= {f"{layout.run_dir(GOOD)}/{name}": data for name, data in good.items()}
    whole |= {f"{layout.run_dir(EVIL)}/{name}": data for name, data in files.items()}
    made = commit(git, layout.STORE_REF, parent, Tree(whole, "x\n"), ADA, 1, fsync=False)
    git.close()
    return made


COMMANDS = (
    ["log", "--all"], ["log", "--all", "--format", "json"], ["log", "--stat", "--all"], ["log", "--all", "--porcelain"],
    ["show", EVIL], ["show", EVIL, "--format", "json"], ["show", f"{EVIL}:"], ["show", EVIL, "--files", "--env"],
    ["status"], ["diff", GOOD, EVIL], ["compare", GOOD, EVIL], ["experiments"], ["history", EVIL],
    ["log", "--where", "metrics.m > 0 or params.lr = 'x' or tags.a = 'y'", "--sort", "-metrics.m"],
    ["checkout", EVIL, "--into", "out", "--dry-run"], ["show", EVIL, "--stdout"], ["env", EVIL],
    ["data"], ["data", "a"], ["data", "\x1bb", "--format", "csv"], ["show", EVIL, "--data"],
    ["log", "--all", "--where", "datasets.name = 'a'", "--columns", "datasets.a"],
)  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_no_value_stops_those_who_read(
    repo: GitRepo, seed: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repo.path)
    chance = random.Random(seed)
    for _ in range(4):
        tip = forge(repo, evil_files(chance))
        for command in COMMANDS:
            code = cli.main(command)
            out, err = capfd.readouterr()
            assert code in (0, 1), (command, out, err)
            # Nothing steers the terminal: what is printed for people holds no control characters.
            if not any(word in command for word in ("json", "--stdout")):
                assert "\x1b" not in out + err and "\u202e" not in out + err, (command, out)
        with Repo.find(repo.path, {}) as opened:
            assert opened.get_run("good").status == "finished"
            assert len(opened.search_runs("", include_deleted=True)) == 2
        assert repo.git("status", "--porcelain") == ""
        repo.git("update-ref", "-d", layout.STORE_REF, tip)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: files.update({"run.yaml": b"\xff"}),
        lambda files: files.pop("run.yaml"),
        lambda files: files.update({"notes.yaml": b"name: 1\n"}),
        lambda files: files.update({"run.yaml": b"start: 'yesterday'\n"}),
    ],
)
def test_a_damaged_run_is_set_aside(
    repo: GitRepo, spoil: Callable[[dict[str, bytes]], object]
) -> None:
    files = {"run.yaml": b'start: "2026-01-01T00:00:01.000Z"\n', "other": b"x"}
    spoil(files)
    forge(repo, files)
    with Repo.find(repo.path, {}) as opened:
        assert opened.get_run("good").status == "finished"
        damaged = opened.get_run(EVIL)
        assert damaged.status == LOST
        assert damaged.warnings[0].startswith("damaged in the store")
        # The others are joined, tagged and shared all the same.
        opened.set_tags([opened.get_run("good")], {"a": "b"})
        assert opened.get_run("good").tags == {"a": "b"}
