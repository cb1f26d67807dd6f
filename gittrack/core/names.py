"""Which names are legal, what ids look like, and artifact path <-> file name.

Source: docs/FORMAT.md, "Names" and "Ids".
"""

from __future__ import annotations

import re
import time

from gittrack.core import words
from gittrack.core.model import DEFAULT_EXPERIMENT
from gittrack.errors import InvalidNameError

MAX_KEY_CHARS = 250
MAX_EXPERIMENT_CHARS = 500
MAX_SEGMENT_BYTES = 200
MAX_PATH_CHARS = 4000

#: `default-` + sha256("default")[:8]; written out so that no hash is needed at start.
DEFAULT_EXPERIMENT_ID = "default-37a8eec1"

_OWN_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{12}")
_ANY_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}")
# C0, DEL, C1, and halves of surrogate pairs: no program shows them, git and YAML garble them.
_ILLEGAL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SAFE_ENTRY = re.compile(r"[ -.0-9;-\[\]-~]{1,255}")
_KEPT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._- ")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.DOTALL)
_DVC_NAMES = ("dvc.yaml", "dvc.lock")


# -- keys and names --------------------------------------------------------------------------


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def check_key(kind: str, key: object) -> str:
    """The key of a param, metric or tag, if it is legal: text of 1 to 250 characters.

    Keys stand in YAML and CSV, never in file names, so `a/b`, `..` and `CON` are fine.

    Raises:
        InvalidNameError: it is not text, empty, too long, or holds control characters.
    """
    if not isinstance(key, str):
        raise InvalidNameError(
            f"{_a(kind)} key is {key!r}, of type {type(key).__name__}",
            why="keys are text",
            next=f"use str: {str(key)!r}",
        )
    if not key:
        raise InvalidNameError(
            f"{_a(kind)} key is empty", why="a key is what finds the value again"
        )
    if len(key) > MAX_KEY_CHARS:
        raise InvalidNameError(
            f"the {kind} key {key[:40]!r}... has {len(key)} characters",
            why=f"the limit is {MAX_KEY_CHARS}",
            next="use a shorter key",
        )
    bad = _ILLEGAL.search(key)
    if bad is not None:
        raise InvalidNameError(
            f"the {kind} key {key!r} holds the character {bad[0]!r}",
            why="control characters and unpaired surrogates cannot be shown or typed",
            next="leave it out",
        )
    return key


def check_experiment_name(name: object) -> str:
    """The name of an experiment, if it is legal.

    Raises:
        InvalidNameError: it is not text, blank, too long, or holds control characters.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidNameError(
            f"an experiment cannot be called {name!r}",
            why="its name is text that is not blank",
            next='gittrack.set_experiment("my experiment")',
        )
    if len(name) > MAX_EXPERIMENT_CHARS or _ILLEGAL.search(name):
        raise InvalidNameError(
            f"an experiment cannot be called {name[:60]!r}",
            why=f"a name has at most {MAX_EXPERIMENT_CHARS} characters and no control characters",
            next="choose another name",
        )
    return name


def check_run_name(name: object) -> str:
    """The name of a run, if it is legal; the same rules as for experiments."""
    if not isinstance(name, str) or len(name) > MAX_EXPERIMENT_CHARS or _ILLEGAL.search(name):
        raise InvalidNameError(
            f"a run cannot be called {str(name)[:60]!r}",
            why=f"a name is text of at most {MAX_EXPERIMENT_CHARS} characters without control "
            "characters",
            next="choose another name",
        )
    return name


def check_artifact_path(path: object) -> str:
    """The path of an artifact, if it is legal: relative, with `/`, without `.` and `..`.

    Raises:
        InvalidNameError: it is not.
    """
    if not isinstance(path, str):
        raise InvalidNameError(
            f"an artifact path is {path!r}, of type {type(path).__name__}", why="paths are text"
        )
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or _ILLEGAL.search(path):
        raise InvalidNameError(
            f"{path!r} cannot be the path of an artifact",
            why="it is relative, without empty parts, `.`, `..` and control characters",
            next="a path such as 'plots/roc.png'",
        )
    if len(path) > MAX_PATH_CHARS:
        raise InvalidNameError(
            f"the artifact path {path[:40]!r}... has {len(path)} characters",
            why=f"the limit is {MAX_PATH_CHARS}",
        )
    return path


# -- ids -------------------------------------------------------------------------------------


def new_run_id(start_ms: int, entropy: bytes) -> str:
    """The id of a run: its UTC start second and 48 random bits.

    Args:
        start_ms: ms since the epoch.
        entropy: 6 random bytes.
    """
    second = time.strftime("%Y%m%d-%H%M%S", time.gmtime(start_ms // 1000))
    return f"{second}-{entropy.hex()}"


def is_own_run_id(text: str) -> bool:
    """Whether an id is spelled as ours are: `20261123-153012-7f3a9c1d2b4e`."""
    return _OWN_RUN_ID.fullmatch(text) is not None and text.isascii()


def is_run_id(text: str) -> bool:
    """Whether an id is ours, or of a spelling that imports may keep."""
    return _ANY_RUN_ID.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether a text may be the hex digest that names a shared file."""
    return re.fullmatch(r"[0-9a-f]{8,64}", text, re.ASCII) is not None


