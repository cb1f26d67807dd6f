"""Move artifact objects between our store and a remote, and look afterwards whether they arrived.

A folder's listing goes last, when all its files are there: a listing whose files are missing never
comes to be by our doing, on either side. What is there already is not moved, so what broke off goes
on where it was.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from gittrack.errors import ArtifactRemoteError, CorruptStoreError, TransferError
from gittrack.store.dvc.listing import MAX_BYTES, Entry, decode_listing, files_of, is_folder, is_oid
from gittrack.store.dvc.local import Store, Told, digest_of, read_checked
from gittrack.store.dvc.pool import Pool
from gittrack.store.dvc.remote import Remote, Sizes, TooLargeError, describe

#: Told how far it is: objects done and in all, bytes done and in all; None if nobody knows.
#: By one thread at a time, not always the one that called.
Progress = Callable[[int, int, int, int | None], None]

#: A single failure of the network is not worth a word.
_ROUNDS = 2
_OURS = "its copy here has other bytes than its name says"
_THEIRS = "the remote's copy has other bytes than its name says"
_MISSING = "missing"

_Result = TypeVar("_Result")


class Report(NamedTuple):
    """What became of the objects that were wanted, and of the files of folders among them.

    Args:
        sent: moved now, and found on the other side afterwards.
        present: there already.
        missing: on neither side.
        corrupt: object -> which side has other bytes under its name. It was not moved.
        failed: object -> why it could not be moved.
        incomplete: folder -> the files in it that are not on the other side, path -> object.
        size_bytes: how much was moved.
    """

    sent: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    corrupt: Mapping[str, str] = {}
    failed: Mapping[str, str] = {}
    incomplete: Mapping[str, Mapping[str, str]] = {}
    size_bytes: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything that was wanted is on the other side now."""
        return not (self.missing or self.corrupt or self.failed or self.incomplete)


class Removal(NamedTuple):
    """What became of objects that were to be removed from a remote.

    Args:
        removed: gone now; what had not been there is among them.
        failed: object -> why it is still there.
    """

    removed: tuple[str, ...]
    failed: Mapping[str, str]


def push(
    folder: str,
    remote: Remote,
    wanted: Iterable[str],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    repair: bool = False,
) -> Report:
    """Send objects that the remote does not have; nothing whose bytes are not what its name says.

    An object that is there is trusted if its size is right, where the remote tells sizes.

    Args:
        folder: of our store, the one that holds `files/md5`.
        wanted: names of objects; that of a folder stands for its files, too.
        jobs: objects at a time; by default as the remote is configured.
        repair: read back what the remote has, all of it, and replace what is corrupt there.
    Raises:
        TransferError: the remote was lost, or nothing at all could be moved.
    """
    with Store(folder).scratch() as scratch:
        task = _Push(Store(folder), remote, scratch, jobs, progress)
        return task.run(wanted, repair)


def fetch(
    folder: str,
    remote: Remote,
    wanted: Iterable[str],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    repair: bool = False,
    whole: bool = True,
) -> Report:
    """Bring objects that are not here; one gets its name when its bytes are known to be right.

    Args:
        folder: of our store, the one that holds `files/md5`.
        wanted: names of objects; that of a folder stands for its files, too.
        jobs: objects at a time; by default as the remote is configured.
        repair: read what is here, all of it, and replace what is corrupt.
        whole: whether a folder stands for its files; else its listing comes alone.
    Raises:
        TransferError: the remote was lost, or nothing at all could be moved.
        ArtifactRemoteError: there is nothing where the remote should be.
    """
    with Store(folder).scratch() as scratch:
        task = _Fetch(Store(folder), remote, scratch, jobs, progress)
        task.whole = whole
        return task.run(wanted, repair)


