"""Move artifact objects between our store and a remote, and look afterwards whether they arrived.

A folder's listing goes last, when all its files are there: a listing whose files are missing never
comes to be by our doing, on either side. What is there already is not moved, so what broke off goes
on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress

from gittrack.core.listing import MAX_BYTES, decode_listing, is_listing
from gittrack.errors import ArtifactRemoteError, CorruptStoreError
from gittrack.store.dvc.local import Store, Told, digest_of, read_checked
from gittrack.store.dvc.remote import Remote, Sizes, TooLargeError
from gittrack.store.dvc.task import OURS, THEIRS, Lost, Progress, Report, Task, files_of, in_words

__all__ = ["Progress", "Report", "fetch", "push"]

#: A single failure of the network is not worth a word.
_ROUNDS = 2
_MISSING = "missing"


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
    most: Mapping[str, int] | None = None,
) -> Report:
    """Bring objects that are not here; one gets its name when its bytes are known to be right.

    Args:
        folder: of our store, the one that holds `files/md5`.
        wanted: names of objects; that of a folder stands for its files, too.
        jobs: objects at a time; by default as the remote is configured.
        repair: read what is here, all of it, and replace what is corrupt.
        whole: whether a folder stands for its files; else its listing comes alone.
        most: object -> bytes that it has at most; of a folder what each of its files has. Where the
            remote tells no sizes, nothing else bounds what it sends.
    Raises:
        TransferError: the remote was lost, or nothing at all could be moved.
        ArtifactRemoteError: there is nothing where the remote should be.
    """
    with Store(folder).scratch() as scratch:
        task = _Fetch(Store(folder), remote, scratch, jobs, progress)
        task.whole = whole
        task.most = most or {}
        return task.run(wanted, repair)


class _Push(Task):
    verb = "pushed to"
    command = "gittrack push"

    def move(self, oids: set[str], repair: bool) -> None:
        unread = {oid for oid in oids if is_listing(oid) and not self.read_here(oid)}
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
        self._send({oid: size for oid, (size,) in todo.items() if not is_listing(oid)})
        folders = {oid: size for oid, (size,) in todo.items() if is_listing(oid)}
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
                    self.corrupt[oid] = THEIRS
                else:
                    self.listings[oid] = decode_listing(data, oid)
            except CorruptStoreError as error:
                self.corrupt[oid] = in_words(error)

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
            except Lost:
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
                self.corrupt[oid] = OURS
        return [oid for oid, done in results.items() if done]

    def settle(self, results: Mapping[str, object]) -> None:
        # The remote acknowledged these; whether it has them is looked at next time.
        for oid, done in results.items():
            if done is True and oid not in self.present:
                self.sent[oid] = self.store.find_size(oid) or 0


class _Fetch(Task):
    verb = "fetched from"
    command = "gittrack pull"
    whole = True
    most: Mapping[str, int] = {}

    def move(self, oids: set[str], repair: bool) -> None:
        folders = {oid for oid in oids if is_listing(oid)}
        here = {oid for oid in folders if self.read_here(oid)}
        if repair:
            self.corrupt.clear()
        coming = self._bring_listings(folders - here - self.settled())
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
        self._bring(self._limits(sizes), self._keep)
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

    def _limits(self, sizes: Sizes) -> Sizes:
        """How many bytes are taken of each object: its size, else what is known of it here."""
        most = dict(self.most)
        for listing in self.listings.keys() & self.most.keys():
            for file in self.listings[listing]:
                most[file.md5] = max(most.get(file.md5, 0), self.most[listing])
        return {oid: most.get(oid) if size is None else size for oid, size in sizes.items()}

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
                self.corrupt[oid] = in_words(error)
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
            raise Lost from error
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
                    return THEIRS
                keep(oid, path)
            except FileNotFoundError:
                return _MISSING
            except TooLargeError:
                return THEIRS
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


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
