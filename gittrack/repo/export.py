"""A run as a commit that DVC reads: its files at the root, with DVC's own files beside them.

DVC needs 4-5 ms for every pointer in a commit before it gives out a file, so it is never shown the
store, but a commit of one run alone. That has no parents: it costs a fetch what the run's small
files take, and tells nobody of code that was not pushed. The same state of a run makes the same
commit in every clone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gittrack.core import dvcfiles, kept, listing, names
from gittrack.core.dvcfiles import Pointer, Published
from gittrack.core.model import Artifact, Run
from gittrack.errors import ArtifactError, ArtifactRemoteError, RefMovedError, UsageError
from gittrack.repo.artifacts import ArtifactFile, RunArtifacts
from gittrack.repo.files import RunReader
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.odb import Odb, dvc_caches
from gittrack.store.write import Blob, commit_alone, list_refs, move_ref, pause

if TYPE_CHECKING:
    from gittrack.store.dvc.config import Settings

#: What goes along as it is: who ran what, where, and what it printed.
_ALONG = re.compile(
    rf"({layout.RUN_FILE}|{layout.NOTES_FILE}|{layout.SOURCE_FILE}|{layout.DISK_FILE}"
    rf"|{layout.INPUTS_FILE}|{layout.OUTPUTS_FILE}"
    rf"|{layout.WRITERS_DIR}/[0-9a-z.]+\.yaml|{layout.LOGS_DIR}/[0-9a-z-]+\.txt)"
)
_SUBJECT = re.compile(r"export run ([A-Za-z0-9][A-Za-z0-9_-]*) \[skip ci\]")
_MOST_NAMES = 5
_MOST_TRIES = 20


class Export(NamedTuple):
    """A commit that was made of a run, and what is to be known of it.

    Args:
        ref: what keeps it alive here; `tag` is one of the user's, if that was asked for.
        remote: the name of where DVC will look for large files, None if that is nowhere.
        renamed: files that go by another name there, path -> name.
        objects: what DVC will look for: large files, and folders that are kept as one.
        missing: the artifacts of which not all bytes are here.
        cached: whether DVC's cache in this repository has all of the others.
        notes: what a person should know of all this.
    """

    commit: str
    ref: str
    tag: str | None
    remote: str | None
    renamed: Mapping[str, str]
    objects: tuple[str, ...]
    missing: tuple[str, ...]
    cached: bool
    notes: tuple[str, ...]


class Exported(NamedTuple):
    """A ref that holds what was made of a run."""

    ref: str
    commit: str
    run_id: str


class _Laid:
    """Artifacts as the files of a commit.

    `objects` are what its pointers name, `children` the files of folders among them; both by name,
    with the artifact that they are.
    """

    def __init__(self) -> None:
        self.files: dict[str, Blob] = {}
        self.renamed: dict[str, str] = {}
        self.objects: dict[str, str] = {}
        self.children: dict[str, str] = {}
        self.flattened: list[str] = []

    def point(self, place: str, path: str, pointer: Pointer) -> None:
        """Add the pointer to what DVC shall find at a place."""
        named = pointer._replace(name=place.rpartition("/")[2])
        self.files[f"{place}.dvc"] = Blob(dvcfiles.encode_pointer(named))
        self.objects[pointer.md5] = path


class Exporter:
    """Makes commits of runs.

    Args:
        objects: the repository's own store; gets the listings of folders that had to be merged.
        caches: DVC's caches in this repository, folders `files/md5`.
        remote: the remote that DVC shall be told of, or why there is none.
    """

    def __init__(
        self,
        git: Git,
        objects: Odb,
        caches: Sequence[str],
        remote: Published | ArtifactRemoteError,
        *,
        fsync: bool,
    ) -> None:
        self._git = git
        self._objects = objects
        self._caches = caches
        self._remote = remote if isinstance(remote, Published) else None
        self._why_none = remote if isinstance(remote, ArtifactRemoteError) else None
        self._fsync = fsync

    def export(self, run: Run, reader: RunReader, tag: str | None, *, force: bool) -> Export:
        """Make the commit, and point the run's export ref, and a tag, to it.

        Raises:
            UsageError: the tag cannot be called so, or is there already and not `force`.
            ArtifactError: an artifact cannot be read, or it is not known what a folder holds.
        """
        if tag is not None:
            self._check_tag(tag)
        try:
            laid = _lay(run, reader.artifacts, self._objects)
        except OSError as error:
            raise ArtifactError(
                f"what a folder of run '{run.name}' holds could not be put together",
                why=f"{self._objects.folder}: {error.strerror or error}",
                next="free some space, or allow writing there, then try again",
            ) from error
        files = {**_facts(reader), **_values(run, reader), **laid.files}
        files[dvcfiles.CONFIG] = Blob(dvcfiles.encode_config(self._remote))
        files[dvcfiles.IGNORE[0]] = Blob(dvcfiles.IGNORE[1])
        when_ms = run.start_ms if run.end_ms is None else run.end_ms
        commit = commit_alone(
            self._git, files, _message(run), max(0, when_ms // 1000), fsync=self._fsync
        )
        ref = layout.export_ref(run.short_id)
        self._point(ref, commit)
        if tag is not None:
            self._tag(tag, commit, force=force)
        missing, cached = self._show(reader.artifacts, {**laid.children, **laid.objects})
        export = Export(
            commit, ref, tag, None if self._remote is None else self._remote.name,
            laid.renamed, tuple(laid.objects), missing, cached, (),
        )  # fmt: skip
        return export._replace(notes=tuple(self._notes(export, laid)))

    # -- refs ----------------------------------------------------------------------------

    def _check_tag(self, name: str) -> None:
        done = self._git.start("check-ref-format", layout.git_tag_ref(name))
        done.communicate()
        if done.returncode or name.startswith("-"):
            raise UsageError(
                f"a tag cannot be called {name!r:.200}",
                why="git check-ref-format does not take it",
                next="--tag exports/brave-otter",
            )

    def _tag(self, name: str, commit: str, *, force: bool) -> None:
        # A lightweight tag: `git describe` and `git push --follow-tags` pass it over.
        ref = layout.git_tag_ref(name)
        there = list_refs(self._git, ref).get(ref)
        found = None if there is None else self._git.cat_file().read(f"{there}^{{}}")
        if found is not None and found.oid == commit:
            return
        if there is not None and not force:
            on = there if found is None else found.oid
            raise UsageError(
                f"there is a tag '{name}' already",
                why=f"it is on {on[:12]}, and the run is {commit[:12]}",
                next="add --force to move it, or choose another name",
            )
        self._move(ref, commit, there)

    def _point(self, ref: str, commit: str) -> None:
        self._move(ref, commit, list_refs(self._git, ref).get(ref))

    def _move(self, ref: str, commit: str, there: str | None) -> None:
        """Point a ref to the commit; whoever exports the same run at once makes the same one."""
        for attempt in range(_MOST_TRIES):
            if there == commit or move_ref(self._git, ref, commit, there):
                return
            # Another process holds its lock, or has just moved it.
            pause(attempt)
            now = list_refs(self._git, ref).get(ref)
            if now not in (there, commit):
                break
            there = now
        raise RefMovedError(f"{ref} moved while it was written", next="try again")

    # -- objects -------------------------------------------------------------------------

    def _show(
        self, artifacts: RunArtifacts, wanted: Mapping[str, str]
    ) -> tuple[tuple[str, ...], bool]:
        """Have DVC's caches hold what is here, too.

        A link takes no space, and what DVC deletes there stays with us.

        Returns:
            The artifacts of what is not here, and whether a cache holds all else.
        """
        missing = []
        caches = [Odb(os.path.dirname(os.path.dirname(cache))) for cache in self._caches]
        cached = bool(caches)
        if self._fsync:
            self._objects.fsync(list(wanted))
        for md5, path in wanted.items():
            place = artifacts.find_object(md5)
            if place is None:
                missing.append(path)
                continue
            for cache in caches:
                try:
                    # What is damaged is not passed on: DVC believes whatever is read-only.
                    if not cache.take(md5, place):
                        missing.append(path)
                except OSError:
                    cached = False
        return tuple(dict.fromkeys(missing)), cached

    def _notes(self, export: Export, laid: _Laid) -> Iterator[str]:
        for path, name in list(laid.renamed.items())[:_MOST_NAMES]:
            yield f"artifact {path} is {dvcfiles.ARTIFACTS}/{name} there, a name that DVC can take"
        if len(laid.renamed) > _MOST_NAMES:
            yield f"and so are {len(laid.renamed) - _MOST_NAMES} more"
        for path in laid.flattened[:_MOST_NAMES]:
            yield f"artifact {path} is no program there: DVC keeps no modes in folders"
        if self._remote is not None and self._remote.left_out:
            what = ", ".join(self._remote.left_out)
            yield f"of the remote '{self._remote.name}' is left out, as it may be secret: {what}"
        if not export.objects:
            return
        if self._why_none is not None:
            why, next_ = self._why_none.message, self._why_none.next
            yield f"others cannot get its large files: {why}; next: {next_}"
        else:
            yield f"others get its large files from '{export.remote}' after: gittrack push"
        if not export.cached:
            where = f"--remote here --remote-config url={self._objects.folder}"
            yield f"dvc get in this repository needs {where}"
        if export.missing:
            more = ", ..." if len(export.missing) > _MOST_NAMES else ""
            yield f"not here, or damaged: {', '.join(export.missing[:_MOST_NAMES])}{more}"


# -- what the commit holds -------------------------------------------------------------------


def find_remote(
    worktree: str | None, common_dir: str, settings: Settings
) -> Published | ArtifactRemoteError:
    """The remote of artifacts that applies here as everybody may read of it, or why there is none.

    Raises:
        ConfigError: DVC's configuration, or a remote that we declare, cannot be used.
    """
    from gittrack.store.dvc.config import choose_remote, shared_remotes
    from gittrack.store.dvc.remote import PREFIX

    try:
        choice = choose_remote(worktree, common_dir, settings)
    except ArtifactRemoteError as error:
        return error
    # What one clone alone says, in config.local, is nobody else's address.
    shared = shared_remotes(worktree, common_dir, settings)
    remotes = shared if choice.name in shared else choice.config["remote"]
    found = dvcfiles.publish(choice.name, remotes, PREFIX)
    return found or ArtifactRemoteError(
        f"the remote '{choice.name}' stands on one that is not there",
        why=choice.url,
        next="dvc remote list",
    )


def find_caches(worktree: str | None) -> list[str]:
    """DVC's caches that may be written to: there, or where git will not see them."""
    if worktree is None:
        return []
    is_ignored = os.path.exists(os.path.join(worktree, ".dvc", ".gitignore"))
    return [
        cache
        for cache in dvc_caches(worktree)
        if is_ignored or os.path.isdir(os.path.dirname(os.path.dirname(cache)))
    ]


