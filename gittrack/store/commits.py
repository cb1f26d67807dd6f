"""The commits of the code: which there are, what they hold, and which change the same."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gittrack.core.commits import Commit, parse_commit
from gittrack.errors import CorruptStoreError, GitError, UsageError
from gittrack.store import forking
from gittrack.store.git import Git
from gittrack.store.objects import Entry

#: Commits whose differences git writes in one go; their text is never kept.
_PATCHES_AT_ONCE = 500
#: What makes of a revision more than one commit; see gitrevisions(7).
_RANGE = re.compile(r"\.\.|^\^|\^[@!-]")
_SPECIAL = re.compile(r"[*?\[]")
#: `-p` as nobody's configuration changes it: the same commit must have the same id everywhere.
_DIFF = (
    "-p", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index",
    "--diff-algorithm=myers", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3",
)  # fmt: skip
#: Of a larger file the ids before and after stand for the change: two versions of 50 MB of text
#: take git 5 s to compare.
_WITHIN = ("-c", "core.bigFileThreshold=1m")


def read_commits(git: Git, oids: Iterable[str]) -> list[Commit]:
    """The commits of these ids, in their order; those that are not here are left out."""
    found = []
    for item in git.cat_file().read_many(oids):
        if item is not None and item.type == "commit":
            try:
                found.append(parse_commit(item.oid, item.data))
            except ValueError:
                continue
    return found


def list_commits(git: Git, tips: Iterable[str], known: Iterable[str]) -> list[str]:
    """The commits that are reached from some tips and not from others, oldest first.

    Each comes after its parents, else after those that were made before it. Tips that are not here
    count for nothing.
    """
    lines = [*tips, *(f"^{oid}" for oid in known)]
    out = git.run(
        "rev-list", "--date-order", "--reverse", "--ignore-missing", "--stdin",
        input="".join(f"{line}\n" for line in lines).encode(),
    )  # fmt: skip
    return out.decode().split()


def list_revisions(
    git: Git, revisions: Sequence[str], *, all_branches: bool = False
) -> tuple[list[str], bool]:
    """The commits that revisions name, oldest first, and whether they name a range.

    Args:
        revisions: as `git rev-list` takes them; commits alone name no more than themselves.
        all_branches: the history of every branch, ours and remotes', instead.
    Raises:
        UsageError: git knows no such revision.
    """
    args = ["--end-of-options", *revisions, "--"]
    if all_branches:
        # Where a host takes nothing but branches, the store is one of them.
        args = ["--exclude=gittrack/*", "--branches", "--exclude=*/gittrack/*", "--remotes"]
    is_range = all_branches or any(_RANGE.search(name) for name in revisions)
    if not is_range:
        args = ["--no-walk=unsorted", *args]
    process = git.start("rev-list", "--date-order", "--reverse", *args)
    out, err = process.communicate()
    if process.returncode:
        lines = err.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(
            f"git knows no revision '{' '.join(revisions)}'",
            why=lines[0].removeprefix("fatal: ") if lines else "",
            next="gittrack record main..HEAD",
        )
    return out.decode().split(), is_range


def head_of(git: Git) -> str | None:
    """The commit that is checked out, or None: none is yet."""
    out = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", check=False)
    return out.decode().strip() or None


def list_apart(git: Git, oids: Iterable[str], commit: str) -> set[str]:
    """Commits that are neither before nor after one; those of `oids` that are here are judged."""
    out = git.run(
        "rev-list", "--topo-order", "--reverse", "--parents", "--ignore-missing", "--stdin",
        input="".join(f"{line}\n" for line in (*oids, f"^{commit}")).encode(),
    )  # fmt: skip
    after, apart = {commit}, set[str]()
    for line in out.decode().splitlines():
        oid, *parents = line.split()
        (apart if after.isdisjoint(parents) else after).add(oid)
    return apart


def merge_base(git: Git, a: str, b: str) -> str | None:
    """Where two histories part, if they have anything in common."""
    return git.run("merge-base", a, b, check=False).decode().strip() or None


def patch_ids(git: Git, oids: Sequence[str]) -> dict[str, str]:
    """What each commit changes in its only parent, as an id: the same change, the same id.

    Merges, commits that change nothing, and those that are not here have none. Line numbers and
    white space do not count; of files over 1 MiB it is the same change only between the same two
    versions. Source: git-patch-id(1), `--stable`.
    """
    found: dict[str, str] = {}
    for at in range(0, len(oids), _PATCHES_AT_ONCE):
        some = oids[at : at + _PATCHES_AT_ONCE]
        text = "".join(f"{oid}\n" for oid in some).encode()
        found.update(_patch_ids(git, ("--stdin", "--root", *_DIFF), text))
    return {oid: patch for oid, patch in found.items() if oid in set(oids)}


def range_patch_ids(git: Git, ranges: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The same of all that lies between two commits, base and tip, as if it were one commit."""
    found: dict[tuple[str, str], str] = {}
    left = set(ranges)
    while left:
        # git names an answer by its tip alone, so each is asked of with one base at a time.
        bases = {tip: base for base, tip in sorted(left)}
        text = "".join(f"{tip} {base}\n" for tip, base in bases.items()).encode()
        patches = _patch_ids(git, ("--stdin", *_DIFF), text)
        found |= {(bases[tip], tip): patch for tip, patch in patches.items() if tip in bases}
        left -= {(base, tip) for tip, base in bases.items()}
    return found


