"""Sources as git trees again: to compare them, and to lay out what ran."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gittrack.core.model import Source
from gittrack.errors import GitError, SourceError
from gittrack.store.git import Git
from gittrack.store.scratch import QUIET, Scratch, entries_of, list_untracked, tree_of


class Rebuilt(NamedTuple):
    """What `rebuild` laid out."""

    tree: str
    files: int


# -- compare ---------------------------------------------------------------------------------


def changed_files(
    git: Git, a: Source, overlay_a: Mapping[str, bytes], b: Source, overlay_b: Mapping[str, bytes]
) -> list[tuple[str, str]]:
    """The files that differ between two sources, as (`added` | `removed` | `changed`, path).

    Raises:
        SourceError: one of the two cannot be rebuilt here.
    """
    with Trees(git) as trees:
        return trees.changes(trees.of(a, overlay_a), trees.of(b, overlay_b))


class Trees:
    """Sources, and the worktree, as git trees that exist as long as this does.

    They lie in an object store of their own, so the repository does not grow; `env` is what
    makes git see them.
    """

    def __init__(self, git: Git) -> None:
        import tempfile

        self._git = git
        self._folder = tempfile.TemporaryDirectory(prefix="gittrack-")
        self._scratch = Scratch(git, self._folder.name)
        self._known: dict[tuple[object, ...], str] = {}
        self._commit_trees: dict[str, str | None] = {}
        self._file_ids: dict[tuple[str, str], str | None] = {}

    def __enter__(self) -> Trees:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def env(self) -> dict[str, str]:
        """Environment variables under which git reads these trees."""
        return self._scratch.env()

    def of(self, source: Source, overlay: Mapping[str, bytes]) -> str:
        """The tree that a source is; files that were withheld are as its base has them.

        Raises:
            SourceError: its base is not here.
        """
        clean = not (source.withheld or source.submodules_dirty)
        if clean and self.is_commits(source.commit, source.tree):
            return str(source.tree)
        key = _made_of(source)
        if key not in self._known:
            self._known[key] = _rebuilt_tree(self._git, self._scratch, source, overlay)
        return self._known[key]

    def is_commits(self, commit: str | None, tree: str | None) -> bool:
        """Whether a tree is that of a commit which is here."""
        if commit is None or tree is None:
            return False
        if commit not in self._commit_trees:
            found = self._git.cat_file().read(f"{commit}^{{tree}}")
            self._commit_trees[commit] = None if found is None else found.oid
        return self._commit_trees[commit] == tree

    def of_commit(self, commit: str) -> str:
        """The tree of a commit.

        Raises:
            SourceError: the commit is not here.
        """
        return tree_of(self._git, commit)

    def of_worktree(self, untracked: Sequence[str] = ()) -> str:
        """The tree of what is tracked, as it lies in the worktree now.

        Args:
            untracked: file patterns of what is taken in as well.
        """
        if self._git.worktree is None:
            raise SourceError(
                "there is no worktree to compare with",
                why="this repository is bare",
                next="gittrack diff RUN RUN",
            )
        return self._scratch.worktree_tree(list_untracked(self._git, untracked))

    def of_nothing(self) -> str:
        """The empty tree."""
        return self._git.run("hash-object", "-t", "tree", "--stdin", input=b"").decode().strip()

    def changes(self, old: str, new: str) -> list[tuple[str, str]]:
        """What differs between two trees, as (`added` | `removed` | `changed`, path)."""
        return [
            ("added" if not item.old_mode else "changed" if item.mode else "removed", item.path)
            for item in self._scratch.changes(old, new)
        ]

    def renamed_from(self, old: str, new: str, path: str) -> str | None:
        """The path that a file of `new` had in `old`, if git takes it for renamed."""
        out = self._git.run(
            *("diff-tree", "-r", "-z", "--name-status", "-M", "--diff-filter=R", old, new),
            env=self.env,
        )
        fields = out.decode("utf-8", "surrogateescape").split("\0")
        found = {after: before for before, after in zip(fields[1::3], fields[2::3], strict=False)}
        return found.get(path)

    def file_id(self, tree: str, path: str) -> str | None:
        """The id of a file, or of a folder, in a tree; None if there is none."""
        if "\n" in path:
            return None
        key = (tree, path)
        if key not in self._file_ids:
            if tree in self._known.values():
                out = self._git.run("ls-tree", "-z", tree, "--", path, env=self.env)
                found = out.split(b"\t")[0].split(b" ")[2].decode() if out else None
            else:
                item = self._git.cat_file().read(f"{tree}:{path}")
                found = item.oid if item is not None else None
            self._file_ids[key] = found
        return self._file_ids[key]


# -- rebuild ---------------------------------------------------------------------------------


def rebuild(
    git: Git, source: Source, overlay: Mapping[str, bytes], into: str, *, dry_run: bool = False
) -> Rebuilt:
    """Lay out exactly what ran in a new or empty folder outside the worktree.

    Args:
        overlay: the bytes of `source.files`.
        dry_run: build and verify the tree, and lay nothing out.
    Raises:
        SourceError: the folder is in use, the base commit is not here, or the tree that comes
            out is not the recorded one; then nothing is laid out.
    """
    import tempfile

    _check_target(git, into)
    if source.tree is None:
        raise SourceError(
            "this run has no source to lay out",
            why="it was recorded outside a repository, or source.capture was off",
        )
    with tempfile.TemporaryDirectory(prefix="gittrack-") as folder:
        scratch = Scratch(git, folder)
        tree = _rebuilt_tree(git, scratch, source, overlay)
        expected = source.rebuilds or source.tree
        if tree != expected:
            raise SourceError(
                "the source of this run does not come out as it was recorded",
                why=f"base, overlay and changes give tree {tree}, recorded is {expected}",
                next="git fsck",
            )
        if dry_run:
            names = git.run("ls-tree", "-r", "-z", "--name-only", tree, env=scratch.env())
            return Rebuilt(tree, names.count(b"\0"))
        os.makedirs(into, exist_ok=True)
        env = {
            **scratch.env(scratch.new_index()),
            "GIT_DIR": git.git_dir,
            "GIT_WORK_TREE": into,
        }
        # As a normal checkout would write it: with filters, line ends, modes and symlinks.
        git.run(
            *QUIET,
            *("-c", "core.sparseCheckout=false", "read-tree", "--reset", "-u", tree),
            env=env,
            cwd=into,
        )
        listed = git.run(*QUIET, "ls-files", "-z", env=env, cwd=into)
    return Rebuilt(tree, listed.count(b"\0"))


def _check_target(git: Git, into: str) -> None:
    if os.path.isdir(into) and os.listdir(into):
        raise SourceError(
            f"{into} is not empty",
            why="a checkout never writes over files that are there",
            next="choose a new folder",
        )
    if os.path.exists(into) and not os.path.isdir(into):
        raise SourceError(f"{into} is a file", next="choose a new folder")
    real = os.path.realpath(into) + os.sep
    for name, place in (("worktree", git.worktree), ("git folder", git.common_dir)):
        if place is not None and real.startswith(os.path.realpath(place) + os.sep):
            raise SourceError(
                f"{into} lies in the {name} of this repository",
                why="a checkout never writes there",
                next="choose a folder outside, such as ../checkout",
            )


def _made_of(source: Source) -> tuple[object, ...]:
    """All that decides which tree comes out; the tree that was recorded is not among it."""
    changed = (source.modes, source.symlinks, source.gitlinks)
    lines = (tuple(sorted(item.items())) for item in changed)
    return source.base, source.overlay, source.files, source.deleted, *lines


def _rebuilt_tree(git: Git, scratch: Scratch, source: Source, overlay: Mapping[str, bytes]) -> str:
    base_tree = None if source.base is None else tree_of(git, source.base)
    contents = {path: overlay[path] for path in source.files}
    links = {
        path: target.encode("utf-8", "surrogateescape") for path, target in source.symlinks.items()
    }
    oids = scratch.store({**contents, **links})
    for path in source.modes:
        if path not in oids:
            found = git.cat_file().read(f"{base_tree}:{path}") if "\n" not in path else None
            if found is None:
                raise SourceError(
                    f"the base of this run holds no file {path!r}",
                    why="source.yaml changes the mode of a file that is not there",
                )
            oids[path] = found.oid
    try:
        return scratch.build(base_tree, entries_of(source, oids))
    except GitError as error:
        raise SourceError(
            "the source of this run cannot be laid out",
            why=f"git refuses its entries: {error.why}",
        ) from None