def _message(run: Run) -> str:
    name = names.one_line(run.name)
    return f"export run {run.id} [skip ci]\n\n{name}, as DVC reads it\n"


def _facts(reader: RunReader) -> dict[str, Blob]:
    """The files of the run that tell where it comes from."""
    return {name: Blob(reader.read(name)) for name in reader.listing() if _ALONG.fullmatch(name)}


def _values(run: Run, reader: RunReader) -> dict[str, Blob]:
    """Params, metrics and curves, and the dvc.yaml that names them."""
    several = [key for key, metric in run.metrics.items() if metric.count > 1]
    sample = reader.sample(several, dvcfiles.MAX_POINTS)
    curves = {
        key: points for key, points in sample.items() if len({point.step for point in points}) > 1
    }
    plots = dvcfiles.plot_files(curves)
    pipeline = dvcfiles.encode_pipeline(plots, params=bool(run.params), metrics=bool(run.metrics))
    files = {dvcfiles.PIPELINE: pipeline}
    if run.params:
        files[dvcfiles.PARAMS] = dvcfiles.encode_params(run.params)
    if run.metrics:
        files[dvcfiles.METRICS] = dvcfiles.encode_metrics(run.metrics)
    files |= {file: dvcfiles.encode_curve(curves[key]) for key, file in plots.items()}
    return {name: Blob(data) for name, data in files.items()}


