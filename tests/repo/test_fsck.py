"""What fsck finds of every kind of damage, and that it finds nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gittrack.core import codec
from gittrack.core.laws import BROKEN, DAMAGED, ODD
from gittrack.core.model import Stamp
from gittrack.errors import StoreFormatError
from gittrack.repo import Repo
from gittrack.store import layout
from tests.repo.fsck import Lab, make_honest
from tests.store.test_inspect import Forger
from tests.support import GitRepo


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the honest store is kept; the first test that needs it makes it."""
    return tmp_path_factory.mktemp("honest")


@pytest.fixture
def lab(honest: Path, tmp_path: Path) -> Iterator[Lab]:
    if not (honest / "ids.json").exists():
        make_honest(honest)
    made = Lab(honest, tmp_path / "repo")
    yield made
    made.git.close()


@pytest.mark.parametrize("clone", ["a", "b", "hub.git"])
def test_nothing_is_wrong_with_an_honest_store(
    lab: Lab, honest: Path, tmp_path: Path, clone: str
) -> None:
    made = Lab(honest, tmp_path / clone, clone)
    report = made.fsck(history=True, sources=True)
    assert report.findings == ()
    assert report.is_sound
    assert report.runs == len(made.ids) - 1  # one was purged
    listed = made.repo.git("ls-tree", "-r", layout.STORE_REF).splitlines()
    assert report.files == len(listed)
    objects = made.repo.git("rev-list", "--objects", layout.STORE_REF).splitlines()
    assert report.objects == len(objects)
    now = made.repo.git("rev-list", "--objects", "--no-walk", layout.STORE_REF).splitlines()
    assert made.fsck().objects == len(now)
    made.git.close()


def test_where_there_is_no_store_there_is_nothing_to_check(tmp_path: Path) -> None:
    with Repo.find(GitRepo.create(tmp_path / "repo").path, {}) as opened:
        report = opened.fsck(history=True, sources=True)
    assert report == ((), {}, 0, 0, 0)


# -- files ---------------------------------------------------------------------------------

#: What is done to a store, and what has to be found: run, path, severity, some of the words.
Damage = tuple[Callable[[Lab], Any], str, str, str, str]


def run_file(run: str, name: str) -> Callable[[Lab], str]:
    return lambda lab: f"{lab.folder(run)}/{name}"


def replaced(run: str, name: str, old: bytes, new: bytes) -> Callable[[Lab], str]:
    """A file of a run with other bytes in it; its path."""

    def change(lab: Lab) -> str:
        path = f"{lab.folder(run)}/{name}"
        lab.edit(path, old, new)
        return path

    return change


def written(run: str, name: str, data: bytes | None) -> Callable[[Lab], str]:
    """A file of a run that is new, or of another content, or gone; its path."""

    def change(lab: Lab) -> str:
        path = f"{lab.folder(run)}/{name}"
        lab.change({path: data})
        return path

    return change


def noted(run: str, key: str, value: object, t: int = 1) -> Callable[[Lab], str]:
    """Another note of a run."""

    def change(lab: Lab) -> str:
        path = f"{lab.folder(run)}/notes.yaml"
        stamps = codec.decode_stamps(lab.read(path))
        stamps[key] = Stamp(value, t, "0b5f11d7")
        lab.change({path: codec.encode_stamps(stamps)})
        return path

    return change


def fact(run: str, name: str, key: str, value: object) -> Callable[[Lab], str]:
    """Another value in a file that is a mapping."""

    def change(lab: Lab) -> str:
        path = f"{lab.folder(run)}/{name}"
        lab.change(
            {path: codec.encode_mapping({**codec.decode_mapping(lab.read(path)), key: value})}
        )
        return path

    return change


def segment(data: bytes, name: str = "") -> Callable[[Lab], str]:
    """The only segment of a run is another; its path."""

    def change(lab: Lab) -> str:
        folder = lab.folder("deleted")
        path = f"{folder}/metrics/{name or codec.segment_name('0b5f11d7', data)}"
        lab.change({lab.one(f"{folder}/metrics"): None, f"{folder}/metrics.yaml": None})
        lab.change({path: data})
        return path

    return change


def renamed(run: str, *parts: str, to: str) -> Callable[[Lab], str]:
    """A file of a run under another name; its new path."""

    def change(lab: Lab) -> str:
        path = lab.one(lab.folder(run), *parts)
        new = f"{path.rpartition('/')[0]}/{to}"
        lab.move(path, new)
        return new

    return change


