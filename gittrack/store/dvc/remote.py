"""A DVC remote, opened: objects by name below our prefix, whatever kind of remote it is.

The file system is DVC's, so that its remotes and all their options work. What it says is not
taken for granted: over http a server that is gone looks like one that has nothing.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from gittrack.core.listing import is_md5
from gittrack.errors import ArtifactRemoteError, ConfigError
from gittrack.store.copying import fsync
from gittrack.store.dvc import local
from gittrack.store.dvc.config import SECRET, Choice, safe_url
from gittrack.store.dvc.imports import load, missing_plugin
from gittrack.store.dvc.local import OBJECTS, Told, oid_at
from gittrack.store.dvc.pool import Pool
from gittrack.store.dvc.words import describe, hide

#: Below the remote's own folder, so that no `dvc gc` of the objects there can find ours. Two
#: letters would be taken for a folder of objects.
PREFIX = "gittrack"
#: There an upload that breaks off would leave half an object under its name.
_NEEDS_RENAME = ("ssh", "hdfs", "webhdfs")
_TEMPORARY = "tmp"
_WEB = ("http", "https")
#: Objects a page of a listing, in all object stores.
_PAGE = 1000
#: Up to so many pages one after the other are sooner read than 256 at the same time.
_WHOLE = 16
#: DVC takes four for each processor, which are threads here.
_JOBS = 16
#: So few objects are asked for one by one.
_FEW = 32
_SHARDS = tuple(f"{number:02x}" for number in range(256))
_ASKS = ("ask_password", "ask_passphrase")
_NOT_FOUND = (404, 410)

#: What is on a remote: name -> size in bytes, None where the remote does not tell.
Sizes = dict[str, int | None]


class Answer(NamedTuple):
    """Which objects a remote has.

    Args:
        sizes: those that are there; what is in neither of both is not.
        errors: those of which it could not be told.
        gave_up: why the others were not even asked for.
    """

    sizes: Sizes
    errors: Mapping[str, Exception]
    gave_up: Exception | None


class TooLargeError(Exception):
    """The remote sends more than it said, or more than such an object may have."""


def open_remote(choice: Choice, *, asks: bool = False) -> Remote:
    """The remote, ready for use; nothing is asked of it yet where its kind allows.

    Args:
        asks: whether somebody can type a password.
    Raises:
        MissingExtraError: DVC, or its package for this kind of remote, is not installed.
        ConfigError: its options cannot be used, or want a password that nobody can type.
        ArtifactRemoteError: it cannot be reached.
    """
    fs_module = load("dvc.fs")
    config_error = load("dvc.config").ConfigError
    objects_errors = load("dvc_objects.fs.errors")
    wrong = (config_error, objects_errors.ConfigError, NotImplementedError, KeyError, ValueError)
    try:
        cls, options, path = fs_module.get_cloud_fs(choice.config, name=choice.name)
    except wrong as error:
        raise _unusable(choice, error) from error
    except ImportError as error:
        # "s3 is supported, but requires ...": a remote:// URL does not tell.
        raise missing_plugin(str(error).partition(" ")[0], error) from error
    # We keep objects by their hash on every remote, also on those that have versions.
    options = {k: v for k, v in options.items() if k not in ("version_aware", "worktree")}
    asked = [key for key in _ASKS if options.get(key)]
    if asked and not asks and not options.get(asked[0].removeprefix("ask_")):
        raise ConfigError(
            f"the remote '{choice.name}' wants a password, and nobody can type it",
            why=f"{asked[0]} is set",
            next="gittrack push --artifacts-only",
        )
    hidden = [str(value) for key, value in options.items() if key in SECRET and value]
    try:
        fs = cls(**options)
        # Made here, by one thread: later, several would make it.
        _ = fs.fs
    except objects_errors.RemoteMissingDepsError as error:
        raise missing_plugin(cls.protocol, error) from error
    except ImportError as error:
        raise missing_plugin(cls.protocol, error) from error
    except wrong as error:
        raise _unusable(choice, error) from error
    except Exception as error:
        # Every library has its own errors for hosts and credentials.
        raise ArtifactRemoteError(
            f"the remote '{choice.name}' cannot be reached",
            why=hide(describe(error), hidden),
        ) from error
    return Remote(choice, fs, path, hidden)


def _unusable(choice: Choice, error: Exception) -> ConfigError:
    return ConfigError(
        f"the remote '{choice.name}' cannot be used as it is configured",
        why=safe_url(describe(error)),
        next="dvc remote list",
    )


class Remote:
    """Objects below our prefix of a DVC remote.

    Methods raise what the file system raises, and FileNotFoundError for what is certainly not
    there; `explain` puts that into words. They may be called by several threads. To be closed, as
    by `with`.
    """

    def __init__(self, choice: Choice, fs: Any, path: str, hidden: Iterable[str]) -> None:
        self.name = choice.name
        self.url = choice.url
        #: How many objects are moved at once, if nobody says otherwise.
        self.jobs = int(choice.options.get("jobs") or min(fs.jobs, _JOBS))
        self._is_shared = choice.options.get("shared") == "group"
        self._fs = fs
        self._base = path
        self._root = fs.join(path, PREFIX)
        self._objects = fs.join(self._root, *OBJECTS)
        self._hidden = tuple(hidden)
        self._made: set[str] = set()
        self._lock = threading.Lock()
        self._is_local = fs.protocol == "local"
        self._is_object_store = isinstance(fs, load("dvc_objects.fs.base").ObjectFileSystem)
        self._pages_a_shard = 1

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its connections: left to the garbage collector, http complains on standard error."""
        session = getattr(self._fs.fs, "_session", None)
        if self._fs.protocol in _WEB and session is not None:
            load("fsspec.asyn").sync(self._fs.fs.loop, session.close)

    @property
    def can_list(self) -> bool:
        """Whether it tells what it has; plain http does not."""
        return bool(self._fs.CAN_TRAVERSE)

    def explain(self, error: BaseException) -> str:
        """One line for people, without the remote's secrets."""
        return hide(describe(error), self._hidden)

    def is_there(self) -> bool:
        """Whether the remote's own folder, or its bucket, exists, as far as that can be told."""
        if not self.can_list:
            return True
        base = self._base
        if self._is_object_store:
            # There are no folders there, just names that begin alike.
            base = base.strip("/").partition("/")[0]
        return bool(self._fs.exists(base))

    # -- what is there -----------------------------------------------------------------------

    def find_size(self, oid: str) -> int | None:
        """The bytes of an object; None if the remote does not tell.

        Raises:
            FileNotFoundError: it is not there.
        """
        return self._size(self.path(oid))

    def ask(self, oids: Iterable[str], pool: Pool) -> Answer:
        """Which of those objects are there.

        They are asked for one by one, several at a time, or found in listings, whichever takes
        fewer requests.
        """
        wanted = sorted(set(oids))
        self._fs.fs.invalidate_cache()
        folders = self._sooner_listed(wanted)
        if folders:
            parts = pool.each(self._list, folders)
            listed = {oid: size for part in parts.results.values() for oid, size in part}
            sizes = {oid: listed[oid] for oid in wanted if oid in listed}
            errors = {
                oid: error
                for folder, error in parts.errors.items()
                for oid in wanted
                if oid.startswith(folder)
            }
            return Answer(sizes, errors, parts.gave_up)
        found = pool.each(self._find, wanted)
        sizes = {oid: size[0] for oid, size in found.results.items() if size is not None}
        return Answer(sizes, found.errors, found.gave_up)

    def _sooner_listed(self, wanted: list[str]) -> list[str]:
        """The folders whose listings take fewer requests than asking for each object; or none."""
        # Elsewhere a listing is a walk through folders, which passes over what it cannot read.
        if not self._is_object_store or len(wanted) < _FEW:
            return []
        try:
            folders = self._folders()
        except Exception:
            # What is wrong is met again, object by object, and told then.
            return []
        if len(folders) == 1:
            return folders
        shards = sorted({oid[:2] for oid in wanted})
        return shards if len(shards) * self._pages_a_shard < len(wanted) else []

    def _folders(self) -> list[str]:
        """What to list to see everything: the whole, or, of a large remote, each of 256 folders.

        How much there is is estimated by what is in one of these, as DVC does.
        """
        count = len(self._list(_SHARDS[0]))
        self._pages_a_shard = max(1, -(-count // _PAGE))
        return [""] if count * len(_SHARDS) <= _WHOLE * _PAGE else list(_SHARDS)

    def list_objects(self) -> Iterator[tuple[str, int | None]]:
        """All objects of ours, with their sizes in bytes.

        Raises:
            ArtifactRemoteError: it is of a kind that does not tell what it has, or is gone.
        """
        if not self.can_list:
            raise ArtifactRemoteError(
                f"the remote '{self.name}' cannot tell what it has",
                why=f"{self._fs.protocol} has no listings",
                next="do it where the files of the remote are",
            )
        self._fs.fs.invalidate_cache()
        try:
            folders = self._folders()
        except Exception as error:
            raise self._unreadable(error) from error
        for folder in folders:
            try:
                objects = self._list(folder)
            except Exception as error:
                raise self._unreadable(error) from error
            yield from objects

    def _unreadable(self, error: Exception) -> ArtifactRemoteError:
        return ArtifactRemoteError(
            f"the objects on the remote '{self.name}' could not be listed", why=self.explain(error)
        )

    def _find(self, oid: str) -> tuple[int | None] | None:
        try:
            return (self.find_size(oid),)
        except FileNotFoundError:
            return None

    def _size(self, path: str) -> int | None:
        if self._is_local:
            # As fsspec does, at a tenth of the time.
            return local.file_size(path)
        try:
            info: Mapping[str, Any] = self._fs.info(path)
        except FileNotFoundError as error:
            raise self._what_it_was(error) from error
        except NotADirectoryError as error:
            raise FileNotFoundError(path) from error
        if info.get("type") == "directory":
            raise FileNotFoundError(path)
        size = info.get("size")
        return None if size is None else int(size)

    def _list(self, shard: str) -> list[tuple[str, int | None]]:
        """The objects in one folder of two digits; in all of them if there are no digits."""
        folder = self._fs.join(self._objects, shard) if shard else self._objects
        if self._is_local:
            return local.list_objects(folder)
        # A walk passes over folders that it cannot read, unless it is told not to.
        how = {} if self._is_object_store else {"on_error": "raise"}
        try:
            found = self._fs.fs.find(folder, detail=True, **how)
        except (FileNotFoundError, NotADirectoryError):
            return []
        objects = []
        for path, info in found.items():
            oid = oid_at(path)
            if oid is not None:
                size = info.get("size")
                objects.append((oid, None if size is None else int(size)))
        return objects

    # -- moving ------------------------------------------------------------------------------

    def path(self, oid: str) -> str:
        """Where an object lies there, or would."""
        assert is_md5(oid), oid
        path: str = self._fs.join(self._objects, oid[:2], oid[2:])
        return path

    def put(self, source: str, oid: str, told: Told) -> bool:
        """Send a file to be the object of that name; False if its bytes are not those.

        It is never there in part, as far as that is in our hands.
        """
        if not self._is_local and local.hash_file(source) != local.digest_of(oid):
            return False
        target = self.path(oid)
        self._make_folder(target)
        if self._fs.protocol in _WEB:
            # Given a path, fsspec leaves the file open when the connection breaks.
            with open(source, "rb") as file:
                self._fs.fs.put_file(file, target, callback=_callback(told))
            return True
        if not self._is_local and self._fs.protocol not in _NEEDS_RENAME:
            self._fs.put_file(source, target, callback=_callback(told))
            return True
        temporary = self._fs.join(self._root, _TEMPORARY, secrets.token_hex(12))
        self._make_folder(temporary)
        done = False
        try:
            if self._is_local:
                # One pass: what is hashed is what is written, even if the file changes meanwhile.
                if local.copy_hashed(source, temporary, told) != local.digest_of(oid):
                    return False
                # DVC trusts read-only objects of a folder on disk, and hashes others each time.
                os.chmod(temporary, 0o444)
                os.replace(temporary, target)
            else:
                self._fs.put_file(source, temporary, callback=_callback(told))
                self._rename(temporary, target)
            done = True
        finally:
            if not done:
                self._discard(temporary)
        return True

    def _rename(self, temporary: str, target: str) -> None:
        try:
            self._fs.fs.mv(temporary, target)
        except Exception:
            # Some servers rename to nothing that exists: an object that is to be repaired.
            if not self._fs.exists(target):
                raise
            self._fs.fs.rm_file(target)
            self._fs.fs.mv(temporary, target)

    def _discard(self, temporary: str) -> None:
        try:
            if self._fs.exists(temporary):
                self._fs.fs.rm_file(temporary)
        except Exception:
            # It is in nobody's way, and the remote may be gone.
            return

    def get(self, oid: str, target: str, told: Told, limit: int | None = None) -> str:
        """Bring an object into a new file, down to the disk; the MD5 of the bytes that came.

        Args:
            limit: the most bytes that are taken.
        Raises:
            FileNotFoundError: it is not there.
            TooLargeError: there were more.
        """
        path = self.path(oid)
        counted = _limited(told, limit)
        if self._is_local:
            return local.copy_hashed(path, target, counted)
        try:
            self._fs.get_file(path, target, callback=_callback(counted))
        except FileNotFoundError as error:
            raise self._what_it_was(error) from error
        if limit is not None and os.path.getsize(target) > limit:
            raise TooLargeError(f"it has more than {limit} bytes")
        digest = local.hash_file(target)
        fsync(target)
        return digest

    def remove(self, oid: str) -> None:
        """Take an object away; one that is not there is none."""
        try:
            self._fs.fs.rm_file(self.path(oid))
        except FileNotFoundError as error:
            gone = self._what_it_was(error)
            if not isinstance(gone, FileNotFoundError):
                raise gone from error

    def _what_it_was(self, error: FileNotFoundError) -> Exception:
        """What made http say that a file is not there: it says so of every failure."""
        cause = error.__cause__
        is_answer = getattr(cause, "status", None) in _NOT_FOUND
        if self._fs.protocol in _WEB and isinstance(cause, Exception) and not is_answer:
            return cause
        return error

    def remove_leftovers(self, before_s: float) -> int:
        """Remove what uploads that broke off left outside the objects; how many files.

        Args:
            before_s: last written before that time, in seconds since 1970; a younger one may be
                under way.
        """
        if not self._is_local and self._fs.protocol not in _NEEDS_RENAME:
            return 0
        folder = self._fs.join(self._root, _TEMPORARY)
        removed = 0
        try:
            for path in self._fs.ls(folder) if self._fs.exists(folder) else ():
                written = self._fs.info(path).get("mtime")
                written_s = written.timestamp() if isinstance(written, datetime) else written
                if written_s is not None and written_s < before_s:
                    self._fs.fs.rm_file(path)
                    removed += 1
        except Exception as error:
            raise self._unreadable(error) from error
        return removed

    def _make_folder(self, path: str) -> None:
        folder = self._fs.parent(path)
        with self._lock:
            if folder in self._made:
                return
        if self._is_local:
            local.make_folders(folder, self._base, is_shared=self._is_shared)
        elif self._fs.protocol not in _WEB:
            self._fs.makedirs(folder, exist_ok=True)
        with self._lock:
            self._made.add(folder)


def _limited(told: Told, limit: int | None) -> Told:
    came = 0

    def count(more: int) -> None:
        nonlocal came
        came += more
        if limit is not None and came > limit:
            raise TooLargeError(f"it has more than {limit} bytes")
        told(more)

    return count


def _callback(told: Told) -> Any:
    """fsspec's way of telling how far a file is."""
    return _callback_class()(told)


@cache
def _callback_class() -> Any:
    base: Any = load("fsspec.callbacks").Callback

    class Callback(base):  # type: ignore[misc]
        def __init__(self, told: Told) -> None:
            super().__init__()
            self._told = told
            self._seen = 0

        def relative_update(self, inc: int = 1) -> None:
            self._seen += inc
            self._told(inc)

        def absolute_update(self, value: int) -> None:
            self.relative_update(value - self._seen)

        def branched(self, *_: Any, **__: Any) -> Any:
            return self

    return Callback
