"""Objects that are damaged on disk: they are not there, and everything else is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from gittrack.errors import CorruptStoreError, GitError, NotARepositoryError
from gittrack.repo import Repo
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader, PygitReader, Reader
from gittrack.store.paths import find_paths
from gittrack.store.sound import Objects, Wanted
from gittrack.store.write import Person, Tree, commit, read_ref
from tests.support import GitRepo

ADA = Person("Ada", "ada@example.org")


@pytest.fixture
def git(repo: GitRepo) -> Iterator[Git]:
    made = Git(find_paths(repo.path, {}))
    yield made
    made.close()


def blobs(git: Git, count: int) -> list[str]:
    """Loose objects that hold some hundred bytes each."""
    texts = [b"%d\n" % number * 200 for number in range(count)]
    return [git.run("hash-object", "-w", "--stdin", input=t).decode().strip() for t in texts]


def loose(git: Git, oid: str) -> Path:
    return Path(git.common_dir, "objects", oid[:2], oid[2:])


def overwrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def damage(git: Git, oids: list[str]) -> dict[str, str]:
    """Damage some objects in every way; how, by their ids."""
    ways = {}
    for number, how in ((1, "end"), (2, "beginning"), (3, "short"), (4, "empty"), (5, "gone")):
        path = loose(git, oids[number])
        data = path.read_bytes()
        if how == "end":
            overwrite(path, data[:-2] + bytes([data[-2] ^ 8]) + data[-1:])
        elif how == "beginning":
            overwrite(path, bytes([data[0] ^ 8]) + data[1:])
        elif how == "short":
            overwrite(path, data[: len(data) // 2])
        elif how == "empty":
            overwrite(path, b"")
        else:
            path.unlink()
        ways[oids[number]] = how
    return ways


@pytest.mark.parametrize("kind", [CatFileReader, PygitReader])
def test_the_others_are_read(git: Git, kind: type[CatFileReader] | type[PygitReader]) -> None:
    oids = blobs(git, 8)
    ways = damage(git, oids)
    reader: Reader = kind(git)
    found = dict(zip(oids, reader.read_many(oids), strict=True))
    assert {oid for oid, data in found.items() if data is None} == set(ways)
    assert found[oids[7]] == b"7\n" * 200
    objects = list(reader.read_objects([oids[1], oids[0], oids[5]]))
    assert [item and (item.oid, item.type) for item in objects] == [None, (oids[0], "blob"), None]


def test_a_thousand_damaged_objects_fill_no_pipe(git: Git) -> None:
    """git says something of each on its standard error, which nobody reads."""
    (oid,) = blobs(git, 1)
    overwrite(loose(git, oid), b"rubbish")
    assert list(git.cat_file().read_many([oid] * 2000)) == [None] * 2000


def test_a_helper_that_was_killed_is_no_damage(git: Git) -> None:
    (oid,) = blobs(git, 1)
    for waits in (False, True):
        cat_file = git.cat_file()
        pipes = (cat_file._requests, cat_file._answers)
        cat_file._process.kill()
        if waits:
            cat_file._process.wait()
        found = git.cat_file().read(oid)
        assert found is not None and found.data == b"0\n" * 200
        # Nothing of the old one stays open.
        assert all(pipe.closed for pipe in pipes)
        assert git.cat_file() is cat_file


@pytest.mark.parametrize("times", [3, 1000])
def test_a_helper_that_is_killed_again_and_again_is_no_damage(
    git: Git, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (oid,) = blobs(git, 1)
    reader = git.cat_file()
    start, started = reader._start, itertools.count()

    def start_and_kill() -> None:
        start()
        if next(started) < times:
            reader._process.kill()

    monkeypatch.setattr(reader, "_start", start_and_kill)
    reader._process.kill()
    if times == 3:
        found = reader.read(oid)
        assert found is not None and found.data == b"0\n" * 200
    else:
        with pytest.raises(GitError, match="again and again"):
            reader.read(oid)


def test_a_repository_that_git_cannot_read_at_all_says_so(repo: GitRepo, git: Git) -> None:
    (oid,) = blobs(git, 1)
    Path(repo.path, ".git", "config").write_text("[core]\n\trepositoryFormatVersion = 99\n")
    with pytest.raises((GitError, NotARepositoryError)):
        git.cat_file().read(oid)


def test_a_ref_whose_commit_is_lost_is_a_ref_all_the_same(repo: GitRepo, git: Git) -> None:
    tip = commit(git, layout.STORE_REF, None, Tree({"a": b"1"}, "x"), ADA, 1, fsync=False)
    assert read_ref(git, layout.STORE_REF) == tip
    for path in Path(git.common_dir, "objects", "pack").iterdir():
        path.unlink()
    git.close()
    assert read_ref(git, layout.STORE_REF) == tip
    git.run("pack-refs", "--all", check=False)
    assert read_ref(git, layout.STORE_REF) == tip
    assert read_ref(git, "refs/gittrack/store/none") is None
    with Repo.find(repo.path, {}) as opened, pytest.raises(CorruptStoreError):
        opened.init()
    assert repo.git("for-each-ref", "--format=%(objectname)", layout.STORE_REF) == tip


# -- what fsck reads with ------------------------------------------------------------------


def test_objects_are_what_their_ids_say(git: Git) -> None:
    oids = blobs(git, 8)
    ways = damage(git, oids)
    # Whole, but another's: git itself does not see it.
    overwrite(loose(git, oids[6]), loose(git, oids[7]).read_bytes())
    objects = Objects(git)
    found = list(objects.read([Wanted(oid, "blob") for oid in oids]))
    assert [item.is_lost for item in found] == [oid in ways for oid in oids]
    assert found[0].data == b"0\n" * 200 and found[0].size == 400
    assert found[6].why == "is damaged: its bytes are not those of its id"
    assert objects.sound == {bytes.fromhex(oids[0]), bytes.fromhex(oids[7])}
    (wrong,) = objects.read([Wanted(oids[0], "tree")])
    assert wrong.why == "is a blob, where a tree belongs"
    losses, said = objects.explain([*ways, "1" * len(oids[0])])
    assert said == []
    for oid, how in ways.items():
        gone = how == "gone"
        assert losses[oid].why.startswith("is missing" if gone else "is damaged on disk")
        assert losses[oid].file == ("" if gone else str(loose(git, oid)))
    assert losses["1" * len(oids[0])].why == "is missing from this repository"


def test_few_bytes_are_in_memory_at_once(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    oids = blobs(git, 40)
    asked: list[int] = []
    real = type(git.cat_file())._ask

    def counted(self: object, specs: list[str]) -> object:
        asked.append(len(specs))
        return real(self, specs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(git.cat_file()), "_ask", counted)
    monkeypatch.setattr("gittrack.store.sound._BYTES_AT_ONCE", 2000)
    monkeypatch.setattr("gittrack.store.sound.MOST_FILE_BYTES", 500)
    found = list(Objects(git).read([Wanted(oid, "blob") for oid in oids]))
    assert max(asked) <= 5
    # The larger ones are hashed as they come.
    assert [item.size for item in found] == [400] * 10 + [600] * 30
    assert [item.data is None for item in found] == [False] * 10 + [True] * 30
    assert not any(item.why for item in found)
    overwrite(loose(git, oids[20]), loose(git, oids[21]).read_bytes())
    (other,) = Objects(git).read([Wanted(oids[20], "blob")])
    assert other.why


def test_closing_again_in_the_middle_of_closing_waits_for_nothing(git: Git) -> None:
    reader = git.cat_file()
    close, closed = reader.close, []

    def interrupted() -> None:
        closed.append(1)
        if len(closed) == 1:
            git.close()  # as the handler of a signal does
        close()

    reader.close = interrupted  # type: ignore[method-assign]
    git.close()
    assert closed == [1]


def test_an_answer_that_nobody_waited_for_is_not_taken_for_another(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = blobs(git, 2)
    reader = git.cat_file()
    answer = reader._answer

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reader, "_answer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        reader.read(one)
    monkeypatch.setattr(reader, "_answer", answer)
    # Whoever waited for its turn, and whoever comes later.
    for again in (reader, git.cat_file()):
        found = again.read(two)
        assert found is not None and found.oid == two


@pytest.mark.timeout(30)
def test_requests_of_any_length_are_answered(git: Git) -> None:
    """git answers while it reads; neither side may wait for the other with both pipes full."""
    oid = git.run("hash-object", "-w", "--stdin", input=b"x" * 5000).decode().strip()
    long = f"{oid}:{'d' * 250}/{'f' * 5000}"
    found = list(git.cat_file().read_many([oid, long] * 300))
    assert [item and item.oid for item in found] == [oid, None] * 300
