"""Housekeeping: join the small packs that our commits made, and nobody else's."""

from __future__ import annotations

import os

from gittrack.store.git import Git
from gittrack.store.write import pack_list

_SUFFIXES = (".idx", ".rev", ".pack")


def join_small_packs(git: Git, max_packs: int) -> int:
    """Join our packs into one when there are more than `max_packs`; how many were joined.

    git starts collecting garbage in the middle of the user's own command at 50 packs; ours
    must never bring it there. Packs are joined smallest first, up to the first that is more
    than twice as large as all before it, so that a growing store is not rewritten each time
    (the idea of `git repack --geometric`, which would touch the user's packs too). Everything
    in them is kept, reachable or not: a run in flight may need it.
    """
    ours = _our_packs(git)
    if len(ours) <= max_packs:
        return 0
    lock = _lock(os.path.join(git.common_dir, "gittrack", "packs.lock"))
    if lock is None:
        return 0
    try:
        sized = sorted((os.path.getsize(pack), pack) for pack in _our_packs(git))
        small = _small_prefix(sized)
        if len(small) < 2:
            return 0
        oids = b"".join(_object_ids(git, pack) for pack in small)
        folder = os.path.join(git.common_dir, "objects", "pack")
        name = git.run(
            *("-c", "core.fsync=all"),
            *("pack-objects", "-q", "--no-reuse-delta", os.path.join(folder, "pack")),
            input=oids,
        )
        joined = os.path.join(folder, f"pack-{name.decode().strip()}.pack")
        with open(pack_list(git.common_dir), "a", encoding="utf-8") as file:
            file.write(f"{joined}:\n")
        for pack in small:
            if pack != joined:
                for suffix in _SUFFIXES:
                    _remove(pack[: -len(".pack")] + suffix)
        return len(small)
    finally:
        os.close(lock)


def _our_packs(git: Git) -> list[str]:
    try:
        with open(pack_list(git.common_dir), encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    # fast-import names them relative to wherever git ran.
    folder = os.path.join(git.common_dir, "objects", "pack")
    named = {os.path.join(folder, os.path.basename(line.rpartition(":")[0])) for line in lines}
    # `git gc` may have taken ours into its own pack; a .keep is somebody's wish.
    present = [
        pack
        for pack in sorted(named)
        if pack.endswith(".pack")
        and os.path.exists(pack)
        and not os.path.exists(pack[: -len(".pack")] + ".keep")
    ]
    if len(lines) > 4 * len(present) + 100:
        _rewrite(pack_list(git.common_dir), present)
    return present


def _rewrite(path: str, packs: list[str]) -> None:
    # A pack that another process adds between reading and renaming is forgotten here, never
    # lost: `git gc` joins it some day.
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(f"{pack}:\n" for pack in packs)
    os.replace(temporary, path)


def _small_prefix(sized: list[tuple[int, str]]) -> list[str]:
    small: list[str] = []
    total = 0
    for size, pack in sized:
        if len(small) >= 2 and size > 2 * total:
            break
        small.append(pack)
        total += size
    return small


def _object_ids(git: Git, pack: str) -> bytes:
    with open(pack[: -len(".pack")] + ".idx", "rb") as file:
        listing = git.run("show-index", input=file.read())
    return b"".join(line.split(b" ")[1] + b"\n" for line in listing.splitlines())


def _lock(path: str) -> int | None:
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
