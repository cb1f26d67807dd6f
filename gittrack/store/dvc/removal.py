"""Take objects of ours away from a remote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gittrack.core.listing import is_listing, is_md5
from gittrack.store.dvc.pool import Pool
from gittrack.store.dvc.remote import Remote


class Removal(NamedTuple):
    """What became of objects that were to be removed from a remote.

    Args:
        removed: gone now; what had not been there is among them.
        failed: object -> why it is still there.
    """

    removed: tuple[str, ...]
    failed: Mapping[str, str]


def remove(remote: Remote, oids: Iterable[str], *, jobs: int | None = None) -> Removal:
    """Remove objects of ours from a remote; listings of folders before all files."""
    pool = Pool(jobs or remote.jobs)
    failed = {}
    wanted = set()
    for oid in oids:
        if is_md5(oid):
            wanted.add(oid)
        else:
            failed[oid] = "it is not the name of an object"
    listings = {oid for oid in wanted if is_listing(oid)}
    failed.update(_remove(remote, listings, pool))
    files = wanted - listings
    if listings & failed.keys():
        # While a listing is there, its files must be; nobody knows whose these are.
        failed.update(
            dict.fromkeys(files, "not tried, since the listing of a folder is still there")
        )
    else:
        failed.update(_remove(remote, files, pool))
    return Removal(tuple(sorted(wanted - failed.keys())), failed)


def _remove(remote: Remote, oids: set[str], pool: Pool) -> dict[str, str]:
    """Those that could not be removed, and why."""
    outcome = pool.each(remote.remove, sorted(oids))
    failed = {oid: remote.explain(error) for oid, error in outcome.errors.items()}
    if outcome.gave_up is None:
        left = remote.ask(outcome.results, pool)
        failed.update(dict.fromkeys(left.sizes, "the remote still has it"))
        failed.update((oid, remote.explain(error)) for oid, error in left.errors.items())
        lost = left.gave_up
        unknown = outcome.results.keys() if lost else set()
    else:
        lost = outcome.gave_up
        unknown = oids - outcome.results.keys()
    if lost is not None:
        failed = dict.fromkeys(unknown, remote.explain(lost)) | failed
    return failed
