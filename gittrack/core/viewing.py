"""What a file is, before a program of the system shows it. Pure.

A run may be anybody's, so neither its names nor its bytes are believed: a file is shown only if its
suffix is one of a kind that viewers show without running anything, and its bytes are of that kind.
Pages and SVG pictures may hold scripts; they are shown inside a page that keeps those in.
"""

from __future__ import annotations

import html
from base64 import b64encode

#: Kinds of files.
AUDIO, IMAGE, PAGE, PDF, SVG, TEXT, VIDEO = (
    "audio", "image", "page", "pdf", "svg", "text", "video",
)  # fmt: skip

#: Suffix -> kind, and what its bytes begin with; at most so many bytes before that.
_MAGIC: dict[str, tuple[str, tuple[bytes, ...], int]] = {
    "png": (IMAGE, (b"\x89PNG\r\n\x1a\n",), 0),
    "jpg": (IMAGE, (b"\xff\xd8\xff",), 0),
    "jpeg": (IMAGE, (b"\xff\xd8\xff",), 0),
    "gif": (IMAGE, (b"GIF87a", b"GIF89a"), 0),
    "bmp": (IMAGE, (b"BM",), 0),
    "webp": (IMAGE, (b"WEBP",), 8),
    "tif": (IMAGE, (b"II*\0", b"MM\0*"), 0),
    "tiff": (IMAGE, (b"II*\0", b"MM\0*"), 0),
    "wav": (AUDIO, (b"WAVE",), 8),
    "flac": (AUDIO, (b"fLaC",), 0),
    "ogg": (AUDIO, (b"OggS",), 0),
    "mp3": (AUDIO, (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"), 0),
    "mp4": (VIDEO, (b"ftyp",), 4),
    "webm": (VIDEO, (b"\x1aE\xdf\xa3",), 0),
    "pdf": (PDF, (b"%PDF-",), 0),
}
#: No `desktop`, no `url`, nothing that a shell or an office program runs.
_TEXTS = ("csv", "json", "jsonl", "log", "md", "tsv", "txt", "yaml", "yml")
_PAGES = {"htm": PAGE, "html": PAGE, "svg": SVG}
#: Office programs open these, and ask to run the formulas in them.
SHEETS = ("csv", "tsv")
#: What has a text run as a program, or opened as a shortcut, whatever its suffix.
_RUN = (b"#!", b"[Desktop Entry]")

HEAD_BYTES = 4096


def find_kind(name: str, head: bytes) -> str | None:
    """The kind of a file; None if it is not one to be shown, or not what its name says.

    Args:
        head: its first bytes, `HEAD_BYTES` of them.
    """
    suffix = name.rpartition(".")[2].lower()
    if suffix in _MAGIC:
        kind, starts, at = _MAGIC[suffix]
        return kind if head[at:].startswith(starts) else None
    if b"\0" in head or head.lstrip().startswith(_RUN):
        return None
    if suffix in _TEXTS:
        return TEXT
    return _PAGES.get(suffix)


def wrap_page(page: bytes) -> bytes:
    """A page around a page: scripts of the inner one run, but see no file and no other page.

    Source: HTML Standard, 7.1.4 and the attribute `sandbox` of iframes: without
    `allow-same-origin` the inner page has an origin of its own.
    """
    text = html.escape(page.decode("utf-8", "replace"))
    return _around(
        f'<iframe sandbox="allow-scripts" referrerpolicy=no-referrer srcdoc="{text}"></iframe>'
    )


def wrap_svg(picture: bytes) -> bytes:
    """A page around an SVG picture: as an image it runs no scripts and loads nothing."""
    return _around(f'<img src="data:image/svg+xml;base64,{b64encode(picture).decode()}">')


def _around(inside: str) -> bytes:
    style = (
        "html,body{margin:0;height:100%}"
        "iframe{display:block;border:0;width:100%;height:100%}"  # inline it would leave a gap below
    )
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{inside}\n".encode()