def _lay(run: Run, artifacts: RunArtifacts, objects: Odb) -> _Laid:
    """Where each artifact lies in the commit.

    What lies in a folder that was kept as one is part of that one, whatever it was kept as itself:
    DVC takes no file of git's, and no second pointer, within a folder of its own.
    """
    _check_listed(run, artifacts)
    found = artifacts.files()
    tops = _outermost(layer.path for layer in artifacts.layers())
    parents = kept.parents_of([*found, *(f"{top}/" for top in tops if top)])
    below: dict[str, dict[str, ArtifactFile]] = {top: {} for top in tops}
    laid = _Laid()
    for path, file in found.items():
        safe = dvcfiles.safe_path(path, is_parent=path in parents)
        if safe != path:
            laid.renamed[path] = safe
        place = f"{dvcfiles.ARTIFACTS}/{safe}"
        top = next((top for top in tops if not top or path.startswith(f"{top}/")), None)
        if top is not None:
            below[top][safe] = file
        elif file.md5 is None:
            laid.files[place] = Blob(artifacts.read(file), file.mode == "755")
        else:
            laid.point(
                place, path, Pointer("", file.md5, file.size_bytes, None, file.mode == "755")
            )
    for top, files in below.items():
        listed, pointer = _merge(artifacts, objects, top, files)
        laid.children.update((item.md5, file.path) for item, file in listed)
        laid.flattened += [file.path for file in files.values() if file.mode == "755"]
        place = f"{dvcfiles.ARTIFACTS}/{dvcfiles.safe_path(top)}" if top else dvcfiles.ARTIFACTS
        laid.point(place, f"{top or '.'}/", pointer)
    return laid


