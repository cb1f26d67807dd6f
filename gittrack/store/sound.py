"""Read objects of which nothing is believed: each is here, of its type, and hashes to its id.

git itself reads them, for libgit2 may hang or crash on what is damaged, and whatever git gives is
hashed again, for it does not do so when it reads.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from gittrack.core import codec
from gittrack.errors import CorruptStoreError
from gittrack.store.git import Git
from gittrack.store.inspect import MOST_FILE_BYTES
from gittrack.store.objects import Entry, parse_tree

#: As many bytes are in memory at once, or one object of at most MOST_FILE_BYTES.
_BYTES_AT_ONCE = 32_000_000
_CHUNK_BYTES = 1 << 20


class Wanted(NamedTuple):
    """An object that something names, and what it has to be."""

    oid: str
    type: str


class Found(NamedTuple):
    """What an object turned out to be.

    `why` says what is wrong with it, `is_lost` that it cannot be read; see `Objects.explain`. Bytes
    come with what is sound and not larger than any reader takes.
    """

    size: int = 0
    data: bytes | None = None
    why: str = ""
    is_lost: bool = False


class Loss(NamedTuple):
    """Why an object cannot be read, and the file that holds it, damaged; "" where none does."""

    why: str
    file: str = ""


class Objects:
    """Reads the objects of one repository; `sound` are the ids of those that are."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self.sound: set[bytes] = set()

    def read(self, wanted: Sequence[Wanted]) -> Iterator[Found]:
        """What each object is, in order; few bytes are in memory at once."""
        portion: list[tuple[Wanted, int]] = []
        total = 0
        for item, size in zip(wanted, self._sizes(wanted), strict=True):
            if size > MOST_FILE_BYTES:
                yield from self._portion(portion)
                portion, total = [], 0
                yield self._hash_apart(item, size)
                continue
            if total + size > _BYTES_AT_ONCE:
                yield from self._portion(portion)
                portion, total = [], 0
            portion.append((item, size))
            total += size
        yield from self._portion(portion)

    def trees(self, oids: Sequence[str]) -> Iterator[tuple[dict[str, Entry], Found]]:
        """The entries of trees, none of one that is not sound."""
        for found in self.read([Wanted(oid, "tree") for oid in oids]):
            entries: dict[str, Entry] = {}
            if found.data is not None:
                try:
                    entries = parse_tree(found.data)
                except CorruptStoreError as error:
                    found = Found(why=f"{error.message}: {error.why}")
            elif not found.why:
                found = Found(why=f"has {found.size:,} bytes, more than any folder")
            yield entries, found

    def explain(self, oids: Collection[str]) -> tuple[dict[str, Loss], list[str]]:
        """Why objects cannot be read, by their ids, and what git says of its packs meanwhile."""
        if not oids:
            return {}, []
        asked = "".join(f"{oid}\n" for oid in oids).encode()
        process = self._git.start("cat-file", "--batch-check", "--buffer", stdin=True)
        out, err = process.communicate(asked)
        text = err.decode("utf-8", "replace")
        # Of a loose object git names the file: .git/objects/ab/cdef...
        named = text.replace("/", "")
        losses = {}
        for oid, answer in zip(oids, out.decode().splitlines(), strict=True):
            file = os.path.join(self._git.common_dir, "objects", oid[:2], oid[2:])
            if os.path.exists(file):
                losses[oid] = Loss("is damaged on disk", file)
            elif oid in named or not answer.endswith(" missing"):
                losses[oid] = Loss("is damaged on disk")
            else:
                losses[oid] = Loss("is missing from this repository")
        said = re.findall(r"^error: (.*\bpack\S*\.(?:pack|idx).*)$", text, re.MULTILINE)
        return losses, list(dict.fromkeys(said))

    def _sizes(self, wanted: Sequence[Wanted]) -> Iterator[int]:
        """The size of each object, as far as git knows it; nothing is read for that."""
        if not wanted:
            return
        asked = "".join(f"{item.oid}\n" for item in wanted).encode()
        format_ = "--batch-check=%(objectsize)"
        process = self._git.start("cat-file", "--buffer", format_, stdin=True, errors=False)
        for answer in process.communicate(asked)[0].splitlines():
            yield int(answer) if answer.isdigit() else 0

    def _portion(self, portion: Iterable[tuple[Wanted, int]]) -> Iterator[Found]:
        wanted = [item for item, _ in portion]
        read = self._git.cat_file().read_many(item.oid for item in wanted)
        for item, found in zip(wanted, read, strict=True):
            if found is None:
                yield Found(is_lost=True, why="cannot be read")
            elif found.type != item.type:
                yield Found(why=f"is a {found.type}, where a {item.type} belongs")
            elif codec.object_id(found.type, found.data, _format(item.oid)) != item.oid:
                yield Found(why="is damaged: its bytes are not those of its id")
            else:
                self.sound.add(bytes.fromhex(item.oid))
                yield Found(len(found.data), found.data)

    def _hash_apart(self, item: Wanted, size: int) -> Found:
        """Check an object that is too large to be in memory."""
        process = self._git.start("cat-file", item.type, item.oid, errors=False)
        assert process.stdout is not None
        total = hashlib.new(_format(item.oid), f"{item.type} {size}\0".encode())
        while chunk := process.stdout.read(_CHUNK_BYTES):
            total.update(chunk)
        process.stdout.close()
        if process.wait():
            return Found(is_lost=True, why="cannot be read")
        if total.hexdigest() != item.oid:
            return Found(why="is damaged: its bytes are not those of its id")
        self.sound.add(bytes.fromhex(item.oid))
        return Found(size)


def _format(oid: str) -> str:
    return codec.object_format(oid)