HEAD = b"key,step,time_ms,value\n"
BAD_YAML = b"a: [1\n"
#: What happens to files of the run, by the name of the case.
IN_RUN: dict[str, tuple[str, Callable[[Lab], str], str, str]] = {
    "no run.yaml": ("clean", written("clean", "run.yaml", None), DAMAGED, "is missing"),
    "another id": (
        "clean", replaced("clean", "run.yaml", b"id: \"2", b"id: \"3"), BROKEN, "says that it is run '3"
    ),
    "no id": ("clean", replaced("clean", "run.yaml", b"id: \"2", b"idd: \"2"), BROKEN, "has no id"),
    **{
        f"no YAML: {name}": ("clean", written("clean", name, BAD_YAML), DAMAGED, "format")
        for name in (
            "run.yaml", "params.yaml", "notes.yaml", "metrics.yaml", "artifacts.yaml", "source.yaml",
            "disk.yaml", "inputs.set.yaml", "conflicts.set.yaml", "some.map.yaml", "new.yaml",
        )
    },
    "no UTF-8": ("clean", written("clean", "params.yaml", b"\xff"), DAMAGED, "not UTF-8 at byte 0"),
    "an alias": ("clean", written("clean", "params.yaml", b"a: &x 1\n"), DAMAGED, "an anchor"),
    "not canonical": (
        "clean", replaced("clean", "params.yaml", b"lr: 1.0e-05", b"lr: 0.00001"), ODD, "canonical"
    ),
    "not canonical notes": (
        "clean", replaced("clean", "notes.yaml", b", t: ", b", t:  "), ODD, "canonical"
    ),
    "not canonical summary": (
        "clean", replaced("clean", "metrics.yaml", b"of: [", b"of: [ "), ODD, "canonical"
    ),
    "no start": ("clean", fact("clean", "run.yaml", "start", "today"), DAMAGED, "'today' is not a time"),
    "no argv": ("clean", fact("clean", "run.yaml", "argv", "x"), BROKEN, "argv holds 'x'"),
    "no commit": ("clean", fact("clean", "run.yaml", "commit", "HEAD"), BROKEN, "no object id"),
    "no parent": ("nested", fact("nested", "run.yaml", "parent", "../x"), BROKEN, "parent holds"),
    "no end": ("clean", noted("clean", "end", "soon"), DAMAGED, "'soon' is not a time"),
    "no status": ("clean", noted("clean", "status", "flying"), BROKEN, "none of finished"),
    "a tag of no text": ("clean", noted("clean", "tags.x", 5), BROKEN, "no text"),
    "a tag of no key": ("clean", noted("clean", "tags.", "5"), BROKEN, "empty"),
    "a warning": ("clean", noted("clean", "warnings.0", "text"), BROKEN, "not named by its text"),
    "a stamp beyond 2^53": (
        "clean", replaced("clean", "notes.yaml", b", t: 1", b", t: 9007199254740992"), DAMAGED, "2^53"
    ),
    "a stamp of the future": (
        "clean", noted("clean", "tags.x", "y", 4102444800000), ODD,
        "'tags.x' was written by 0b5f11d7 in the future, at 2100-01-01T00:00:00.000Z",
    ),
    "no list of files": ("dirty", fact("dirty", "source.yaml", "files", "x"), DAMAGED, "files holds 'x'"),
    "no base": ("dirty", fact("dirty", "source.yaml", "base", "HEAD"), BROKEN, "base holds 'HEAD'"),
    "a mode": ("dirty", fact("dirty", "source.yaml", "modes", {"a": "120000"}), DAMAGED, "modes"),
    "a mapping": ("clean", fact("clean", "params.yaml", "x", {"a": 1}), BROKEN, "dotted"),
    "a long key": ("clean", fact("clean", "params.yaml", "k" * 251, 1), BROKEN, "251 characters"),
    "an input": ("clean", written("clean", "inputs.set.yaml", b"x: 1\n"), BROKEN, "no digest"),
    "no rows": ("deleted", segment(b"no\nsegment\n"), DAMAGED, "cannot be read"),
    "no number": ("deleted", segment(HEAD + b"m,0,1,x\n"), DAMAGED, "'x'"),
    "no step": ("deleted", segment(HEAD + b"m,x,1,1.0\n"), DAMAGED, "'x'"),
    "quotes": ("deleted", segment(HEAD + b'm,0,1,"1.0\n'), DAMAGED, "cannot be read"),
    "no order": (
        "deleted", segment(HEAD + b"m,1,1,1.0\nm,0,1,1.0\n"), BROKEN, "line 3 is not in order"
    ),
    "no order of keys": ("deleted", segment(HEAD + b"m,1,1,1.0\na,1,1,1.0\n"), BROKEN, "line 3"),
    "a large step": (
        "deleted", segment(HEAD + b"m,9223372036854775808,1,1.0\n"), BROKEN, "line 2 has a number beyond"
    ),
    "a low step": (
        "deleted", segment(HEAD + b"m,-9223372036854775809,1,1.0\n"), BROKEN, "beyond 64 bits"
    ),
    "another spelling": ("deleted", segment(HEAD + b"m,0,1,1.00\n"), BROKEN, "has '1.00' for 1.0"),
    "a segment's name": ("deleted", segment(HEAD, "0b5f11d7-000000000000.csv"), BROKEN, "named by"),
    "a log's name": (
        "dirty", written("dirty", "logs/0b5f11d7-000000000000.txt", b"x"), BROKEN, "named by its content"
    ),
    "a summary": (
        "deleted", replaced("deleted", "metrics.yaml", b"last: 1.0", b"last: 2.0"), ODD, "'m' what the"
    ),
    "a summary of more": (
        "deleted", replaced("deleted", "metrics.yaml", b"count: 1", b"count: 2"), ODD, "'m' what the"
    ),
    "a summary of others": (
        "deleted", replaced("deleted", "metrics.yaml", b'.csv"', b'.csv", "x.csv"'), ODD, "not cover"
    ),
    "no artifact": ("clean", written("clean", "artifacts/report.txt", None), DAMAGED, "is missing"),
    "another artifact": ("clean", written("clean", "artifacts/a%2F", b"A"), DAMAGED, "is blob"),
    "a further artifact": ("clean", written("clean", "artifacts/b", b"A"), BROKEN, "has no entry"),
    "a conflict": (
        "clean", written("clean", "conflicts/run.yaml.0123456789abcdef", b"x"), BROKEN, "named by"
    ),
    "a writer's end alone": (
        "clean", written("clean", "writers/00000000.end.yaml", b"exit: 0\n"), BROKEN, "without writers/00"
    ),
    "a writer's rank": ("clean", written("clean", "writers/0.yaml", b"rank: true\n"), BROKEN, "rank"),
}  # fmt: skip