def remove(remote: Remote, oids: Iterable[str], *, jobs: int | None = None) -> Removal:
    """Remove objects of ours from a remote; listings of folders before all files."""
    pool = Pool(jobs or remote.jobs)
    failed = {}
    wanted = set()
    for oid in oids:
        if is_oid(oid):
            wanted.add(oid)
        else:
            failed[oid] = "it is not the name of an object"
    listings = {oid for oid in wanted if is_folder(oid)}
    failed.update(_remove(remote, listings, pool))
    files = wanted - listings
    if listings & failed.keys():
        # While a listing is there, its files must be; nobody knows whose these are.
        failed.update(
            dict.fromkeys(files, "not tried, since the listing of a folder is still there")
        )
    else:
        failed.update(_remove(remote, files, pool))
    return Removal(tuple(sorted(wanted - failed.keys())), failed)


def _remove(remote: Remote, oids: set[str], pool: Pool) -> dict[str, str]:
    """Those that could not be removed, and why."""
    outcome = pool.each(remote.remove, sorted(oids))
    failed = {oid: remote.explain(error) for oid, error in outcome.errors.items()}
    if outcome.gave_up is None:
        left = remote.ask(outcome.results, pool)
        failed.update(dict.fromkeys(left.sizes, "the remote still has it"))
        failed.update((oid, remote.explain(error)) for oid, error in left.errors.items())
        lost = left.gave_up
        unknown = outcome.results.keys() if lost else set()
    else:
        lost = outcome.gave_up
        unknown = oids - outcome.results.keys()
    if lost is not None:
        failed = dict.fromkeys(unknown, remote.explain(lost)) | failed
    return failed


class _Lost(Exception):
    """The other side is gone; the reason is its cause."""


class _Books:
    """How far it is, and who is told so."""

    def __init__(self, pool: Pool, progress: Progress | None) -> None:
        self._pool = pool
        self._progress = progress
        self._lock = threading.Lock()
        self._objects = self._objects_in_all = self._bytes = 0
        self._bytes_in_all: int | None = 0
        self.error: Exception | None = None

    def expect(self, objects: int, size_bytes: int | None) -> None:
        """So many more are to come."""
        self._objects_in_all += objects
        if self._bytes_in_all is not None:
            self._bytes_in_all = None if size_bytes is None else self._bytes_in_all + size_bytes

    def quiet(self, _: int) -> None:
        """Bytes that nobody is told of went by."""
        self._pool.checkpoint()

    def told(self, more: int) -> None:
        """Bytes went by."""
        self._pool.checkpoint()
        self._count(0, more)

    def object_done(self) -> None:
        """One object is through, well or not."""
        self._count(1, 0)

    def _count(self, objects: int, size_bytes: int) -> None:
        with self._lock:
            self._objects += objects
            self._bytes += size_bytes
            if self._progress is None or self.error is not None:
                return
            try:
                self._progress(self._objects, self._objects_in_all, self._bytes, self._bytes_in_all)
            except Exception as error:
                # It is the caller's, and no failure of an object.
                self.error = error
        if self.error is not None:
            self._pool.stop()