def _merge(
    artifacts: RunArtifacts, objects: Odb, top: str, files: Mapping[str, ArtifactFile]
) -> tuple[list[tuple[listing.Listed, ArtifactFile]], Pointer]:
    """One listing for all that a folder holds; the one that it was kept as, if that says it all.

    Args:
        files: by the paths that they have for DVC.
    """
    skip = len(dvcfiles.safe_path(top)) + 1 if top else 0
    listed = []
    for safe, file in files.items():
        md5 = file.md5 or objects.put_bytes(artifacts.read(file)).md5
        listed.append((listing.Listed(safe[skip:], md5), file))
    made = objects.put_bytes(listing.encode_listing(item for item, _ in listed), ".dir")
    # A size is there only if every clone knows it, with the objects here or without.
    same = [layer for layer in artifacts.layers() if (layer.path, layer.md5) == (top, made.md5)]
    return listed, Pointer("", made.md5, same[0].size_bytes if same else None, len(listed))


def _check_listed(run: Run, artifacts: RunArtifacts) -> None:
    lacking: list[Artifact] = artifacts.unlisted()
    if lacking:
        raise ArtifactError(
            f"it is not known what the folder {lacking[0].path or '.'} holds",
            why=f"its listing is object {lacking[0].md5}, which is not here, or damaged",
            next=f"gittrack artifacts get {run.short_id} {lacking[0].path}".rstrip(),
        )


def _outermost(folders: Iterable[str]) -> list[str]:
    """Folders that lie in none of the others."""
    found = set(folders)
    return sorted(
        folder
        for folder in found
        if not folder or not ("" in found or found & kept.parents_of([folder]))
    )


# -- what was exported before ----------------------------------------------------------------


def find_exports(git: Git) -> list[Exported]:
    """The refs and tags here that hold what was made of runs."""
    return [*_exports_below(git, layout.EXPORT_REFS), *_exports_below(git, layout.git_tag_ref(""))]


def _exports_below(git: Git, prefix: str) -> Iterator[Exported]:
    fields = "%(objectname)%00%(refname)%00%(subject)%00%(*objectname)%00%(*subject)"
    out = git.run("for-each-ref", f"--format={fields}", prefix)
    for line in out.decode("utf-8", "replace").split("\n")[:-1]:
        commit, ref, subject, tagged, tagged_subject = line.split("\0")
        match = _SUBJECT.fullmatch(tagged_subject if tagged else subject)
        if match is not None:
            yield Exported(ref, tagged or commit, match[1])


def exported_objects(git: Git) -> dict[str, dict[str, str]]:
    """The objects that exports here name, by run, each with its path among the artifacts."""
    found: dict[str, dict[str, str]] = {}
    for export in find_exports(git):
        out = git.run("ls-tree", "-r", "-z", "--full-tree", export.commit)
        entries = [line.partition("\t") for line in os.fsdecode(out).split("\0")]
        pointers = {name: head.split()[2] for head, _, name in entries if name.endswith(".dvc")}
        items = git.cat_file().read_many(pointers.values())
        for name, item in zip(pointers, items, strict=True):
            match = re.search(rb"^- md5: (\S+)$", item.data, re.MULTILINE) if item else None
            md5 = match[1].decode("ascii", "replace") if match else ""
            if listing.is_md5(md5):
                path = name.removesuffix(".dvc").removeprefix(dvcfiles.ARTIFACTS).lstrip("/")
                path = f"{path or '.'}/" if listing.is_listing(md5) else path
                found.setdefault(export.run_id, {})[md5] = path
    return found


def forget_exports(git: Git, run_ids: Iterable[str], *, dry_run: bool = False) -> list[str]:
    """Drop our refs on what was made of those runs; the user's tags on it, which stay."""
    gone = set(run_ids)
    found = [export for export in find_exports(git) if export.run_id in gone]
    for export in found:
        if export.ref.startswith(layout.EXPORT_REFS) and not dry_run:
            git.run("update-ref", "-d", export.ref)
    tags = layout.git_tag_ref("")
    return [e.ref.removeprefix(tags) for e in found if e.ref.startswith(tags)]


def forget_purged(git: Git) -> None:
    """Drop our refs on what was made of runs that were purged since, in this clone or another."""
    runs = [export.run_id for export in _exports_below(git, layout.EXPORT_REFS)]
    stones = [f"{layout.STORE_REF}:{layout.tombstone('run', run_id)}" for run_id in runs]
    found = git.cat_file().read_many(stones)
    gone = [run_id for run_id, stone in zip(runs, found, strict=True) if stone is not None]
    if gone:
        forget_exports(git, gone)