@pytest.mark.parametrize("case", IN_RUN)
def test_a_damaged_file_is_named_with_its_run(lab: Lab, case: str) -> None:
    run, damage, severity, words = IN_RUN[case]
    path = damage(lab)
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (lab.ids[run], path, severity), found
    assert words in found.what
    assert found.ref == ""
    purge = f"gittrack purge {lab.ids[run].rpartition('-')[2]}"
    assert found.next in ("", purge)


def test_files_and_keys_that_nobody_knows_are_fine(lab: Lab) -> None:
    folder = lab.folder("clean")
    lab.change(
        {
            f"{folder}/new.bin": b"\0\xff",
            f"{folder}/new/x.yaml": b"a: 1\n",
            f"{folder}/new.events": b"b\na\n",
            "new/y.yaml": b"a: 1\n",
            "models/m-0/model.yaml": b"a: 1\n",
            "logged/ab/m-1/x.yaml": b"a: 1\n",
        }
    )
    fact("clean", "run.yaml", "new", {"a": [1]})(lab)
    noted("clean", "new", {"a": [1]})(lab)
    assert lab.found() == []
    lab.change({"models/m-0/model.yaml": BAD_YAML})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("", "models/m-0/model.yaml", DAMAGED)


# -- places ----------------------------------------------------------------------------------


def test_a_run_in_the_wrong_folder(lab: Lab) -> None:
    folder = lab.folder("nested")
    wrong = f"{folder.rpartition('/')[0].rpartition('/')[0]}/99/{lab.ids['nested']}"
    lab.move(folder, wrong)
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (lab.ids["nested"], wrong, BROKEN)
    assert folder in found.what


def test_a_run_of_no_legal_id(lab: Lab) -> None:
    lab.change({f"{layout.run_dir('a b')}/run.yaml": codec.encode_mapping({"id": "a b"})})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("a b", layout.run_dir("a b"), BROKEN)


