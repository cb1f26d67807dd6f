"""The environment of a run as a lock: Python, every package, the machine, the tools' lock files.

The lock is one flat mapping, so a diff of two environments is a line a package:

    python: 3.11.7                      packages.numpy: "1.26.4"
    packages.mylib: "0.1 -e ~/mylib @ 1f2e3d..."          (editable, with its commit)
    packages.other: "2.0 git+https://host/other @ 4a5b6c..."     (from a direct URL)
    conda.cudatoolkit: "11.8.0 h37601d7_11"
    locks.uv.lock: "sha256:..."         the file itself is kept beside the lock, by that digest

Reading the metadata of 200 packages takes about 100 ms, so what was found is remembered under
the look of the folders that packages are installed into; see `look`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from gittrack.capture import hardware, redact
from gittrack.capture.process import boot_id
from gittrack.core import codec

#: Lock files of the tools that make environments, at the top of the worktree.
LOCKS = (
    "uv.lock", "poetry.lock", "pixi.lock", "pdm.lock", "Pipfile.lock", "conda-lock.yml",
    "environment.yml", "environment.yaml", "pylock.toml",
)  # fmt: skip
_MOST_LOCK_BYTES = 4_000_000
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")
_FORMAT = 2


class Environment(NamedTuple):
    """An environment: the digest of its lock, and the files that are kept of it, by name.

    `notes` says what was withheld, `redacted` what was taken out of the lock.
    """

    digest: str
    files: dict[str, bytes]
    notes: tuple[str, ...] = ()
    redacted: tuple[str, ...] = ()


def known(folder: str, key: str) -> Environment | None:
    """The environment that looked like this when it was last read, if any did; without its files.

    Args:
        folder: where `remember` keeps what it was given.
        key: what `look` says now.
    """
    try:
        with open(os.path.join(folder, f"{key}.json"), "rb") as file:
            found = json.load(file)
        if found["format"] != _FORMAT:
            return None
        # An editable package's commit changes without any trace in site-packages.
        for path, head in found["checkouts"]:
            if head_commit(path) != head:
                return None
        if not all(os.path.exists(os.path.join(folder, str(name))) for name in found["files"]):
            return None
        notes, redacted = map(tuple, (found["notes"], found["redacted"]))
        return Environment(str(found["digest"]), {}, notes, redacted)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load(folder: str, digest: str) -> dict[str, bytes]:
    """The files of a remembered environment, by name; empty if they are gone."""
    files = {}
    name = f"{digest}.yaml"
    try:
        with open(os.path.join(folder, name), "rb") as file:
            files[name] = file.read()
        for key, value in codec.decode_mapping(files[name]).items():
            if key.startswith("locks.") and isinstance(value, str):
                lock = lock_name(value.removeprefix("sha256:"), key.removeprefix("locks."))
                path = os.path.join(folder, lock)
                if os.path.exists(path):
                    with open(path, "rb") as file:
                        files[lock] = file.read()
    except OSError:
        return {}
    return files


def lock_name(digest: str, name: str) -> str:
    """What a tool's lock file is kept as."""
    return f"{digest}.{name}"


def look(worktree: str | None) -> str:
    """A digest of all that changes when the environment may have: cheap, and never wrong twice.

    Package folders get a new modification time with every install; hardware and drivers change
    with a new boot, lock files with their own times.
    """
    folders = [path for path in sys.path if os.path.basename(path) in _PACKAGE_FOLDERS]
    conda = os.environ.get("CONDA_PREFIX")
    if conda:
        folders.append(os.path.join(conda, "conda-meta"))
    locks = [os.path.join(worktree, name) for name in LOCKS] if worktree else []
    times = [_look(path) for path in (*folders, *locks)]
    seen = [
        _FORMAT, sys.version, sys.prefix, boot_id(), os.uname().release, os.cpu_count(), worktree,
        os.environ.get("CUDA_HOME"), hardware.limits(), times,
    ]  # fmt: skip
    return sha256(json.dumps(seen).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def read(worktree: str | None, allow: Sequence[str] = ()) -> tuple[Environment, dict[str, str]]:
    """The environment of this process, and the commit of every editable package's folder."""
    lock: dict[str, Any] = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "python.implementation": sys.implementation.name,
        **hardware.facts(),
    }
    files: dict[str, bytes] = {}
    notes: list[str] = []
    checkouts: dict[str, str] = {}
    redacted: list[str] = []
    for name, value, path, head in _packages(worktree):
        lock[f"packages.{name}"], hits = redact.redact_url(value, allow)
        redacted += [f"environment: {name}: {hit}" for hit in hits]
        if path is not None and head is not None:
            checkouts[path] = head
    lock.update(_conda())
    for name, data in _lock_files(worktree):
        digest = sha256(data).hexdigest()
        lock[f"locks.{name}"] = f"sha256:{digest}"
        reason = redact.file_reason(name, data, allow=allow)
        if reason is None:
            files[lock_name(digest, name)] = data
        else:
            notes.append(f"{name} was withheld, its digest is recorded: {reason}")
    text = codec.encode_mapping(lock)
    digest = sha256(text).hexdigest()[:24]
    files[f"{digest}.yaml"] = text
    return Environment(digest, files, tuple(notes), tuple(redacted)), checkouts


