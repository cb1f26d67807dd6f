"""Write commits onto a store ref: one `git fast-import`, moved by compare-and-swap."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.errors import GitError, RefMovedError
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import Put

_TEMPORARY_PACK = re.compile(r"tmp_pack_\w+")
#: How long a lock that somebody else holds on the ref is waited for.
_LOCK_PATIENCE_S = 2.0
#: How long another gittrack process is let go first.
_TURN_PATIENCE_S = 1.0
#: One lost race costs a few ms; 16 processes that write at once need about as many tries.
_MAX_TRIES = 200


class Person(NamedTuple):
    """Name and e-mail as they stand in a commit."""

    name: str
    email: str


#: Who joins stores, and starts them: so that all clones make the same commits.
NOBODY = Person("gittrack", "gittrack")


class Tree(NamedTuple):
    """The new content of paths: bytes, or None to remove; all else stays as it is."""

    files: dict[str, bytes | None]
    message: str


def commit(
    git: Git, ref: str, parent: str | None, tree: Tree, who: Person, when_s: int, *, fsync: bool
) -> str:
    """Add one commit to a ref that points to `parent`, or does not exist if that is None.

    Objects are packed and, with `fsync`, on disk before the ref moves. fast-import without
    --force passes the value it read to git's ref transaction, so a ref that moved meanwhile
    is not overwritten.

    Returns:
        The id of the new commit.
    Raises:
        RefMovedError: the ref no longer points to `parent`.
        GitError: git could not write, for instance to a full disk.
    """
    stamp = f"{_clean(who.name)} <{_clean(who.email)}> {when_s} +0000\n".encode()
    message = tree.message.encode()
    chunks = [
        b"feature done\ncommit %b\nmark :1\n" % ref.encode(),
        b"author " + stamp,
        b"committer " + stamp,
        b"data %d\n%b\n" % (len(message), message),
    ]
    if parent is not None:
        chunks.append(b"from %b\n" % parent.encode())
    for path in sorted(tree.files):
        data = tree.files[path]
        if data is None:
            chunks.append(b"D %b\n" % path.encode())
        else:
            chunks.append(b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(data), data))
    chunks.append(b"\nget-mark :1\ndone\n")
    return _import(git, ref, b"".join(chunks), who, fsync=fsync)


def commit_join(
    git: Git,
    ref: str,
    ours: str,
    theirs: str,
    parents: Sequence[str],
    tree: str,
    changes: Mapping[str, Put],
    *,
    fsync: bool,
) -> str:
    """Add the join of two store commits to a ref that points to `ours`.

    Two clones that join the same commits make the same commit: the identity is nobody's, the
    time is the later side's.

    Args:
        parents: of the join, in their order; ours is missing where theirs is of a newer epoch.
        tree: the tree of ours.
        changes: what makes it the joined one.
    Raises:
        RefMovedError: the ref no longer points to `ours`.
    """
    out = git.run("show", "-s", "--format=%ct", ours, theirs)
    when_s = max(int(word) for word in out.split())
    return _commit_over(
        git, ref, ours, parents, tree, changes, "join two stores [skip ci]\n", when_s, NOBODY,
        fsync=fsync,
    )  # fmt: skip


def commit_anew(
    git: Git, ref: str, ours: str, changes: Mapping[str, Put], message: str, who: Person,
    when_s: int, *, fsync: bool,
) -> str:  # fmt: skip
    """Replace a ref that points to `ours` by a commit without parents: what is in it, changed.

    Raises:
        RefMovedError: the ref no longer points to `ours`.
    """
    tree = git.run("rev-parse", f"{ours}^{{tree}}").decode().strip()
    return _commit_over(git, ref, ours, (), tree, changes, message, when_s, who, fsync=fsync)


def _commit_over(
    git: Git,
    ref: str,
    ours: str,
    parents: Sequence[str],
    tree: str,
    changes: Mapping[str, Put],
    message: str,
    when_s: int,
    who: Person,
    *,
    fsync: bool,
) -> str:
    """Commit a changed tree, and point a ref to it that pointed to `ours`."""
    # fast-import moves a ref only forward. What starts a new history goes by a ref of its own.
    is_forward = ours in parents
    target = ref if is_forward else f"{layout.SCRATCH_REFS}{os.urandom(6).hex()}"
    text = message.encode()
    stamp = f"{_clean(who.name)} <{_clean(who.email)}> {when_s} +0000\n".encode()
    chunks = [
        b"feature done\ncommit %b\nmark :1\ncommitter %b" % (target.encode(), stamp),
        b"data %d\n%b\n" % (len(text), text),
        *(
            b"%b %b\n" % (b"merge" if at else b"from", parent.encode())
            for at, parent in enumerate(parents)
        ),
        b'M 040000 %b ""\n' % tree.encode(),
    ]
    # What goes makes room before what comes: a file may take the place of a folder.
    for path in sorted(changes, key=lambda path: (changes[path] != (None, None), path)):
        entry, data = changes[path]
        if entry is not None:
            mode = "040000" if entry.is_tree else entry.mode
            chunks.append(f"M {mode} {entry.oid} {path}\n".encode())
        elif data is not None:
            chunks.append(b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(data), data))
        else:
            chunks.append(b"D %b\n" % path.encode())
    chunks.append(b"\nget-mark :1\ndone\n")
    made = _import(git, target, b"".join(chunks), who, fsync=fsync)
    if not is_forward and not _move(git, [(ref, made, ours), (target, None, made)]):
        git.run("update-ref", "-d", target)
        raise RefMovedError(f"{ref} moved while a commit was written")
    return made


class Blob(NamedTuple):
    """A file that is committed: its bytes, and whether it is a program."""

    data: bytes
    is_exec: bool = False


def commit_alone(
    git: Git, files: Mapping[str, Blob], message: str, when_s: int, *, fsync: bool
) -> str:
    """Write a commit of nobody's, without parents, that no ref points to yet; its id.

    The same files, message and time are the same commit. Point a ref to it soon: git collects what
    none points to.
    """
    target = f"{layout.SCRATCH_REFS}{os.urandom(6).hex()}"
    text = message.encode()
    stamp = f"{NOBODY.name} <{NOBODY.email}> {when_s} +0000\n".encode()
    chunks = [
        b"feature done\ncommit %b\nmark :1\ncommitter %b" % (target.encode(), stamp),
        b"data %d\n%b\n" % (len(text), text),
    ]
    for path, (data, is_exec) in sorted(files.items()):
        mode = b"100755" if is_exec else b"100644"
        chunks.append(b"M %b inline %b\ndata %d\n%b\n" % (mode, path.encode(), len(data), data))
    chunks.append(b"\nget-mark :1\ndone\n")
    for attempt in range(_MAX_TRIES):
        try:
            made = _import(git, target, b"".join(chunks), NOBODY, fsync=fsync)
        except RefMovedError:
            # The ref is ours alone; somebody is writing the same pack.
            pause(attempt)
            continue
        _move(git, [(target, None, made)])
        return made
    raise RefMovedError(f"a commit could not be written in {_MAX_TRIES} tries", next="try again")


def move_ref(git: Git, ref: str, new: str, old: str | None) -> bool:
    """Point a ref to a commit that is here, if it still points where it was read.

    Raises:
        GitError: git could not write.
    """
    return _move(git, [(ref, new, old)])


def _move(git: Git, moves: Sequence[tuple[str, str | None, str | None]]) -> bool:
    """Move refs, all or none, as (ref, where to or None to delete it, where it was read)."""
    zero = "0" * max(len(oid or "") for _, *oids in moves for oid in oids)
    lines = [
        f"delete {ref} {old}" if new is None else f"update {ref} {new} {old or zero}"
        for ref, new, old in moves
    ]
    command = "\n".join(["start", *lines, "prepare", "commit", ""]).encode()
    message = ("-c", "core.logAllRefUpdates=always", "update-ref", "-m", "gittrack", "--stdin")
    process = git.start(*message, stdin=True)
    _, err = process.communicate(command)
    if process.returncode == 0:
        return True
    text = err.decode("utf-8", "replace")
    if "but expected" in text or "already exists" in text or ".lock': File exists" in text:
        return False
    raise GitError(f"{moves[0][0]} was not moved", why=text.strip())


def _import(git: Git, ref: str, stream: bytes, who: Person, *, fsync: bool) -> str:
    process = git.start(
        # Always a pack, never loose objects: a thousand small runs would otherwise make the
        # user's next `git commit` start collecting garbage.
        *("-c", "fastimport.unpackLimit=1"),
        *("-c", f"core.fsync={'all' if fsync else 'none'}"),
        *("-c", "core.logAllRefUpdates=always"),
        "fast-import",
        "--quiet",
        "--done",
        "--date-format=raw",
        f"--export-pack-edges={pack_list(git.common_dir)}",
        stdin=True,
        env={
            "GIT_COMMITTER_NAME": who.name or "gittrack",
            "GIT_COMMITTER_EMAIL": who.email,
            # The reflog's message and identity; a missing identity must not stop a run.
            "GIT_REFLOG_ACTION": "gittrack",
        },
    )
    out, err = process.communicate(stream)
    text = err.decode("utf-8", "replace").strip()
    if process.returncode == 0:
        return out.decode().strip()
    if "Not updating" in text or "but expected" in text or "reference already exists" in text:
        raise RefMovedError(f"{ref} moved while a commit was written", why=text)
    if ".lock': File exists" in text:
        lock = os.path.join(git.common_dir, *ref.split("/")) + ".lock"
        raise LockedError(
            f"{ref} is locked",
            why=f"another git process is writing it, or one died and left {lock}",
            next=f"if no git process runs any more: rm '{lock}'",
        )
    _clean_up(git, process.pid, text)
    if "cannot create keep file" in text:
        # Two processes that join the same commits write the same pack, at the same time.
        raise RefMovedError(f"{ref} is being written by another process", why=text)
    if "No space left on device" in text or "Out of diskspace" in text:
        raise GitError(
            "the disk is full",
            why="nothing was committed; runs that have ended are safe in their journals",
            next="free some space, then try again; gittrack recover commits ended runs",
        )
    raise GitError("nothing was committed", why=text or "git fast-import failed")


def _clean_up(git: Git, pid: int, text: str) -> None:
    """Take away what a fast-import that died leaves: its report, and its half-written pack."""
    leftovers = [os.path.join(git.git_dir, f"fast_import_crash_{pid}")]
    pack_dir = os.path.join(git.common_dir, "objects", "pack")
    leftovers += [os.path.join(pack_dir, name) for name in _TEMPORARY_PACK.findall(text)]
    for path in leftovers:
        with contextlib.suppress(OSError):
            os.unlink(path)


class LockedError(GitError):
    """The ref's lock file exists; the writer that holds it may be alive or dead."""


