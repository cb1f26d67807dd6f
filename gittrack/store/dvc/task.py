"""What both directions of a transfer have in common: the books, and what is told of them."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from typing import NamedTuple, TypeVar

from gittrack.core.listing import Listed, decode_listing, is_md5
from gittrack.errors import CorruptStoreError, TransferError
from gittrack.store.dvc.local import Store
from gittrack.store.dvc.pool import Pool
from gittrack.store.dvc.remote import Remote, Sizes
from gittrack.store.dvc.words import describe

#: Told how far it is: objects done and in all, bytes done and in all; None if nobody knows.
#: By one thread at a time, not always the one that called.
Progress = Callable[[int, int, int, int | None], None]

#: Why an object counts as corrupt.
OURS = "its copy here has other bytes than its name says"
THEIRS = "the remote's copy has other bytes than its name says"

Result = TypeVar("Result")


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


class Lost(Exception):
    """The other side is gone; the reason is its cause."""


class Books:
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


class Task:
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
        self.books = Books(self.pool, books)
        self.sent: dict[str, int] = {}
        self.present: set[str] = set()
        self.missing: set[str] = set()
        self.corrupt: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.listings: dict[str, list[Listed]] = {}
        self._trouble: Exception | None = None
        self._temporaries = itertools.count()

    def run(self, wanted: Iterable[str], repair: bool) -> Report:
        oids = set()
        for oid in wanted:
            if is_md5(oid):
                oids.add(oid)
            else:
                self.failed[oid] = "it is not the name of an object"
        lost: BaseException | None = None
        try:
            self.move(oids, repair)
        except Lost as error:
            lost = error.__cause__
        if lost is not None:
            why = self.remote.explain(lost)
            for oid in (oids | files_of(self.listings)) - self.settled():
                self.failed[oid] = f"not tried: {why}"
        report = self._report(oids)
        trouble = lost or (None if report.sent or report.present else self._trouble)
        if trouble is not None:
            raise self._broken_off(report, self.remote.explain(trouble))
        return report

    def move(self, oids: set[str], repair: bool) -> None:
        raise NotImplementedError

    def each(self, work: Callable[[str], Result], oids: Iterable[str]) -> dict[str, Result]:
        """Do it with every object, several at once; failures go into the books.

        Raises:
            Lost: so much failed that the rest was not tried.
        """
        outcome = self.pool.each(work, oids)
        self.fail(outcome.errors)
        if self.books.error is not None:
            raise self.books.error
        if outcome.gave_up is not None:
            self.settle(outcome.results)
            raise Lost from outcome.gave_up
        return outcome.results

    def settle(self, results: Mapping[str, object]) -> None:
        """Note what was done before the remote was lost."""

    def ask(self, oids: Iterable[str]) -> Sizes:
        """What the remote has of those; what cannot be told counts as failed.

        Raises:
            Lost: it does not answer.
        """
        answer = self.remote.ask(oids, self.pool)
        self.fail(answer.errors)
        if answer.gave_up is not None:
            raise Lost from answer.gave_up
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
                self.corrupt[oid] = OURS
            else:
                self.listings[oid] = decode_listing(data, oid)
        except FileNotFoundError:
            return False
        except CorruptStoreError as error:
            self.corrupt[oid] = in_words(error)
        except OSError as error:
            self.failed[oid] = describe(error)
        return oid in self.listings

    def lacking(self, oid: str, there: Container[str]) -> dict[str, str]:
        """The files of a folder that are not among those, path -> object."""
        return {file.path: file.md5 for file in self.listings[oid] if file.md5 not in there}

    def there(self) -> set[str]:
        """What the other side has, as far as it is known."""
        return self.present | self.sent.keys()

    def settled(self) -> set[str]:
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


def in_words(error: CorruptStoreError) -> str:
    return f"{error.message}: {error.why}"


def files_of(listings: Mapping[str, list[Listed]]) -> set[str]:
    """The objects of all files in those folders."""
    return {file.md5 for files in listings.values() for file in files}
