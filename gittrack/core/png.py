"""Pixels as the bytes of a PNG file. Pure; same pixels, same bytes."""

from __future__ import annotations

import struct
import zlib

#: Channels -> colour type: grey, red-green-blue, and that with opacity.
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}
_LONGEST = (1 << 31) - 1


def encode_png(
    pixels: bytes, width: int, height: int, channels: int, filters: bytes | None = None
) -> bytes:
    """A PNG file with 8 bits a channel.

    Args:
        pixels: height * width * channels bytes, row by row from the top, in each row from the left.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        filters: of each row, how its bytes were made smaller: 0 not at all, 1 (sub) less what is
            left of them, 2 (up) less what is above them.
    Raises:
        ValueError: the number of bytes is another one, or no PNG can be so large.
    Source: W3C, Portable Network Graphics (3rd edition), sections 7.2, 9 and 11.2.
    """
    stride = width * channels
    if not (0 < width <= _LONGEST and 0 < height <= _LONGEST) or channels not in _COLOR_TYPES:
        raise ValueError(f"{width} x {height} pixels of {channels} channels")
    filters = bytes(height) if filters is None else filters
    if len(pixels) != stride * height or len(filters) != height:
        raise ValueError(f"{len(pixels)} bytes for {width} x {height} pixels")
    rows = b"".join(
        [filters[y : y + 1] + pixels[y * stride : (y + 1) * stride] for y in range(height)]
    )
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