@pytest.mark.parametrize(
    ("name", "data", "severity", "words"),
    [
        ("experiment.yaml", BAD_YAML, DAMAGED, "format"),
        ("experiment.yaml", None, DAMAGED, "is missing"),
        ("experiment.yaml", b'id: "x"\nname: "Iris & co"\n', BROKEN, "says that it is 'x'"),
        (
            "experiment.yaml",
            b'id: "iris-co-%b"\nname: "Roses"\n',
            BROKEN,
            "'Roses', whose id would",
        ),
        ("experiment.yaml", b'id: "iris-co-%b"\nname: 5\n', BROKEN, "cannot be called 5"),
        ("notes.yaml", b"name: 1\n", DAMAGED, "malformed entry: 'name'"),
        ("notes.yaml", b'tags.x: {by: "w", t: 1, v: 5}\n', BROKEN, "no text"),
    ],
)
def test_an_experiment(lab: Lab, name: str, data: bytes | None, severity: str, words: str) -> None:
    (folder,) = {p.rpartition("/")[0] for p in lab.list("experiments") if "/iris-co-" in p}
    if data is not None:
        data = data.replace(b"%b", folder[-8:].encode())
    lab.change({f"{folder}/{name}": data})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("", f"{folder}/{name}", severity)
    assert words in found.what


def test_an_experiment_with_random_digits_is_fine(lab: Lab) -> None:
    lab.change({"experiments/iris-co-01234567/experiment.yaml":
                b'id: "iris-co-01234567"\nname: "Iris & co"\n'})  # fmt: skip
    assert lab.found() == []


def test_an_experiment_that_is_not_there(lab: Lab) -> None:
    path = fact("nested", "run.yaml", "experiment", "gone-01234567")(lab)
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (lab.ids["nested"], path, BROKEN)
    assert "experiment 'gone-01234567', which is not in the store" in found.what
    assert found.next == "gittrack pull origin"


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("runs/2026-13", ""),
        ("runs/x/ab", ""),
        ("runs/x/ab/c", "c"),
        ("experiments/x", ""),
        ("models", ""),
    ],
)
def test_a_file_where_a_folder_belongs(lab: Lab, path: str, run: str) -> None:
    lab.change({path: b"x"})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (run, path, DAMAGED)
    assert found.what == "is a file: there are folders only"


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        ("x", "120000", "'x': it is a symlink"), ("x", "160000", "'x': it is a submodule"),
        ("..", "100644", "'..': such a name"), (".GIT", "100644", "'.GIT'"), ("a:b", "100644", "'a:b'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["in a run", "above runs"])
def test_entries_that_no_store_has(lab: Lab, name: str, mode: str, words: str, place: str) -> None:
    folder = f"{lab.folder('clean')}/artifacts" if place == "in a run" else "runs/2020-01"
    forger = Forger(lab.repo, lab.repo.git("rev-parse", layout.STORE_REF))
    made = forger.at(f"{folder}/{name}", mode, forger.blob(b"x"))
    lab.repo.git("update-ref", layout.STORE_REF, made)
    (found,) = lab.found()
    run = lab.ids["clean"] if place == "in a run" else ""
    assert (found.run, found.path, found.severity) == (run, folder, DAMAGED)
    assert words in found.what
    forger.git.close()


# -- what is shared --------------------------------------------------------------------------


def env_of(lab: Lab) -> str:
    return lab.one("env", ".yaml")


def test_an_environment_that_is_not_what_its_name_says(lab: Lab) -> None:
    path = env_of(lab)
    lab.change({path: lab.read(path) + b'zzz: "1"\n'})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("", path, BROKEN)
    assert "not named by its content" in found.what


def test_a_lock_file_that_is_not_what_its_name_says(lab: Lab) -> None:
    path = lab.one("env", ".uv.lock")
    lab.change({path: b"version = 2\n"})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("", path, BROKEN)


def test_an_environment_that_is_not_there(lab: Lab) -> None:
    path = fact("theirs", "writers/0b5f11d7.yaml", "env", "0" * 24)
    lab.change({f"{lab.folder('theirs')}/writers/0b5f11d7.yaml": b""})
    there = path(lab)
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (lab.ids["theirs"], there, BROKEN)
    assert f"environment {'0' * 24}, which is not in the store" in found.what


def test_what_no_run_names(lab: Lab) -> None:
    data = b'python: "3"\n'
    from hashlib import sha256

    env = layout.environment_file(f"{sha256(data).hexdigest()[:24]}.yaml")
    lock = layout.environment_file(f"{sha256(data).hexdigest()}.uv.lock")
    overlay = lab.list("source")[0]
    lab.change({env: data, lock: data})
    found = lab.found()
    assert [(f.run, f.path, f.severity) for f in found] == [
        ("", p, ODD) for p in sorted((env, lock))
    ]
    assert found[0].what == "is named by no run"
    # A run that cannot be read may name them.
    lab.change({f"{lab.folder('theirs')}/run.yaml": BAD_YAML})
    assert [f.run for f in lab.found()] == [lab.ids["theirs"]]
    assert overlay


def overlay_of(lab: Lab) -> str:
    (folder,) = {"/".join(path.split("/")[:3]) for path in lab.list("source")}
    return folder


def sources_of(lab: Lab) -> set[tuple[str, str]]:
    return {(lab.ids[run], f"{lab.folder(run)}/source.yaml") for run in ("dirty", "dirty too")}


def test_an_overlay_of_other_bytes(lab: Lab) -> None:
    lab.change({f"{overlay_of(lab)}/train.py": b"other\n"})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("", overlay_of(lab), DAMAGED)
    # With one run alone that has it, it is that run's.
    lab.change({lab.folder("dirty too"): None})
    (found,) = lab.found()
    assert (found.run, found.path) == (lab.ids["dirty"], overlay_of(lab))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("train.py", None, "lists train.py, which overlay "),
        ("more.py", b"x", "lacks more.py, which overlay "),
    ],
)
def test_an_overlay_of_other_files(lab: Lab, name: str, data: bytes | None, words: str) -> None:
    lab.change({f"{overlay_of(lab)}/{name}": data})
    found = lab.found()
    assert {(f.run, f.path) for f in found} == sources_of(lab)
    assert [f for f in found if f.severity != BROKEN or words not in f.what] == []