def update(
    git: Git,
    ref: str,
    plan: Callable[[str | None], Tree | None],
    who: Person,
    *,
    fsync: bool = True,
    now: Callable[[], float] = time.time,
) -> str | None:
    """Commit what `plan` makes of the tip, again and again until nobody came between.

    Args:
        plan: gets the id of the tip (None: there is no ref yet) and gives what to write, or
            None when nothing is to be written.
    Returns:
        The tip after it: the new commit, or the old one when nothing was written.
    """
    give_up = time.monotonic() + _LOCK_PATIENCE_S
    for attempt in range(_MAX_TRIES):
        with turn(git):
            tip = read_ref(git, ref)
            tree = plan(tip)
            if tree is None:
                return tip
            try:
                return commit(git, ref, tip, tree, who, int(now()), fsync=fsync)
            except LockedError:
                if time.monotonic() > give_up:
                    raise
            except RefMovedError:
                give_up = time.monotonic() + _LOCK_PATIENCE_S
        pause(attempt)
    raise RefMovedError(
        f"{ref} moved {_MAX_TRIES} times while a commit was written",
        why="many processes write to this repository at once",
        next="gittrack recover",
    )


@contextlib.contextmanager
def turn(git: Git) -> Iterator[None]:
    """Let processes of one machine write one after the other, as a courtesy.

    Right without it: the ref moves by compare-and-swap. But eight that race build, pack and
    sync most commits twice. The lock ends with its process, and nobody waits long for it.
    """
    import fcntl

    try:
        path = os.path.join(os.path.dirname(pack_list(git.common_dir)), "turn.lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        yield
        return
    give_up = time.monotonic() + _TURN_PATIENCE_S
    try:
        while True:
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN) or time.monotonic() > give_up:
                    break
            time.sleep(0.001 + 0.002 * _jitter())
        yield
    finally:
        os.close(fd)