class _Task:
    """What both directions have in common."""

    verb = ""
    command = ""

    def __init__(
        self, store: Store, remote: Remote, scratch: str, jobs: int | None, books: Progress | None
    ) -> None:
        self.store = store
        self.remote = remote
        self.scratch = scratch
        self.pool = Pool(jobs or remote.jobs)
        self.books = _Books(self.pool, books)
        self.sent: dict[str, int] = {}
        self.present: set[str] = set()
        self.missing: set[str] = set()
        self.corrupt: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.listings: dict[str, list[Entry]] = {}
        self._trouble: Exception | None = None
        self._temporaries = itertools.count()

    def run(self, wanted: Iterable[str], repair: bool) -> Report:
        oids = set()
        for oid in wanted:
            if is_oid(oid):
                oids.add(oid)
            else:
                self.failed[oid] = "it is not the name of an object"
        lost: BaseException | None = None
        try:
            self.move(oids, repair)
        except _Lost as error:
            lost = error.__cause__
        if lost is not None:
            why = self.remote.explain(lost)
            for oid in (oids | files_of(self.listings)) - self._settled():
                self.failed[oid] = f"not tried: {why}"
        report = self._report(oids)
        trouble = lost or (None if report.sent or report.present else self._trouble)
        if trouble is not None:
            raise self._broken_off(report, self.remote.explain(trouble))
        return report

    def move(self, oids: set[str], repair: bool) -> None:
        raise NotImplementedError

    def each(self, work: Callable[[str], _Result], oids: Iterable[str]) -> dict[str, _Result]:
        """Do it with every object, several at once; failures go into the books.

        Raises:
            _Lost: so much failed that the rest was not tried.
        """
        outcome = self.pool.each(work, oids)
        self.fail(outcome.errors)
        if self.books.error is not None:
            raise self.books.error
        if outcome.gave_up is not None:
            self.settle(outcome.results)
            raise _Lost from outcome.gave_up
        return outcome.results

    def settle(self, results: Mapping[str, object]) -> None:
        """Note what was done before the remote was lost."""

    def ask(self, oids: Iterable[str]) -> Sizes:
        """What the remote has of those; what cannot be told counts as failed.

        Raises:
            _Lost: it does not answer.
        """
        answer = self.remote.ask(oids, self.pool)
        self.fail(answer.errors)
        if answer.gave_up is not None:
            raise _Lost from answer.gave_up
        return answer.sizes

    def fail(self, errors: Mapping[str, Exception]) -> None:
        for oid, error in errors.items():
            self.failed[oid] = self.remote.explain(error)
            self._trouble = self._trouble or error

    def temporary(self) -> str:
        """A new path in the scratch folder."""
        return os.path.join(self.scratch, str(next(self._temporaries)))

    def read_here(self, oid: str) -> bool:
        """Read the listing of a folder that is here; False if there is none that can be read."""
        try:
            data = self.store.read(oid)
            if data is None:
                self.corrupt[oid] = _OURS
            else:
                self.listings[oid] = decode_listing(data, oid)
        except FileNotFoundError:
            return False
        except CorruptStoreError as error:
            self.corrupt[oid] = _words(error)
        except OSError as error:
            self.failed[oid] = describe(error)
        return oid in self.listings

    def lacking(self, oid: str, there: Container[str]) -> dict[str, str]:
        """The files of a folder that are not among those, path -> object."""
        return {entry.path: entry.oid for entry in self.listings[oid] if entry.oid not in there}

    def there(self) -> set[str]:
        """What the other side has, as far as it is known."""
        return self.present | self.sent.keys()

    def _settled(self) -> set[str]:
        return self.there() | self.missing | self.corrupt.keys() | self.failed.keys()

    def _report(self, oids: set[str]) -> Report:
        there = self.there()
        incomplete = {
            oid: lacking
            for oid in sorted(oids & self.listings.keys())
            if (lacking := self.lacking(oid, there))
        }
        return Report(
            tuple(sorted(self.sent)),
            tuple(sorted(self.present - self.sent.keys())),
            tuple(sorted(self.missing)),
            dict(sorted(self.corrupt.items())),
            dict(sorted(self.failed.items())),
            incomplete,
            sum(self.sent.values()),
        )

    def _broken_off(self, report: Report, why: str) -> TransferError:
        error = TransferError(
            f"not all artifacts could be {self.verb} the remote '{self.remote.name}'",
            why=f"{why}; {len(report.sent)} objects were moved before, {len(report.present)} were "
            f"there already, {len(report.failed)} were not moved",
            next=f"{self.command} --artifacts-only, which goes on where this ended",
        )
        error.report = report
        return error