def test_an_overlay_that_is_not_there(lab: Lab) -> None:
    folder = overlay_of(lab)
    lab.change({folder: None})
    found = lab.found()
    assert {(f.run, f.path) for f in found} == sources_of(lab)
    assert all(f.severity == BROKEN and "which is not in the store" in f.what for f in found)
    # One that was purged is not missed.
    lab.change({layout.tombstone("source", folder.rpartition("/")[2]): b""})
    assert lab.found() == []


def test_an_overlay_that_no_run_names(lab: Lab) -> None:
    lab.change({lab.folder("dirty"): None, lab.folder("dirty too"): None})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("", overlay_of(lab), ODD)


def test_an_overlay_in_the_wrong_place(lab: Lab) -> None:
    lab.move(overlay_of(lab), f"source/zz/{overlay_of(lab)[-24:]}")
    found = lab.found()
    assert {f.path for f in found if f.severity == BROKEN and not f.run} == {overlay_of(lab)}
    assert {(f.run, f.path) for f in found if f.run} == sources_of(lab)


# -- laws of the store -----------------------------------------------------------------------


def test_a_purged_run_that_is_there(lab: Lab) -> None:
    lab.change({layout.tombstone("run", lab.ids["nested"]): b""})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (
        lab.ids["nested"],
        lab.folder("nested"),
        BROKEN,
    )
    assert "was purged" in found.what


def test_a_purged_overlay_that_is_there(lab: Lab) -> None:
    lab.change({layout.tombstone("source", overlay_of(lab).rpartition("/")[2]): b""})
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("", overlay_of(lab), BROKEN)


def test_a_tombstone_in_the_wrong_place(lab: Lab) -> None:
    lab.change({f"tombstones/run/00/{lab.ids['purged']}": b""})
    (found,) = lab.found()
    path = f"tombstones/run/00/{lab.ids['purged']}"
    assert (found.run, found.path, found.severity) == (lab.ids["purged"], path, BROKEN)


@pytest.mark.parametrize(
    ("data", "severity", "words"),
    [
        (b'epoch: 0\nformat: 1\nmin_reader: "x"\nmin_writer: 1\n', BROKEN, "min_reader holds 'x'"),
        (b"epoch: true\nformat: 1\nmin_reader: 1\nmin_writer: 1\n", BROKEN, "epoch holds True"),
        (b"epoch: 0\nmin_reader: 1\nmin_writer: 1\n", BROKEN, "has no format"),
        (BAD_YAML, DAMAGED, "format"),
        (None, DAMAGED, "is missing"),
    ],
)
def test_store_yaml(lab: Lab, data: bytes | None, severity: str, words: str) -> None:
    lab.change({"store.yaml": data})
    found = [f for f in lab.found() if f.path]
    (first,) = found
    assert (first.run, first.path, first.severity) == ("", "store.yaml", severity)
    assert words in first.what


def test_a_store_of_a_newer_format_is_not_judged(lab: Lab) -> None:
    lab.change({"store.yaml": b"epoch: 0\nformat: 9\nmin_reader: 9\nmin_writer: 9\n"})
    with pytest.raises(StoreFormatError):
        lab.fsck()


# -- what is not joined yet ------------------------------------------------------------------