def _patch_ids(git: Git, words: tuple[str, ...], text: bytes) -> dict[str, str]:
    """What `git patch-id` says of what diff-tree prints; ids of nothing where it names none."""
    import threading

    differ = git.start(*_WITHIN, "diff-tree", "-r", *words, stdin=True, errors=False)
    assert differ.stdin is not None
    assert differ.stdout is not None
    try:
        with forking.unforked():
            reader = subprocess.Popen(
                ("git", "patch-id", "--stable"), stdin=differ.stdout, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=git.environment(), cwd=git.git_dir,
            )  # fmt: skip
            forking.add_helper(reader)
    except OSError as error:
        differ.kill()
        differ.communicate()
        raise GitError("git patch-id did not start", why=str(error)) from error
    differ.stdout.close()
    differ.stdout = None

    def feed() -> None:
        try:
            differ.communicate(text)
        except OSError:
            return

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    out, _ = reader.communicate()
    thread.join()
    pairs = (line.split() for line in out.decode("ascii", "replace").splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


class Files:
    """The files that patterns name in the trees of many commits; a tree is read once."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._trees: dict[str, dict[str, Entry]] = {}

    def find(self, tree: str, patterns: Sequence[str]) -> dict[str, Entry]:
        """The plain files of a tree whose path fits a pattern: `*`, `?`, `[...]`, and `**`."""
        found: dict[str, Entry] = {}
        for pattern in patterns:
            parts = tuple(part for part in pattern.split("/") if part not in ("", "."))
            if parts and ".." not in parts:
                found.update(self._find(tree, parts))
        return found

    def _find(self, tree: str, parts: tuple[str, ...]) -> dict[str, Entry]:
        head, rest = parts[0], parts[1:]
        if head == "**" and not rest:
            rest = ("*",)
        found: dict[str, Entry] = {}
        if head == "**":
            found.update(self._find(tree, rest))
        entries = self._entries(tree)
        if _SPECIAL.search(head) is None:
            names = [head] if head in entries else []
        else:
            from fnmatch import fnmatchcase

            names = [
                name
                for name in entries
                # As in a shell: what is hidden is asked for by name.
                if fnmatchcase(name, head) and name.startswith(".") <= head.startswith(".")
            ]
        for name in names:
            entry = entries[name]
            if entry.is_tree:
                below = parts if head == "**" else rest
                if below:
                    inner = self._find(entry.oid, below)
                    found.update((f"{name}/{path}", item) for path, item in inner.items())
            elif not rest and entry.mode in ("100644", "100755"):
                found[name] = entry
        return found

    def _entries(self, tree: str) -> dict[str, Entry]:
        known = self._trees.get(tree)
        if known is None:
            item = next(iter(self._git.cat_file().read_many([tree])), None)
            data = item.data if item is not None and item.type == "tree" else b""
            known = self._trees[tree] = _parse(data, len(tree) // 2)
        return known


def _parse(data: bytes, id_bytes: int) -> dict[str, Entry]:
    """The entries of a tree of the user's: names may be anything that git allows."""
    entries: dict[str, Entry] = {}
    at = 0
    while at < len(data):
        space, nul = data.find(b" ", at), data.find(b"\0", at)
        if space < 0 or nul < space or nul + 1 + id_bytes > len(data):
            raise CorruptStoreError("a tree of git's cannot be read", next="git fsck")
        name = data[space + 1 : nul].decode("utf-8", "surrogateescape")
        end = nul + 1 + id_bytes
        entries[name] = Entry(data[at:space].decode("ascii"), data[nul + 1 : end].hex())
        at = end
    return entries


def changed_files(
    files: Files, commit: Commit, trees: Mapping[str, str], patterns: Sequence[str]
) -> Iterator[str]:
    """The paths that fit a pattern and differ from those of every parent.

    What a merge takes over as it was on one side, it does not change. A parent that is not here,
    in a shallow clone, may hold anything: nothing is known to be changed.

    Args:
        trees: commit -> tree, of the parents.
    """
    mine = files.find(commit.tree, patterns)
    if not all(parent in trees for parent in commit.parents):
        return
    before = [files.find(trees[parent], patterns) for parent in commit.parents]
    for path in mine.keys() | {path for there in before for path in there}:
        if all(there.get(path) != mine.get(path) for there in before):
            yield path