def remember(folder: str, key: str, found: Environment, checkouts: dict[str, str]) -> None:
    """Keep an environment for the next process; each file is whole or absent.

    Raises:
        OSError: the folder cannot be written.
    """
    os.makedirs(folder, exist_ok=True)
    facts = {
        "format": _FORMAT,
        "digest": found.digest,
        "files": sorted(found.files),
        "notes": found.notes,
        "redacted": found.redacted,
        "checkouts": sorted(checkouts.items()),
    }
    files = {**found.files, f"{key}.json": json.dumps(facts).encode()}
    for name, data in files.items():
        path = os.path.join(folder, name)
        if name.endswith(".json") or not os.path.exists(path):
            temporary = f"{path}.{os.getpid()}.tmp"
            with open(temporary, "wb") as file:
                file.write(data)
            os.replace(temporary, path)


# -- packages ------------------------------------------------------------------------------


def _packages(worktree: str | None) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Name, what is installed, and for an editable package its folder and that folder's commit."""
    from importlib import metadata

    seen: set[str] = set()
    for item in metadata.distributions():
        try:
            name, version = item.metadata["Name"], item.version
            direct = item.read_text("direct_url.json")
        except Exception:
            # A half-removed package raises whatever its files make of it; the others count.
            continue
        key = "-".join(part for part in _split(str(name).lower()) if part)
        # The first on sys.path is the one that is imported.
        if not name or key in seen:
            continue
        seen.add(key)
        path = head = None
        value = str(version)
        if direct:
            origin, path, head = _origin(direct, worktree)
            value = f"{value} {origin}".rstrip()
        yield key, value, path, head


def _split(name: str) -> list[str]:
    return name.replace("_", "-").replace(".", "-").split("-")


def _origin(text: str, worktree: str | None) -> tuple[str, str | None, str | None]:
    """Where a package came from if not from an index, see PEP 610."""
    try:
        found = json.loads(text)
        url = str(found.get("url", ""))
        vcs, archive = found.get("vcs_info"), found.get("archive_info")
        editable = bool(found.get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):
        return "", None, None
    if isinstance(vcs, dict):
        return f"{vcs.get('vcs', 'git')}+{url} @ {vcs.get('commit_id', '')}", None, None
    if not url.startswith("file://"):
        digest = str(archive.get("hash", "")) if isinstance(archive, dict) else ""
        return f"{url} {digest.replace('=', ':')}".rstrip(), None, None
    from urllib.parse import unquote

    path = unquote(url.removeprefix("file://"))
    shown = _short_path(path, worktree)
    if not editable:
        return shown, None, None
    # Code below the worktree is recorded with the run itself.
    inside = worktree is not None and (path + os.sep).startswith(worktree.rstrip(os.sep) + os.sep)
    head = None if inside else head_commit(path)
    return f"-e {shown}" + (f" @ {head}" if head else ""), None if inside else path, head


def _short_path(path: str, worktree: str | None) -> str:
    """A folder as other machines may know it: below the worktree, or below the home."""
    if worktree is not None and (path == worktree or path.startswith(worktree + os.sep)):
        return "./" + os.path.relpath(path, worktree) if path != worktree else "."
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + os.sep) else path


def head_commit(folder: str) -> str | None:
    """The commit that a folder's git checkout is at; read from its files, without git."""
    at = folder
    while not os.path.lexists(os.path.join(at, ".git")):
        parent = os.path.dirname(at)
        if parent == at:
            return None
        at = parent
    git_dir = os.path.join(at, ".git")
    try:
        if os.path.isfile(git_dir):
            text = _text(git_dir).removeprefix("gitdir:").strip()
            git_dir = os.path.join(at, text)
        head = _text(os.path.join(git_dir, "HEAD"))
        if not head.startswith("ref:"):
            return head or None
        ref = head[4:].strip()
        common = git_dir
        if os.path.exists(os.path.join(git_dir, "commondir")):
            common = os.path.join(git_dir, _text(os.path.join(git_dir, "commondir")))
        for place in (git_dir, common):
            if os.path.exists(os.path.join(place, ref)):
                return _text(os.path.join(place, ref)) or None
        for line in _text(os.path.join(common, "packed-refs")).splitlines():
            if line.endswith(f" {ref}"):
                return line.split(" ")[0]
    except OSError:
        return None
    return None


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


# -- conda and lock files ------------------------------------------------------------------


def _conda() -> dict[str, str]:
    """What conda installed, from the names of its records: `name-version-build.json`."""
    prefix = os.environ.get("CONDA_PREFIX")
    if not prefix:
        return {}
    try:
        records = sorted(os.listdir(os.path.join(prefix, "conda-meta")))
    except OSError:
        return {}
    found = {}
    for record in records:
        parts = record.removesuffix(".json").rsplit("-", 2)
        if record.endswith(".json") and len(parts) == 3:
            found[f"conda.{parts[0]}"] = f"{parts[1]} {parts[2]}"
    return found


def _lock_files(worktree: str | None) -> Iterator[tuple[str, bytes]]:
    for name in LOCKS if worktree is not None else ():
        path = os.path.join(worktree or "", name)
        try:
            if os.path.isfile(path) and os.path.getsize(path) <= _MOST_LOCK_BYTES:
                with open(path, "rb") as file:
                    yield name, file.read()
        except OSError:
            continue


def _look(path: str) -> list[int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size, found.st_ino]