def test_what_was_fetched_is_checked_too(lab: Lab, honest: Path, tmp_path: Path) -> None:
    theirs = Lab(honest, tmp_path / "theirs", "b")
    written("theirs", "params.yaml", BAD_YAML)(theirs)
    fact("clean", "params.yaml", "theirs", 1)(theirs)
    fact("clean", "params.yaml", "ours", 1)(lab)
    ref = "refs/gittrack/remote/origin/store/main"
    lab.repo.git("fetch", "-q", theirs.repo.path, f"+{layout.STORE_REF}:{ref}")
    report = lab.fsck(history=True)
    (found,) = report.findings
    path = f"{lab.folder('theirs')}/params.yaml"
    assert (found.run, found.path, found.severity) == (lab.ids["theirs"], path, DAMAGED)
    assert found.ref == ref
    assert set(report.tips) == {layout.STORE_REF, ref}
    # What both have alike is checked once, and so is what is wrong with it.
    assert report.runs == 6 + 2
    theirs.git.close()


def test_what_was_refused_is_named(lab: Lab) -> None:
    forger = Forger(lab.repo, lab.repo.git("rev-parse", layout.STORE_REF))
    evil = forger.at(f"{lab.folder('clean')}/artifacts/x", "120000", forger.blob(b"/etc/passwd"))
    ref = "refs/gittrack/remote/origin/store/main"
    lab.repo.git("update-ref", ref, evil)
    (found,) = lab.found()
    assert (found.run, found.severity, found.ref) == ("", BROKEN, ref)
    assert "what origin has is refused" in found.what and "symlink" in found.what
    lab.repo.git("update-ref", ref, forger.commit(forger.raw([])))
    (found,) = lab.found()
    assert "holds no store.yaml" in found.what
    forger.git.close()


# -- objects ---------------------------------------------------------------------------------

SPOILT = (
    "deleted", "empty", "cut short", "flipped at its beginning", "flipped at its end", "another's",
)  # fmt: skip
#: An object of the store: its path, and the run that it belongs to.
OBJECTS: dict[str, tuple[Callable[[Lab], str], str]] = {
    "facts": (run_file("clean", "run.yaml"), "clean"),
    "notes": (run_file("clean", "notes.yaml"), "clean"),
    "segment": (lambda lab: lab.one(f"{lab.folder('deleted')}/metrics"), "deleted"),
    "artifact": (run_file("clean", "artifacts/report.txt"), "clean"),
    "folder of artifacts": (run_file("clean", "artifacts"), "clean"),
    "folder of metrics": (run_file("clean", "metrics"), "clean"),
    "folder of a run": (lambda lab: lab.folder("clean"), "clean"),
    "folder above runs": (lambda lab: lab.folder("clean").rpartition("/")[0], ""),
    "folder of experiments": (lambda lab: "experiments", ""),
    "experiment": (lambda lab: lab.one("experiments/default-37a8eec1"), ""),
    "environment": (env_of, ""),
    "file of an overlay": (lambda lab: f"{overlay_of(lab)}/train.py", ""),
    "store.yaml": (lambda lab: "store.yaml", ""),
    "top": (lambda lab: "", ""),
}


#: Each way once for a file and for a folder, two of them for every object.
SPOILT_OBJECTS = [
    (what, how)
    for what in OBJECTS
    for how in SPOILT
    if what in ("notes", "folder of a run") or how in ("deleted", "cut short")
]


@pytest.mark.parametrize(("what", "how"), SPOILT_OBJECTS)
def test_an_object_that_is_damaged_on_disk(lab: Lab, what: str, how: str) -> None:
    find, run = OBJECTS[what]
    path = find(lab)
    lab.loosen()
    oid = lab.oid(path)
    lab.spoil(how, oid)
    (found,) = lab.found()
    assert (found.run, found.path) == (lab.ids[run] if run else "", path)
    assert found.severity == DAMAGED
    if how == "deleted":
        assert found.what == "is missing from this repository"
        assert found.next == "git fetch --refetch origin"
    else:
        assert "damaged" in found.what or "is a blob, where" in found.what
        assert found.next in ("", f"rm -f {lab.loose(oid)}; git fetch --refetch origin")


@pytest.mark.parametrize("how", ["deleted", "flipped at its end"])
def test_a_tip_that_cannot_be_read(lab: Lab, how: str) -> None:
    lab.loosen()
    tip = lab.repo.git("rev-parse", layout.STORE_REF)
    lab.spoil(how, tip)
    report = lab.fsck(history=True, sources=True)
    (found,) = report.findings
    assert (found.run, found.path, found.severity) == ("", "", DAMAGED)
    assert found.what.endswith(f": commit {tip}")
    assert report.runs == 0