class _Push(_Task):
    verb = "pushed to"
    command = "gittrack push"

    def move(self, oids: set[str], repair: bool) -> None:
        unread = {oid for oid in oids if is_folder(oid) and not self.read_here(oid)}
        wanted = oids | files_of(self.listings)
        there = self.ask(wanted)
        # A clone without the artifacts still tells whether the folders on the remote are whole.
        self._read_there(sorted(unread & there.keys()))
        if more := files_of(self.listings) - wanted:
            there.update(self.ask(more))
            wanted |= more
        if repair:
            self._read_back(there)
        todo = {oid: size for oid in sorted(wanted) if (size := self._to_send(oid, there, repair))}
        self.books.expect(len(todo), sum(size for (size,) in todo.values()))
        self._send({oid: size for oid, (size,) in todo.items() if not is_folder(oid)})
        folders = {oid: size for oid, (size,) in todo.items() if is_folder(oid)}
        arrived = self.there()
        for oid in [oid for oid in folders if self.lacking(oid, arrived)]:
            self.failed[oid] = "not sent, since files of the folder are not on the remote"
            del folders[oid]
        self._send(folders)

    def _read_there(self, oids: Sequence[str]) -> None:
        def read(oid: str) -> bytes | None:
            path = self.temporary()
            self.remote.get(oid, path, self.books.quiet, MAX_BYTES)
            return read_checked(path, oid)

        for oid, data in self.each(read, oids).items():
            try:
                if data is None:
                    self.corrupt[oid] = _THEIRS
                else:
                    self.listings[oid] = decode_listing(data, oid)
            except CorruptStoreError as error:
                self.corrupt[oid] = _words(error)

    def _read_back(self, there: Sizes) -> None:
        """Have what is corrupt on the remote count as not there."""

        def is_sound(oid: str) -> bool:
            path = self.temporary()
            try:
                digest = self.remote.get(oid, path, self.books.quiet, self.store.find_size(oid))
            except (FileNotFoundError, TooLargeError):
                return False
            os.unlink(path)
            return digest == digest_of(oid)

        here = [oid for oid in sorted(there) if self.store.find_size(oid) is not None]
        for oid, sound in self.each(is_sound, here).items():
            if not sound:
                del there[oid]

    def _to_send(self, oid: str, there: Sizes, repair: bool) -> tuple[int] | None:
        """The size of an object that is to be sent; all others are settled here."""
        if oid in self.corrupt or oid in self.failed:
            return None
        here = self.store.find_size(oid)
        if oid in there:
            size = there[oid]
            if here is None or size is None or size == here:
                self.present.add(oid)
                return None
            if not repair:
                self.corrupt[oid] = f"the remote's copy has {size} bytes, the one here {here}"
                return None
        if here is None:
            self.missing.add(oid)
            return None
        return (here,)

    def _send(self, sizes: Mapping[str, int]) -> None:
        todo = set(sizes)
        for attempt in range(_ROUNDS):
            if attempt and todo:
                self.books.expect(len(todo), sum(sizes[oid] for oid in todo))
            for oid in todo:
                self.failed.pop(oid, None)
            sent = self._send_once(sorted(todo))
            try:
                found = self.ask(sent)
            except _Lost:
                self.settle(dict.fromkeys(sent, True))
                raise
            for oid in sent:
                if oid in found and found[oid] in (None, sizes[oid]):
                    self.sent[oid] = sizes[oid]
                elif oid not in self.failed:
                    self.failed[oid] = "the remote said it had stored it, and has not"
            todo &= self.failed.keys()

    def _send_once(self, oids: Sequence[str]) -> list[str]:
        def send(oid: str) -> bool:
            try:
                return self.remote.put(self.store.path(oid), oid, self.books.told)
            finally:
                self.books.object_done()

        results = self.each(send, oids)
        for oid, done in results.items():
            if not done:
                self.corrupt[oid] = _OURS
        return [oid for oid, done in results.items() if done]

    def settle(self, results: Mapping[str, object]) -> None:
        # The remote acknowledged these; whether it has them is looked at next time.
        for oid, done in results.items():
            if done is True and oid not in self.present:
                self.sent[oid] = self.store.find_size(oid) or 0