def pause(attempt: int, longest_s: float = 0.01) -> None:
    """Wait a moment of no certain length, up to ten times as long the later the attempt."""
    time.sleep(_jitter() * longest_s * min(attempt + 1, 10))


def _jitter() -> float:
    """Between 0 and 1; `import random` would cost a short script 1 ms."""
    return os.urandom(1)[0] / 255


def read_ref(git: Git, ref: str) -> str | None:
    """The commit that a ref points to, or None if there is no such ref."""
    found = git.cat_file().read(ref)
    if found is not None:
        return found.oid
    # A ref whose commit is lost is not one that does not exist: nobody may start a store over it.
    return list_refs(git, ref).get(ref) if _may_exist(git, ref) else None


def _may_exist(git: Git, ref: str) -> bool:
    """Whether there is a ref of that name, by git's files; asking git would take 3 ms."""
    common = git.common_dir
    if os.path.exists(os.path.join(common, "reftable")):
        return True
    if os.path.exists(os.path.join(common, *ref.split("/"))):
        return True
    try:
        with open(os.path.join(common, "packed-refs"), "rb") as file:
            return b" %b\n" % ref.encode() in file.read()
    except FileNotFoundError:
        return False


def list_refs(git: Git, prefix: str) -> dict[str, str]:
    """All refs below a prefix, name to commit."""
    out = git.run("for-each-ref", "--format=%(objectname) %(refname)", prefix)
    pairs = (line.split(" ", 1) for line in out.decode().splitlines())
    return {name: oid for oid, name in pairs}


