"""Try out whether a remote takes runs, shows them to others, and gives them back."""

from __future__ import annotations

import os
from typing import NamedTuple

from gittrack.errors import RemoteError
from gittrack.store import layout, remote
from gittrack.store.chain import commit_empty
from gittrack.store.git import Git
from gittrack.store.remote import Link, Patience


class Checked(NamedTuple):
    """What a remote did with a probe; `why` is what it said where it did not do so.

    `ref` is where it would keep the runs; `leftover` is a probe that it would not delete.
    """

    remote: str
    ref: str
    takes: bool
    shows: bool
    gives: bool
    why: str = ""
    leftover: str = ""

    @property
    def works(self) -> bool:
        """Whether runs can be exchanged there."""
        return self.takes and self.shows and self.gives

    @property
    def fallback(self) -> str | None:
        """The branch that might do instead; None if that was tried."""
        return None if self.ref == layout.BRANCH_REF else layout.BRANCH_REF


def check(git: Git, link: Link, patience: Patience) -> Checked:
    """Push an empty commit to a ref beside the store's, look for it, fetch it and delete it.

    Raises:
        RemoteError: the remote could not be reached at all.
    """
    # Reachable at all? What fails after this is the host's decision.
    remote.list_refs_of(git, link.remote, [link.ref], patience)
    probe = _probe_ref(link)
    commit = commit_empty(git, [])
    found = Checked(link.remote, link.ref, takes=False, shows=False, gives=False)
    try:
        done = remote.push(git, link, {probe: commit}, patience)
    except RemoteError as error:
        return found._replace(why=error.why)
    if probe in done.refused or probe in done.overtaken:
        return found._replace(why=done.refused.get(probe, "somebody else pushed the same probe"))
    found = _look(git, link, probe, patience, found._replace(takes=True), commit)
    try:
        done = remote.push(git, link, {probe: ""}, patience)
    except RemoteError:
        return found._replace(leftover=probe)
    return found._replace(leftover=probe if probe in done.refused else "")


def _look(
    git: Git, link: Link, probe: str, patience: Patience, found: Checked, commit: str
) -> Checked:
    """Whether others see the probe."""
    try:
        if remote.list_refs_of(git, link.remote, [probe], patience).get(probe) != commit:
            return found._replace(why=f"it hides {probe.rpartition('/')[0]}/")
        found = found._replace(shows=True)
        remote.fetch_ref(git, link, probe, patience)
        return found._replace(gives=True)
    except RemoteError as error:
        return found._replace(why=error.why)


def _probe_ref(link: Link) -> str:
    name = os.urandom(6).hex()
    if link.ref == layout.STORE_REF:
        return f"{layout.REFS}check/{name}"
    return f"{link.ref.rpartition('/')[0]}/check-{name}"