def test_what_only_the_history_holds(lab: Lab) -> None:
    path = f"{lab.folder('clean')}/notes.yaml"
    lab.loosen()
    old = lab.oid(path)
    commit = lab.repo.git("rev-parse", layout.STORE_REF)
    noted("clean", "tags.new", "x")(lab)
    lab.spoil("flipped at its end", old)
    assert lab.found() == []
    (found,) = lab.found(history=True)
    assert (found.run, found.path, found.severity) == (lab.ids["clean"], path, DAMAGED)
    assert found.what == f"is damaged on disk, in commit {commit[:12]} of the history"
    # Commits, too: what comes before them is not known.
    lab.spoil("deleted", commit)
    (found,) = lab.found(history=True)
    assert found.what == f"is missing from this repository: commit {commit}"


def test_a_history_that_is_cut_off_is_fine(lab: Lab, tmp_path: Path) -> None:
    source = f"file://{lab.repo.path}"
    shallow = GitRepo.create(tmp_path / "shallow")
    shallow.git("fetch", "-q", "--depth=1", source, f"+{layout.STORE_REF}:{layout.STORE_REF}")
    with Repo.find(shallow.path, {}) as opened:
        report = opened.fsck(history=True)
    assert [finding.what for finding in report.findings if finding.severity != ODD] == []


def packs(lab: Lab) -> list[Path]:
    return sorted(Path(lab.git.common_dir, "objects", "pack").glob("*.pack"))


@pytest.mark.parametrize("cut", [True, False])
def test_a_pack_that_is_damaged(lab: Lab, cut: bool) -> None:
    before = set(packs(lab))
    written("dirty", "new.bin", bytes(range(256)) * 10)(lab)
    (pack,) = set(packs(lab)) - before
    data = pack.read_bytes()
    pack.chmod(0o644)
    if cut:
        pack.write_bytes(data[: len(data) // 2])
        found = lab.found(history=True)
        # git uses nothing of such a pack, and the tip is in it.
        assert [f.severity for f in found] == [DAMAGED, DAMAGED]
        assert any(pack.name in f.what and f.next == "git fsck" for f in found)
        assert any("is missing from this repository: commit" in f.what for f in found)
    else:
        middle = len(data) // 2
        pack.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
        found = [f for f in lab.found(history=True) if f.severity == DAMAGED]
        assert found
        assert all(f.run in ("", lab.ids["dirty"]) for f in found)


def test_what_is_said_to_type_works(lab: Lab, honest: Path, tmp_path: Path) -> None:
    """A damaged object comes back from the remote, and the index hears of it."""
    import shutil

    shutil.copytree(honest / "hub.git", tmp_path / "hub.git")
    path = f"{lab.folder('clean')}/notes.yaml"
    lab.loosen()
    lab.spoil("cut short", lab.oid(path))
    with Repo.find(lab.repo.path, {}) as opened:
        assert opened.get_run(lab.ids["clean"]).name == "(damaged)"
    (found,) = lab.found()
    lab.repo.sh(found.next)
    (found,) = lab.found()
    assert (found.run, found.severity) == (lab.ids["clean"], ODD)
    assert found.what == "still shows it as damaged"
    lab.repo.sh(found.next)
    assert lab.found(history=True, sources=True) == []
    with Repo.find(lab.repo.path, {}) as opened:
        assert opened.get_run(lab.ids["clean"]).name == "clean"


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "honest").mkdir()
    make_honest(tmp_path / "honest", "--object-format=sha256")
    lab = Lab(tmp_path / "honest", tmp_path / "repo")
    assert lab.found(history=True, sources=True) == []
    path = f"{lab.folder('clean')}/artifacts/report.txt"
    lab.loosen()
    lab.spoil("flipped at its end", lab.oid(path))
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (lab.ids["clean"], path, DAMAGED)
    lab.spoil("deleted", lab.oid(lab.folder("nested")))
    assert {f.path for f in lab.found()} == {path, lab.folder("nested")}
    lab.git.close()


def test_a_file_that_is_too_large_for_hosts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from gittrack.store import sound

    most = 20_000
    monkeypatch.setattr(sound, "MOST_FILE_BYTES", most)
    monkeypatch.setattr("gittrack.repo.fsck.walk.MOST_FILE_BYTES", most)
    large = written("clean", "new.bin", b"x" * 40_000)(lab)
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (lab.ids["clean"], large, ODD)
    assert found.what == "has 40,000 bytes; hosts take no file of 20,000"
    lab.loosen()
    lab.spoil("another's", lab.oid(large))
    lab.spoil("deleted", lab.oid(f"{lab.folder('nested')}/run.yaml"))
    assert {f.path for f in lab.found()} == {large, f"{lab.folder('nested')}/run.yaml"}
    # What has to be read is lost if it is so large.
    params = written("theirs", "params.yaml", b"a: 1\n" * 8_000)(lab)
    found = next(f for f in lab.found() if f.path == params)
    assert (found.run, found.severity) == (lab.ids["theirs"], DAMAGED)


# -- sources ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tree", "1" * 40),
        ("deleted", []),
        ("modes", {}),
        ("symlinks", {}),
        ("symlinks", {"link": "x"}),
    ],
)
def test_a_source_that_does_not_come_out(lab: Lab, key: str, value: object) -> None:
    path = fact("dirty", "source.yaml", key, value)(lab)
    assert lab.found() == []
    (found,) = lab.found(sources=True)
    assert (found.run, found.path, found.severity) == (lab.ids["dirty"], path, BROKEN)
    assert "rebuilds to tree" in found.what


