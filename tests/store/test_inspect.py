"""Hostile and broken stores are refused, with the path; what is merely damaged is let through."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gittrack.core import codec
from gittrack.errors import CorruptStoreError, MissingObjectError
from gittrack.repo.seal import first_files
from gittrack.store import inspect as room
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.inspect import inspect
from gittrack.store.objects import CatFileReader, PygitReader, bulk_reader
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, Tree, commit
from tests.support import GitRepo

ADA = Person("Ada", "ada@example.org")
RUN = "20260101-000000-0123456789ab"
FOLDER = layout.run_dir(RUN)


class Forger:
    """Makes objects that no honest git command makes."""

    def __init__(self, repo: GitRepo, good: str | None = None) -> None:
        self.repo = repo
        self.git = Git(find_paths(repo.path, {}))
        self.good = good or self._make_good()

    def _make_good(self) -> str:
        run = {f"{FOLDER}/run.yaml": codec.encode_mapping({"id": RUN})}
        files = Tree({**first_files(), **run}, "store\n")
        return commit(self.git, layout.STORE_REF, None, files, ADA, 1, fsync=False)

    def blob(self, data: bytes) -> str:
        return self.git.run("hash-object", "-w", "--stdin", input=data).decode().strip()

    def raw(self, entries: list[tuple[str, bytes, str]]) -> str:
        data = b"".join(b"%b %b\0%b" % (m.encode(), n, bytes.fromhex(o)) for m, n, o in entries)
        arguments = ("hash-object", "-t", "tree", "-w", "--literally", "--stdin")
        return self.git.run(*arguments, input=data).decode().strip()

    def at(self, path: str, mode: str, oid: str, base: str | None = None) -> str:
        """A commit that is the good store with one more entry, put there as it is."""
        tree = self.repo.git("rev-parse", f"{base or self.good}^{{tree}}")
        return self.commit(self._put(tree, path.split("/"), mode, oid))

    def _put(self, tree: str | None, parts: list[str], mode: str, oid: str) -> str:
        entries: dict[str, tuple[str, str]] = {}
        if tree is not None:
            for line in self.repo.git("ls-tree", tree).splitlines():
                facts, name = line.split("\t")
                old_mode, _, old_oid = facts.split(" ")
                entries[name] = old_mode.lstrip("0"), old_oid
        if len(parts) == 1:
            entries[parts[0]] = mode, oid
        else:
            below = entries.get(parts[0], (None, None))[1]
            entries[parts[0]] = "40000", self._put(below, parts[1:], mode, oid)
        return self.raw([(m, name.encode(), o) for name, (m, o) in sorted(entries.items())])

    def commit(self, tree: str) -> str:
        return self.repo.git("commit-tree", "-m", "x", tree)

    def file(self, path: str, data: bytes) -> str:
        return self.at(path, "100644", self.blob(data))


@pytest.fixture
def forger(repo: GitRepo) -> Iterator[Forger]:
    made = Forger(repo)
    yield made
    made.git.close()


def refusal(forger: Forger, theirs: str) -> str:
    """Why a store is refused; the same whether all of it or only what is new is looked at."""
    said = []
    for known in (None, forger.good):
        with pytest.raises(CorruptStoreError) as caught:
            inspect(forger.git, theirs, known)
        said.append(str(caught.value))
    assert said[0] == said[1]
    return said[0]


EVIL_NAMES = (
    b".git", b".GIT", b".gIt ", b".git.", b"..", b".", b"a\\b", b"a:b", b"a/b", b"\xff", "é".encode(),
    b"a\nb", b"\x1b[31m", b"x" * 256, b"",
)  # fmt: skip


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_names_that_lead_elsewhere(forger: Forger, name: bytes) -> None:
    blob = forger.blob(b"x")
    folder = forger.raw([("100644", name, blob)])
    said = refusal(forger, forger.at(f"{FOLDER}/artifacts", "40000", folder))
    assert f"in {FOLDER}/artifacts/" in said or "git's format" in said


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("120000", "a symlink"), ("160000", "a submodule"), ("100664", "100664"), ("40000", "a tree")],
)
def test_what_is_no_file(forger: Forger, mode: str, kind: str) -> None:
    blob = forger.blob(b"/etc/passwd")
    said = refusal(forger, forger.at(f"{FOLDER}/artifacts/x", mode, blob))
    assert kind in said and "artifacts" in said


def test_one_name_twice(forger: Forger) -> None:
    one, two = forger.blob(b"1"), forger.blob(b"2")
    folder = forger.raw([("100644", b"a", one), ("100644", b"a", two)])
    said = refusal(forger, forger.at(f"{FOLDER}/artifacts", "40000", folder))
    assert "twice" in said


@pytest.mark.parametrize(
    "path", ["runs", "runs/2026-01", "runs/2026-01/01/00", FOLDER, "tombstones", "env", "source"]
)
def test_a_file_where_folders_belong(forger: Forger, path: str) -> None:
    assert f"{path} is a file" in refusal(forger, forger.file(path, b"x"))


def test_a_folder_that_is_the_stores_own_file(forger: Forger) -> None:
    folder = forger.raw([("100644", b"a", forger.blob(b"x"))])
    assert "store.yaml is a folder" in refusal(forger, forger.at("store.yaml", "40000", folder))


def test_objects_that_are_not_here(forger: Forger) -> None:
    for mode in ("100644", "40000"):
        theirs = forger.at(f"{FOLDER}/artifacts/x", mode, "12" * 20)
        with pytest.raises(MissingObjectError, match=f"{FOLDER}/artifacts/x is missing"):
            inspect(forger.git, theirs, None)
    with pytest.raises(MissingObjectError):
        inspect(forger.git, "34" * 20, None)
    # A ref may point to anything.
    with pytest.raises(MissingObjectError):
        inspect(forger.git, forger.blob(b"no commit"), None)


def test_a_tree_cut_short(forger: Forger) -> None:
    data = b"100644 a\0" + b"1" * 7
    arguments = ("hash-object", "-t", "tree", "-w", "--literally", "--stdin")
    tree = forger.git.run(*arguments, input=data).decode().strip()
    assert "damaged" in refusal(forger, forger.at(f"{FOLDER}/artifacts", "40000", tree))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a: &x [1]\nb: [*x, *x]\n", "anchor"),
        (b"a: !!python/object/apply:os.system ['x']\n", "tag"),
        (b"a: " + b"[" * 30 + b"]" * 30 + b"\n", "deeper than"),
        (b"".join(b" " * n + b"a:\n" for n in range(40)), "deeper than"),
        (b"a: {" * 25 + b"}" * 25 + b"\n", "deeper than"),
    ],
)
@pytest.mark.parametrize("name", ["run.yaml", "notes.yaml", "params.yaml", "new.map.yaml"])
def test_yaml_that_expands_or_nests_without_end(
    forger: Forger, data: bytes, why: str, name: str
) -> None:
    said = refusal(forger, forger.file(f"{FOLDER}/{name}", data))
    assert f"{FOLDER}/{name}" in said and why in said


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (f"{FOLDER}/run.yaml", b"- no mapping\n"),
        (f"{FOLDER}/notes.yaml", b"\xff\xfe"),
        (f"{FOLDER}/notes.yaml", b"a: {t: x}\n"),
        (f"{FOLDER}/metrics/w-000000000000.csv", b'"'),
        # What users made is nobody's to parse: artifacts, and the code that ran.
        (f"{FOLDER}/artifacts/config.yaml", b"a: &x 1\nb: *x\n"),
        ("source/ab/abababababababababababab/conf.yaml", b"a: !tag 1\n"),
        # Text that only looks like it.
        (f"{FOLDER}/params.yaml", b'a: "*x & !y"\nb: "[[[[[[[[[[[[[[[[[[[[[[[[[[["\n'),
    ],
)
def test_what_is_merely_damaged_is_let_through(forger: Forger, path: str, data: bytes) -> None:
    theirs = forger.file(path, data)
    inspect(forger.git, theirs, None)
    inspect(forger.git, theirs, forger.good)


def test_files_of_no_sane_size(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_FILE_BYTES", 100)
    theirs = forger.file(f"{FOLDER}/artifacts/big", b"x" * 101)
    assert f"{FOLDER}/artifacts/big has 101 bytes" in refusal(forger, theirs)
    inspect(forger.git, forger.file(f"{FOLDER}/artifacts/big", b"x" * 100), None)


def test_folders_of_no_sane_size(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_FOLDER_BYTES", 400)
    blob = forger.blob(b"")
    folder = forger.raw([("100644", b"%06d" % n, blob) for n in range(100)])
    said = refusal(forger, forger.at(f"{FOLDER}/artifacts", "40000", folder))
    assert f"{FOLDER}/artifacts has 3,400 bytes" in said


def test_a_run_of_too_many_files(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_ENTITY_FILES", 50)
    blob = forger.blob(b"")
    folder = forger.raw([("100644", b"%06d" % n, blob) for n in range(60)])
    assert "more than 50 files" in refusal(forger, forger.at(f"{FOLDER}/x", "40000", folder))


def test_folders_without_end(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_LEVELS", 30)
    tree = forger.raw([("100644", b"a", forger.blob(b""))])
    for _ in range(40):
        tree = forger.raw([("40000", b"a", tree)])
    assert "levels deep" in refusal(forger, forger.at(f"{FOLDER}/artifacts", "40000", tree))


@pytest.mark.deep
def test_ten_million_entries(forger: Forger) -> None:
    """The real thing: 340 MB of one folder, which is never read."""
    oid = bytes.fromhex(forger.blob(b""))
    data = b"".join(b"100644 %08d\0" % n + oid for n in range(10_000_000))
    arguments = ("hash-object", "-t", "tree", "-w", "--literally", "--stdin")
    tree = forger.git.run(*arguments, input=data).decode().strip()
    assert "has 360,000,000 bytes" in refusal(forger, forger.at(f"{FOLDER}/x", "40000", tree))


def test_only_what_is_new_is_looked_at(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of many runs costs nothing where it is the same."""
    theirs = forger.file(f"{FOLDER}/params.yaml", b"a: 1\n")
    read: list[str] = []
    real: Callable[..., object] = CatFileReader.read_many

    def counted(self: CatFileReader, oids: object) -> object:
        wanted = list(oids)  # type: ignore[call-overload]
        read.extend(wanted)
        return real(self, wanted)

    monkeypatch.setattr(CatFileReader, "read_many", counted)
    inspect(forger.git, theirs, forger.good)
    # Two commits, two trees a level down to the run's folder, and the file.
    assert len(read) == 2 + 2 * 6 + 1


def test_both_readers_see_the_same(forger: Forger) -> None:
    theirs = forger.file(f"{FOLDER}/run.yaml", b"a: &x 1\n")
    assert isinstance(bulk_reader(forger.git), PygitReader)
    assert "anchor" in refusal(forger, theirs)
