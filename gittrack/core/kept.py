"""Artifacts as a run holds them: their keys, files and pointers. Pure.

Small files are blobs of git. A larger one is an object in DVC's cache format, named by its md5, and
the run holds a pointer to it. So does a folder of many files, whose object is a listing. What is
logged into the same folder twice adds to it, as it does file by file: each time is a layer, with an
entry of its own, and of two that hold the same file the later one counts.

Source: docs/FORMAT.md, "Artifacts".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gittrack.core import names, yamltext
from gittrack.core.listing import is_md5
from gittrack.core.model import Artifact

#: Between a folder and its layer's name; no legal path holds it.
_LAYER = "//"
_LAYER_CHARS = 12


# -- keys and files --------------------------------------------------------------------------


def layer_key(folder: str, md5: str) -> str:
    """The key of a layer in artifacts.yaml; the folder of all artifacts is ""."""
    return f"{folder}{_LAYER}{md5[:_LAYER_CHARS]}"


def folder_of(key: str) -> str | None:
    """The folder that a key is a layer of, None if it is the path of a file."""
    folder, found, _ = key.rpartition(_LAYER)
    return folder if found else None


def check_entry(key: str) -> str:
    """The key of an artifact, if it is legal.

    Raises:
        InvalidNameError: it is not.
    """
    folder = folder_of(key)
    if folder is None:
        return names.check_artifact_path(key)
    if folder:
        names.check_artifact_path(folder)
    if not re.fullmatch(rf"[0-9a-f]{{{_LAYER_CHARS}}}", key[len(folder) + len(_LAYER) :]):
        names.check_artifact_path(key)
    return key


def shown(key: str) -> str:
    """A key for people: `plots/roc.png`, or `plots/` for a layer of that folder."""
    folder = folder_of(key)
    return key if folder is None else f"{folder or '.'}/"


def file_name(key: str, *, is_parent: bool, is_pointer: bool) -> str:
    """The file that holds an artifact or its pointer, relative to the folder of artifacts.

    Args:
        is_parent: whether the key is also a folder of another artifact.
    """
    folder = folder_of(key)
    if folder is not None:
        encoded = names.encode_path(folder) if folder else ""
        # `%2F` ends no other name that `.dvc` follows, but that of a file that is a parent.
        return f"{encoded}%2F{key[len(folder) + len(_LAYER) :]}.dvc"
    return names.encode_path(key, is_parent=is_parent) + (".dvc" if is_pointer else "")


def parents_of(keys: Iterable[str]) -> set[str]:
    """The folders that artifacts lie in."""
    return {key[:at] for key in keys for at, char in enumerate(key) if char == "/"}


def is_pointer(entry: object) -> bool:
    """Whether what artifacts.yaml says of an artifact is where to find it, not a blob."""
    return isinstance(entry, Mapping) and "md5" in entry and "blob" not in entry


# -- entries and pointers --------------------------------------------------------------------


def entry_of(artifact: Artifact) -> dict[str, Any]:
    """What artifacts.yaml says of an artifact."""
    entry: dict[str, Any] = {"mode": artifact.mode, "size": artifact.size_bytes}
    if artifact.blob is not None:
        entry["blob"] = artifact.blob
    if artifact.md5 is not None:
        entry["md5"] = artifact.md5
    if artifact.files is not None:
        entry["files"] = artifact.files
    return entry


def decode_entry(key: str, entry: Mapping[str, Any]) -> Artifact:
    """The artifact of an entry that may come from anywhere; what is of no legal type is absent."""
    mode, blob, md5 = entry.get("mode"), entry.get("blob"), entry.get("md5")
    folder = folder_of(key)
    return Artifact(
        key if folder is None else folder,
        _count(entry.get("size")) or 0,
        str(mode) if mode in ("644", "755") else "644",
        blob if isinstance(blob, str) and names.is_object_id(blob) else None,
        str(md5) if is_md5(md5) else None,
        _count(entry.get("files")),
    )


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**63 else None


def encode_pointer(key: str, artifact: Artifact) -> bytes:
    """The `.dvc` file of an artifact, as DVC writes them."""
    folder = folder_of(key)
    path = (key if folder is None else folder).rpartition("/")[2]
    lines = [f"- md5: {artifact.md5}", f"  size: {artifact.size_bytes}"]
    if artifact.files is not None:
        lines.append(f"  nfiles: {artifact.files}")
    if artifact.mode == "755":
        lines.append("  isexec: true")
    # The folder of all artifacts has no name; a pointer needs one.
    lines += ["  hash: md5", f"  path: {yamltext.encode_flow(path or 'artifacts')}"]
    return ("outs:\n" + "\n".join(lines) + "\n").encode()
