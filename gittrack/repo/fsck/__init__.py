"""Check every object, file and law of a store, and name what is wrong with the run it belongs to.

Nothing is believed, and nothing is written. What cannot be read is named, and the rest is checked
all the same. Beside our store that is what was fetched and is not joined with it yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from gittrack.repo.fsck.content import Content
from gittrack.repo.fsck.findings import Finding, Findings, FsckReport
from gittrack.repo.fsck.local import check_index, check_journals, check_refs
from gittrack.repo.fsck.sources import check_sources
from gittrack.repo.fsck.walk import Walk
from gittrack.repo.memory import Memory
from gittrack.repo.view import View, no_garbage_collection
from gittrack.store.git import Git
from gittrack.store.remote import Link

__all__ = ["Finding", "FsckReport", "fsck"]


def fsck(
    git: Git,
    tips: Mapping[str, str],
    links: Collection[Link],
    memory: Memory,
    folders: Sequence[str],
    view: Callable[[], View],
    *,
    history: bool,
    sources: bool,
    progress: Callable[[str], None],
) -> FsckReport:
    """See `Repo.fsck`.

    Args:
        folders: of journals.
        view: is asked for last: it takes over what dead processes left.
    """
    remote = next((link.remote for link in links), None)
    findings = Findings(remote)
    check_journals(folders, findings)
    walk = Walk(git, findings)
    content = Content(git, walk, findings, time.time_ns() // 1_000_000, progress)
    with no_garbage_collection():
        content.check(tips)
        if history:
            walk.history(tips, progress)
    if sources:
        check_sources(git, content.sources, content.overlays, remote, findings, progress)
    findings.settle(walk.objects)
    check_refs(git, links, memory, tips, findings)
    check_index(view(), findings)
    return FsckReport(
        findings.in_order(), dict(tips), len(walk.objects.sound), walk.files, content.runs
    )