def refs_look(git: Git, prefix: str) -> tuple[Any, ...] | None:
    """Something that changes whenever a ref below a prefix does; None if that cannot be told.

    git writes a ref by renaming a new file over the old one, so inode and mtime change.
    """
    common = git.common_dir
    if os.path.exists(os.path.join(common, "reftable")):
        return None
    looks: list[tuple[Any, ...]] = []
    folders = [os.path.join(common, *prefix.rstrip("/").split("/"))]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(entry.path)
                    found = entry.stat()
                    looks.append((entry.path, found.st_ino, found.st_mtime_ns, found.st_size))
        except FileNotFoundError:
            continue
    try:
        found = os.stat(os.path.join(common, "packed-refs"))
        looks.append(("packed-refs", found.st_ino, found.st_mtime_ns, found.st_size))
    except FileNotFoundError:
        pass
    return tuple(sorted(looks))


def pack_list(common_dir: str) -> str:
    """The file in which fast-import notes the packs that it made for us."""
    folder = os.path.join(common_dir, "gittrack")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, "packs")


def existing_paths(git: Git, tip: str, paths: Iterable[str]) -> dict[str, bytes]:
    """The bytes of those files that exist in a commit."""
    wanted = list(paths)
    found = git.cat_file().read_many(f"{tip}:{path}" for path in wanted)
    return {
        path: item.data
        for path, item in zip(wanted, found, strict=True)
        if item is not None and item.type == "blob"
    }


def _clean(text: str) -> str:
    return "".join(c for c in text if c not in "<>\n\r\0").strip()
