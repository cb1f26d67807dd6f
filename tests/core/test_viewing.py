"""Files that may be anybody's are shown only if nothing runs by that."""

from __future__ import annotations

import re

import pytest

from gittrack.core import viewing


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n...", viewing.IMAGE),
        ("a.PNG", b"\x89PNG\r\n\x1a\n...", viewing.IMAGE),
        ("a.png", b"#!/bin/sh\n", None),
        ("a.jpg", b"\x89PNG\r\n\x1a\n...", None),
        ("a.wav", b"RIFF\x10\0\0\0WAVEfmt ", viewing.AUDIO),
        ("a.webp", b"RIFF\x10\0\0\0WAVEfmt ", None),
        ("a.pdf", b"%PDF-1.4", viewing.PDF),
        ("a.txt", b"text", viewing.TEXT),
        ("a.txt", b" \n#!/bin/sh", None),
        ("a.csv", b"[Desktop Entry]\nExec=sh", None),
        ("a.json", b"{\0}", None),
        ("a.html", b"<h1>", viewing.PAGE),
        ("a.svg", b"<svg/>", viewing.SVG),
        ("a.desktop", b"[Desktop Entry]", None),
        ("a.py", b"print(1)", None),
        ("a.sh", b"text", None),
        ("png", b"text", None),
        ("", b"", None),
    ],
)
def test_kinds(name: str, head: bytes, kind: str | None) -> None:
    assert viewing.find_kind(name, head) == kind


def test_a_page_stays_inside_its_frame() -> None:
    page = b'</iframe><script>top.x="1"</script>\'\xff&quot;'
    wrapped = viewing.wrap_page(page).decode()
    (inner,) = re.findall(r'<iframe sandbox="allow-scripts"[^>]* srcdoc="([^"]*)">', wrapped)
    assert "<" not in inner
    assert "allow-same-origin" not in wrapped
    assert wrapped.count("<script") == 0
    svg = viewing.wrap_svg(b"<svg onload='x()'/>").decode()
    assert "onload" not in svg and '<img src="data:image/svg+xml;base64,' in svg