class _Fetch(_Task):
    verb = "fetched from"
    command = "gittrack pull"
    whole = True

    def move(self, oids: set[str], repair: bool) -> None:
        folders = {oid for oid in oids if is_folder(oid)}
        here = {oid for oid in folders if self.read_here(oid)}
        if repair:
            self.corrupt.clear()
        coming = self._bring_listings(folders - here - self._settled())
        inside = files_of(self.listings) if self.whole else set()
        files = self._not_here((oids - folders) | inside, repair)
        sizes: Sizes = dict.fromkeys(files)
        if self.remote.can_list:
            # Over http every question takes as long as a small object.
            sizes = self.ask(files)
            self.missing |= files - sizes.keys() - self.failed.keys()
        self._check_that_it_is_there()
        known = [size for size in sizes.values() if size is not None]
        whole = sum(known) if len(known) == len(sizes) else None
        self.books.expect(len(sizes) + len(coming), whole)
        self._bring(sizes, self._keep)
        self.present |= here
        arrived = self.there()
        for oid, path in coming.items():
            # A listing that comes with its files comes after them.
            if self.lacking(oid, arrived):
                self.failed[oid] = "not kept, since files of the folder could not be fetched"
            else:
                self._keep(oid, path)
            self.books.object_done()

    def lacking(self, oid: str, there: Container[str]) -> dict[str, str]:
        return super().lacking(oid, there) if self.whole else {}

    def _bring_listings(self, oids: set[str]) -> dict[str, str]:
        """The listings of folders, in the scratch folder until their files are here."""
        paths: dict[str, str] = {}
        good: dict[str, str] = {}
        if self.remote.can_list:
            sizes = self.ask(oids)
            self.missing |= oids - sizes.keys() - self.failed.keys()
            oids = set(sizes)
        self._bring(dict.fromkeys(oids, MAX_BYTES), paths.__setitem__, self.books.quiet)
        for oid, path in paths.items():
            try:
                with open(path, "rb") as file:
                    self.listings[oid] = decode_listing(file.read(), oid)
                good[oid] = path
            except CorruptStoreError as error:
                self.corrupt[oid] = _words(error)
        return good

    def _not_here(self, files: set[str], repair: bool) -> set[str]:
        here = {oid for oid in files if self.store.find_size(oid) is not None}
        if repair:
            sound = self.pool.each(self.store.is_sound, sorted(here)).results
            here = {oid for oid in here if sound.get(oid)}
        self.present |= here
        return files - here

    def _check_that_it_is_there(self) -> None:
        """Tell a remote that lacks some objects from a place where there is none.

        Raises:
            ArtifactRemoteError: there is nothing at its place.
        """
        if not self.missing or self.failed or self.corrupt or self.listings:
            return
        try:
            is_there = self.remote.is_there()
        except Exception as error:
            raise _Lost from error
        if not is_there:
            raise ArtifactRemoteError(
                f"the remote '{self.remote.name}' is not there",
                why=f"there is nothing at {self.remote.url}",
                next="gittrack remote artifacts",
            )

    def _bring(
        self, limits: Sizes, keep: Callable[[str, str], None], told: Told | None = None
    ) -> None:
        """Bring objects; `keep` gets the name and the file of each whose bytes are right."""

        def bring(oid: str) -> str:
            path = self.temporary()
            try:
                digest = self.remote.get(oid, path, told or self.books.told, limits[oid])
                if digest != digest_of(oid):
                    return _THEIRS
                keep(oid, path)
            except FileNotFoundError:
                return _MISSING
            except TooLargeError:
                return _THEIRS
            finally:
                if told is None:
                    self.books.object_done()
                    _unlink(path)
            return ""

        todo = set(limits)
        for _ in range(_ROUNDS):
            for oid in todo:
                self.failed.pop(oid, None)
            for oid, said in self.each(bring, sorted(todo)).items():
                if said == _MISSING:
                    self.missing.add(oid)
                elif said:
                    self.corrupt[oid] = said
            todo &= self.failed.keys()

    def _keep(self, oid: str, path: str) -> None:
        size = os.path.getsize(path)
        self.store.place(path, oid)
        self.sent[oid] = size


def _words(error: CorruptStoreError) -> str:
    return f"{error.message}: {error.why}"


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