def is_object_id(text: str) -> bool:
    """Whether a text is the whole id of an object of git's."""
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text, re.ASCII) is not None


def experiment_id(name: str) -> str:
    """The id of the experiment that was first called so: a slug and a hash of the exact name."""
    if name == DEFAULT_EXPERIMENT:
        return DEFAULT_EXPERIMENT_ID
    from hashlib import sha256

    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].rstrip("-")
    return f"{slug or 'x'}-{sha256(name.encode()).hexdigest()[:8]}"


def random_name(entropy: bytes) -> str:
    """A readable name such as `brave-otter`; the same for the same entropy (4 bytes)."""
    number = int.from_bytes(entropy, "big")
    number, noun = divmod(number, len(words.NOUNS))
    return f"{words.ADJECTIVES[number % len(words.ADJECTIVES)]}-{words.NOUNS[noun]}"


def one_line(text: str, most: int = 60) -> str:
    """A text that somebody chose, fit for a commit's subject."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= most else clean[: most - 1] + "…"


# -- file names ------------------------------------------------------------------------------


def encode_path(path: str, *, is_parent: bool = False) -> str:
    """The path in the store's tree that holds an artifact or a source file.

    Args:
        path: with `/`; bytes that are no UTF-8 as surrogate escapes.
        is_parent: whether the path is also a folder of another one (`a` beside `a/b`); a tree
            cannot hold both, so the file gets `%2F` at its end.
    """
    encoded = "/".join([encode_segment(part) for part in path.split("/")])
    return f"{encoded}%2F" if is_parent else encoded


def encode_segment(name: str) -> str:
    """A file name that every system can hold, for any name; see docs/FORMAT.md, "Names"."""
    raw = name.encode("utf-8", "surrogateescape")
    hidden = _hidden_positions(name, raw)
    encoded = "".join(
        [
            chr(byte) if byte in _KEPT and at not in hidden else f"%{byte:02X}"
            for at, byte in enumerate(raw)
        ]
    )
    if len(encoded) <= MAX_SEGMENT_BYTES:
        return encoded
    from hashlib import sha256

    cut = encoded[: MAX_SEGMENT_BYTES - 17]
    # Never in the middle of a %XX.
    cut = cut[: cut.rindex("%")] if "%" in cut[-2:] else cut
    return f"{cut}~{sha256(raw).hexdigest()[:16]}"


def _hidden_positions(name: str, raw: bytes) -> set[int]:
    """Where a byte that may usually stand must be encoded all the same."""
    hidden: set[int] = set()
    if raw[:1] in (b".", b" "):
        hidden.add(0)
    if raw[-1:] in (b".", b" "):
        hidden.add(len(raw) - 1)
    if _RESERVED.fullmatch(name):
        hidden.add(0)
    # DVC would read a user's own pointer or pipeline file as one of ours.
    if name.lower() in _DVC_NAMES or name.lower().endswith(".dvc"):
        hidden.add(raw.rindex(b"."))
    return hidden


def decode_segment(text: str) -> str:
    """The name behind `encode_segment`; of a cut one, what is left of it."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), text.encode("utf-8"))
    return raw.decode("utf-8", "surrogateescape")


def is_safe_entry(name: str) -> bool:
    """Whether a name that was read from a ref may be used at all."""
    return (
        _SAFE_ENTRY.fullmatch(name) is not None
        and name not in (".", "..")
        and (name[0] != "." or name.lower().rstrip(". ") != ".git")
    )