def test_a_clean_source_that_does_not_come_out(lab: Lab) -> None:
    path = fact("clean", "run.yaml", "tree", "1" * 40)(lab)
    (found,) = lab.found(sources=True)
    assert (found.run, found.path, found.severity) == (lab.ids["clean"], path, BROKEN)


def test_changes_that_git_cannot_lay_out(lab: Lab) -> None:
    path = fact("dirty", "source.yaml", "modes", {"no/such": "100755"})(lab)
    (found,) = lab.found(sources=True)
    assert (found.run, found.path, found.severity) == (lab.ids["dirty"], path, BROKEN)
    assert "cannot be rebuilt" in found.what


def test_a_base_that_is_not_here(lab: Lab) -> None:
    path = fact("dirty", "source.yaml", "base", "1" * 40)(lab)
    (found,) = lab.found(sources=True)
    assert (found.run, found.path, found.severity) == (lab.ids["dirty"], path, ODD)
    assert found.next == f"git fetch origin {'1' * 40}"


# -- beside the store ------------------------------------------------------------------------


def journal_of(lab: Lab, data: bytes, run: str = "20260101-000000-0123456789ab") -> Path:
    folder = Path(lab.git.common_dir, "gittrack", "journal", run)
    folder.mkdir(parents=True)
    path = folder / "0b5f11d7.log"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "severity", "words"),
    [
        (b"nothing\n", DAMAGED, "does not say whose it is"),
        (b'J {"format":99}\n', ODD, "newer gittrack"),
    ],
)
def test_a_journal_that_cannot_be_read(lab: Lab, data: bytes, severity: str, words: str) -> None:
    path = journal_of(lab, data)
    found = [f for f in lab.found() if f.path]
    assert [(f.run, f.path, f.severity) for f in found] == [(path.parent.name, str(path), severity)]
    assert words in found[0].what


def test_a_journal_with_damaged_lines(lab: Lab) -> None:
    head = b'J {"format":1,"run":"20260101-000000-0123456789ab","writer":"0b5f11d7","open":true}\n'
    path = journal_of(lab, head + b"M 7 x\nrubbish\n")
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == (path.parent.name, str(path), DAMAGED)
    assert "2 damaged lines" in found.what
    path.write_bytes(head)
    assert lab.found() == []


def test_a_store_without_reflog(lab: Lab) -> None:
    Path(lab.git.common_dir, "logs", layout.STORE_REF).unlink()
    (found,) = lab.found()
    assert (found.run, found.path, found.severity) == ("", layout.STORE_REF, ODD)


def test_an_index_that_does_not_follow(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from gittrack.index import Index
    from gittrack.repo.view import View

    monkeypatch.setattr(View, "index", lambda self: Index.open(self._index_path()))
    (found,) = lab.found()
    assert found.severity == ODD and found.path.endswith("index.sqlite")
    assert found.next == f"rm -f {found.path}"


# -- whatever comes --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_no_value_stops_a_check(repo: GitRepo, seed: int) -> None:
    import random

    from tests.repo.test_hostile import EVIL, evil_files, forge

    chance = random.Random(seed)
    tip = None
    for _ in range(6):
        tip = forge(repo, evil_files(chance), tip)
        with Repo.find(repo.path, {}) as opened:
            report = opened.fsck(sources=True)
        assert {f.run for f in report.findings if f.severity == DAMAGED} <= {EVIL}
        assert report.runs == 2
