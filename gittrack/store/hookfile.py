"""What stands in a hook: our block, put in and taken out again. Pure."""

from __future__ import annotations

import os
import re
import shlex

#: What the user's own hook is called while ours stands in its place and runs it.
LEGACY = ".gittrack-legacy"

_SHEBANG = b"#!/bin/sh\n"
_MARK = b"# >>> gittrack >>>"
_BLOCK = re.compile(rb"^# >>> gittrack >>>\n.*?^# <<< gittrack <<<(?:\n|\Z)", re.M | re.S)
_PROGRAM = re.compile(rb"_gittrack=(.*?) _gittrack_module=(.*?)\n", re.S)
#: Shells that read our block, with options under which it means the same.
_SHELL = re.compile(
    rb"#! */(?:\S*/)?(?:env +(?:-S +)?)?(?:ba|da|k)?sh(?: +-(?:[eflux]*o +pipefail|[eflux]*))* *\n"
)
#: Something reads the hook itself: another language's interpreter, or whoever wants the data
#: behind the script. It must find the file as it was written.
_READS_ITSELF = re.compile(
    rb"\b(?:exec|tail|sed|awk|head)\b(?:(?!name\b).)*"  # neither dirname nor basename
    rb"\$\{?(?:0|BASH_SOURCE(?:\[0\])?)\}?(?=[\"'\s;)]|$)",
    re.M,
)


def with_program(script: bytes, program: str, module: str) -> bytes:
    """A hook of ours that starts this program, with that option if there is one."""
    words = tuple(os.fsencode(shlex.quote(word)) for word in (program, module))
    line = b"_gittrack=%b _gittrack_module=%b\n" % words
    return _PROGRAM.sub(lambda _: line, script, count=1)


def find_program(text: bytes) -> str | None:
    """The program that our block in a hook starts; None where there is no block."""
    block = _BLOCK.search(text)
    line = block and _PROGRAM.search(block[0])
    return "".join(shlex.split(os.fsdecode(line[1]))) if line else None


def has_block(text: bytes) -> bool:
    """Whether our block is in a hook, whole."""
    return _BLOCK.search(text) is not None


def is_damaged(text: bytes) -> bool:
    """Whether a hook holds a part of our block only: somebody edited it, or its line ends."""
    return _MARK in text and not has_block(text)


def is_chained(text: bytes) -> bool:
    """Whether we made the file that holds our block, so that it runs the hook from before."""
    block = _BLOCK.search(text)
    return block is not None and LEGACY.encode() in block[0]


def can_hold(text: bytes) -> bool:
    """Whether a hook is a shell script that takes our block right behind its first line."""
    return bool(_SHELL.match(text)) and b"\r\n" not in text and not _READS_ITSELF.search(text)


def with_block(text: bytes, script: bytes) -> bytes:
    """A hook with the block of `script`, in place of an older one if it has one."""
    made = _BLOCK.search(script)
    assert made is not None
    if is_chained(text):
        block = made[0]
    else:
        # The user's hook stands below and needs nobody to run it.
        lines = made[0].splitlines(keepends=True)
        block = b"".join(line for line in lines if LEGACY.encode() not in line)
    older = _BLOCK.search(text)
    at, end = older.span() if older else (text.index(b"\n") + 1,) * 2
    return text[:at] + block + text[end:]


def alone(script: bytes) -> bytes:
    """A hook of ours that runs no other."""
    return with_block(_SHEBANG, script)


def without_block(text: bytes) -> bytes | None:
    """A hook as it was before `with_block`; None if the file was made by us and holds no more."""
    rest = _BLOCK.sub(b"", text, count=1)
    return None if rest == _SHEBANG and is_chained(text) else rest
