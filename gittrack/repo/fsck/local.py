"""Check what a clone keeps beside its store: journals, the index, what came from remotes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from gittrack import journal
from gittrack.core.laws import BROKEN, DAMAGED, ODD
from gittrack.core.names import is_run_id
from gittrack.core.record import why_unreadable
from gittrack.errors import GittrackError, StoreFormatError
from gittrack.journal.files import LOG
from gittrack.repo import sync
from gittrack.repo.fsck.findings import Finding, Findings
from gittrack.repo.memory import Memory
from gittrack.repo.stored import DAMAGED_NAME
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.remote import Link
from gittrack.store.write import list_refs


def check_journals(folders: Sequence[str], findings: Findings) -> None:
    """Whether every journal can be read, to its last line."""
    for folder in folders:
        for run_id in journal.list_runs(folder):
            if not is_run_id(run_id):
                findings.add(Finding("", os.path.join(folder, run_id), "is no run's id", ODD))
                continue
            try:
                names = sorted(os.listdir(os.path.join(folder, run_id)))
            except FileNotFoundError:
                continue  # its process ended just now
            except OSError as error:
                path = os.path.join(folder, run_id)
                findings.add(Finding(run_id, path, _cannot(error), DAMAGED))
                continue
            for name in names:
                if name.endswith(LOG):
                    _check_journal(os.path.join(folder, run_id), run_id, name, findings)


def _check_journal(folder: str, run_id: str, name: str, findings: Findings) -> None:
    path = os.path.join(folder, name)
    try:
        state = journal.read_journal(folder, run_id, name.removesuffix(LOG))
    except GittrackError as error:
        findings.add(Finding(run_id, path, why_unreadable(error), ODD, next=error.next))
        return
    except OSError as error:
        findings.add(Finding(run_id, path, _cannot(error), DAMAGED))
        return
    if state is None:
        if os.path.exists(path) and os.path.getsize(path):
            what = "does not say whose it is; nothing in it is taken over"
            findings.add(Finding(run_id, path, what, DAMAGED))
    elif state.damaged:
        what = f"has {state.damaged} damaged lines; the others are taken over"
        findings.add(Finding(run_id, path, what, DAMAGED))


def _cannot(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def check_index(view: View, findings: Findings) -> None:
    """Whether the index follows the store."""
    try:
        index = view.index()
    except GittrackError as error:
        if not findings.is_damaged():
            what = f"the index cannot follow the store: {why_unreadable(error)}"
            findings.add(Finding("", "", what, ODD, next=error.next))
        return
    path = index.path or ""
    renew = f"rm -f {path}" if path else ""
    if index.tips() != view.tips():
        what = "is not of the commits that are read"
        findings.add(Finding("", path, what, ODD, next=renew))
    # The commits are the same when what was lost has come back.
    damaged = findings.damaged_runs()
    for run in index.find_by_name(DAMAGED_NAME):
        if run.id not in damaged and not run.start_ms:
            findings.add(Finding(run.id, path, "still shows it as damaged", ODD, next=renew))


def check_refs(
    git: Git,
    links: Iterable[Link],
    memory: Memory,
    tips: Mapping[str, str],
    findings: Findings,
) -> None:
    """Whether what remotes have can be read, and where our store was before can be found out."""
    ours = tips.get(layout.STORE_REF)
    refs = list_refs(git, layout.REMOTE_REFS)
    for link in links:
        theirs = refs.get(link.tracking)
        if theirs is None or theirs in tips.values() or memory.is_joined(link.tracking, theirs):
            continue
        try:
            sync.examine(git, theirs, ours, memory)
        except GittrackError as error:
            severity = ODD if isinstance(error, StoreFormatError) else BROKEN
            what = f"what {link.remote} has is refused: {why_unreadable(error)}"
            findings.add(Finding("", "", what, severity, link.tracking, error.next))
    # Where nobody works, git keeps none by itself.
    if ours and git.worktree is not None and not _has_reflog(git, layout.STORE_REF):
        what = "has no reflog: where it pointed before cannot be found out"
        findings.add(Finding("", layout.STORE_REF, what, ODD))


def _has_reflog(git: Git, ref: str) -> bool:
    process = git.start("reflog", "exists", ref, errors=False)
    process.communicate()
    return process.returncode == 0
