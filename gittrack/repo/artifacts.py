"""The artifacts of one run: which files they are, where their bytes lie, and copies of them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gittrack.core import kept, names
from gittrack.core.listing import Listed, decode_listing
from gittrack.core.model import Artifact
from gittrack.errors import ArtifactError, CorruptStoreError, InvalidNameError
from gittrack.store.odb import Odb

#: git runs programs that such a folder names, so nothing that came from elsewhere makes one.
_GIT_FOLDER = re.compile(r"(?i)\.git[. ]*|git~\d+")


class ArtifactFile(NamedTuple):
    """A file among the artifacts of a run.

    `blob` is its id in git, or `md5` the name of its object; `size_bytes` is None for a file of a
    folder that was kept as one, until its object is here.
    """

    path: str
    size_bytes: int | None
    mode: str
    blob: str | None
    md5: str | None


class Entry(NamedTuple):
    """An artifact by its key, and when and by whom it was written, to order them."""

    key: str
    artifact: Artifact
    t: int
    by: str


class RunArtifacts:
    """Which files a run's artifacts are.

    Args:
        name: of the run, for messages.
        entries: what artifacts.yaml and the journals say.
        stores: where objects are looked for, the repository's own store first.
        read_blob: the bytes of a small artifact by its key, None if they are lost.
    """

    def __init__(
        self,
        name: str,
        entries: Iterable[Entry],
        stores: Sequence[Odb],
        read_blob: Callable[[str], bytes | None],
    ) -> None:
        self._name = name
        self._entries = sorted(entries, key=lambda entry: (entry.t, entry.by, entry.key))
        self._stores = stores
        self._read_blob = read_blob
        self._listings: dict[str, list[Listed] | None] = {}

    def files(self, path: str = "") -> dict[str, ArtifactFile]:
        """The file of that path, or all below the folder of that path, in order.

        Of a folder that was kept as one the files are known only while its listing is here; see
        `unlisted`.
        """
        found = {file.path: file for file in self._each(path) if _is_at(file.path, path)}
        return dict(sorted(found.items()))

    def all_files(self) -> Iterator[ArtifactFile]:
        """The files of all entries, those too that a later one hides."""
        return self._each("")

    def _each(self, path: str) -> Iterator[ArtifactFile]:
        """The files of the entries that may hold that path, the earliest first."""
        for key, artifact, _, _ in self._entries:
            folder = kept.folder_of(key)
            if folder is None:
                yield ArtifactFile(
                    key, artifact.size_bytes, artifact.mode, artifact.blob, artifact.md5
                )
            elif artifact.md5 is not None and (_is_at(folder, path) or _is_at(path, folder)):
                for name, md5 in self._listing(artifact.md5) or ():
                    full = f"{folder}/{name}" if folder else name
                    yield ArtifactFile(full, self._size(md5), "644", None, md5)

    def unlisted(self, path: str = "") -> list[Artifact]:
        """The folders, kept as one, that may hold that path and whose listing is not here."""
        return [
            artifact
            for key, artifact, _, _ in self._entries
            if (folder := kept.folder_of(key)) is not None
            and (_is_at(folder, path) or _is_at(path, folder))
            and artifact.md5 is not None
            and self._listing(artifact.md5) is None
        ]

    def layers(self) -> list[Artifact]:
        """The folders that were kept as one."""
        return [entry.artifact for entry in self._entries if kept.folder_of(entry.key) is not None]

    def find_object(self, md5: str) -> str | None:
        """Where an object lies, None if it is not here; its bytes may still be damaged."""
        for store in self._stores:
            if store.has(md5):
                return store.path(md5)
        return None

    def read(self, file: ArtifactFile) -> bytes:
        """The bytes of a file.

        Raises:
            ArtifactError: they are not here, or damaged.
        """
        if file.md5 is None:
            data = self._read_blob(file.path)
            if data is None:
                raise ArtifactError(
                    f"artifact {file.path} of run '{self._name}' cannot be read",
                    why="it is missing from this repository, or damaged",
                    next="gittrack fsck",
                )
            return data
        with open(self.sound_object(file), "rb") as opened:
            return opened.read()

    def check_here(self, file: ArtifactFile) -> None:
        """See that the bytes of a file are here; whether they are damaged is seen when read.

        Raises:
            ArtifactError: they are not.
        """
        if file.md5 is None:
            self.read(file)
        elif self.find_object(file.md5) is None:
            raise self._not_here(file.path, file.md5, "")

    def sound_object(self, file: ArtifactFile) -> str:
        """Where the object of a file lies; its bytes are those of its name.

        Raises:
            ArtifactError: it is not here, or damaged.
        """
        assert file.md5 is not None
        damaged = ""
        for store in self._stores:
            if store.has(file.md5):
                if store.is_sound(file.md5):
                    return store.path(file.md5)
                damaged = store.path(file.md5)
        raise self._not_here(file.path, file.md5, damaged)

    def _not_here(self, path: str, md5: str, damaged: str) -> ArtifactError:
        if damaged:
            return ArtifactError(
                f"artifact {path} of run '{self._name}' is damaged",
                why=f"the bytes of {damaged} are not those of its name",
                next="gittrack artifacts verify --repair",
            )
        return ArtifactError(
            f"artifact {path} of run '{self._name}' is not here",
            why=f"its bytes are object {md5}, which this repository does not have",
            next="gittrack artifacts get RUN PATH, or where it was recorded: gittrack push",
        )

    def _listing(self, md5: str) -> list[Listed] | None:
        """The files of a folder; None while its listing is not here, or damaged."""
        if md5 not in self._listings:
            self._listings[md5] = None
            for store in self._stores:
                if store.is_sound(md5):
                    with contextlib.suppress(CorruptStoreError):
                        self._listings[md5] = decode_listing(store.read(md5) or b"", md5)
                    break
        return self._listings[md5]

    def forget(self) -> None:
        """Look for listings again: more objects came."""
        self._listings.clear()

    def _size(self, md5: str) -> int | None:
        place = self.find_object(md5)
        return None if place is None else os.path.getsize(place)


def _is_at(path: str, top: str) -> bool:
    """Whether a path is that one, or below it; all are below ""."""
    return not top or path == top or path.startswith(f"{top}/")


# -- copies ----------------------------------------------------------------------------------


def lay_out(
    artifacts: RunArtifacts,
    files: Mapping[str, ArtifactFile],
    top: str,
    into: str,
    *,
    force: bool = False,
) -> list[str]:
    """Copy files into a folder, under their paths below the folder `top`; where they are now.

    Each copy is complete or absent, and the user's own: it may be written to.

    Raises:
        ArtifactError: one is not here, has a name that is not safe to write, or is there already
            with other bytes: then nothing at all was written. Or one is damaged, which is seen
            when it is copied.
    """
    targets: dict[str, ArtifactFile] = {}
    for path, file in files.items():
        name = path[len(top) + 1 :] if top and path != top else path
        name = name.rpartition("/")[2] if path == top else name
        targets[os.path.join(into, *_safe_parts(name))] = file
    for file in files.values():
        artifacts.check_here(file)
    if not force:
        for target, file in targets.items():
            if os.path.lexists(target) and not _holds(target, artifacts, file):
                raise ArtifactError(
                    f"{target} is there already",
                    why=f"its bytes are not those of artifact {file.path}",
                    next="add --force to replace it, or choose another folder with --into",
                )
    for target, file in targets.items():
        _copy(artifacts, file, target)
    return list(targets)


def _safe_parts(name: str) -> list[str]:
    parts = name.split("/")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or ("\\" in part and os.sep == "\\"):
            raise ArtifactError(
                f"{name!r:.200} is no path within a folder", why="it leads out of it"
            )
        if _GIT_FOLDER.fullmatch(part):
            raise ArtifactError(
                f"artifact {name!r:.200} is not written",
                why="git runs programs that a folder of that name says",
                next="gittrack show RUN:PATH prints the bytes of one file",
            )
    return parts


def _holds(target: str, artifacts: RunArtifacts, file: ArtifactFile) -> bool:
    if os.path.islink(target) or not os.path.isfile(target):
        return False
    if file.md5 is not None:
        from gittrack.store.copying import digest

        with open(target, "rb") as opened:
            return digest(opened.fileno())[0] == file.md5
    with open(target, "rb") as opened:
        return opened.read() == artifacts.read(file)


def _copy(artifacts: RunArtifacts, file: ArtifactFile, target: str) -> None:
    source = artifacts.read(file) if file.md5 is None else artifacts.sound_object(file)
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        if isinstance(source, bytes):
            with open(temporary, "wb") as copy:
                copy.write(source)
        else:
            shutil.copyfile(source, temporary)
        if file.mode == "755":
            os.chmod(temporary, os.stat(temporary).st_mode | 0o111)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def cached_copies(
    artifacts: RunArtifacts, files: Mapping[str, ArtifactFile], path: str, folder: str
) -> str:
    """Readable copies of files below a cache folder, not to be written to; where `path` is there.

    Each is complete or absent. A large one is a link, which takes no space.
    """
    parents = kept.parents_of(files)
    places = {
        name: os.path.join(folder, *names.encode_path(name, is_parent=name in parents).split("/"))
        for name in files
    }
    if path in files:
        _cached_copy(artifacts, files[path], places[path])
        return places[path]
    for name, file in files.items():
        _cached_copy(artifacts, file, places[name])
    return os.path.join(folder, *names.encode_path(path).split("/")) if path else folder


def _cached_copy(artifacts: RunArtifacts, file: ArtifactFile, target: str) -> None:
    if file.md5 is None:
        if not os.path.exists(target) or not _holds(target, artifacts, file):
            _copy(artifacts, file._replace(mode="644"), target)
        return
    place = artifacts.sound_object(file)
    with contextlib.suppress(OSError):
        if os.path.samestat(os.stat(place), os.stat(target)):
            return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        os.link(place, temporary)
    except OSError:
        shutil.copyfile(place, temporary)
    os.replace(temporary, target)


def check_path(path: str) -> str:
    """The path of an artifact or folder of them, "" for all.

    Raises:
        InvalidNameError: it is none.
    """
    if path.strip("/") in ("", "."):
        return ""
    try:
        return names.check_artifact_path(path.rstrip("/"))
    except InvalidNameError:
        # In a folder that was kept as one, names may be any.
        if any(part in ("", ".", "..") for part in path.rstrip("/").split("/")):
            raise
        return path.rstrip("/")
