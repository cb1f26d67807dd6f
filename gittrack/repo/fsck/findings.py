"""What a check has found: gathered while it goes, explained and put in order in the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gittrack.core.join import owner_of
from gittrack.core.laws import DAMAGED, ODD, SEVERITIES, Fault
from gittrack.core.model import short_id
from gittrack.store import layout
from gittrack.store.sound import Found, Objects


class Finding(NamedTuple):
    """One thing that is wrong, or worth a look.

    `run` is the id of the run that it belongs to, "" for none; `path` the place in the store, or on
    this disk; `severity` one of `core.laws.SEVERITIES`; `ref` the tip where it is not ours; `next`
    what to type, where that can be said.
    """

    run: str
    path: str
    what: str
    severity: str
    ref: str = ""
    next: str = ""


class FsckReport(NamedTuple):
    """What was found, the worst runs first, and how much was looked at."""

    findings: tuple[Finding, ...]
    tips: Mapping[str, str]
    objects: int = 0
    files: int = 0
    runs: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged and no law is broken."""
        return self.count(ODD) == len(self.findings)

    def count(self, severity: str) -> int:
        """How many findings are of that severity."""
        return sum(finding.severity == severity for finding in self.findings)


class Findings:
    """Gathers findings.

    Args:
        remote: the remote that may have what is lost here, if there is one.
    """

    def __init__(self, remote: str | None) -> None:
        self._remote = remote
        self._found: dict[tuple[str, str, str], Finding] = {}
        self._lost: list[tuple[Finding, str]] = []

    def add(self, finding: Finding) -> None:
        """Add one; what several tips share is added once."""
        self._found.setdefault((finding.run, finding.path, finding.what), finding)

    def add_object(self, path: str, ref: str, oid: str, found: Found, where: str = "") -> None:
        """Add that an object is not sound; why it cannot be read is found out in the end."""
        finding = Finding(run_of(path), path, found.why + where, DAMAGED, ref)
        if found.is_lost:
            self._lost.append((finding._replace(what=where), oid))
        else:
            self.add(finding)

    def add_faults(self, folder: str, ref: str, faults: Iterable[Fault]) -> None:
        """Add what is wrong with the files of a folder."""
        for name, what, severity in faults:
            path = f"{folder}/{name}" if folder else name
            run = run_of(path)
            # Nobody can read such a run again, so it may as well go.
            is_lost = run and severity == DAMAGED and name.endswith(".yaml")
            next_ = f"gittrack purge {short_id(run)}" if is_lost else ""
            self.add(Finding(run, path, what, severity, ref, next_))

    def absent(self, run: str, path: str, what: str, severity: str, ref: str) -> None:
        """Add that something is not there which a remote may have."""
        next_ = f"gittrack pull {self._remote}" if self._remote else ""
        self.add(Finding(run, path, what, severity, ref, next_))

    def settle(self, objects: Objects) -> None:
        """Find out why objects could not be read."""
        losses, said = objects.explain({oid: None for _, oid in self._lost})
        for finding, oid in self._lost:
            loss = losses[oid]
            what = f"{loss.why}{finding.what}"
            self.add(finding._replace(what=what, next=self._next(finding.run, loss.file)))
        self._lost = []
        for text in said:
            self.add(Finding("", "", f"git: {text}", DAMAGED, next="git fsck"))

    def _next(self, run: str, file: str) -> str:
        if self._remote is not None:
            # git brings nothing that it believes to have.
            return f"rm -f {file}; " * bool(file) + f"git fetch --refetch {self._remote}"
        return f"gittrack purge {short_id(run)}" if run else "git fsck"

    def is_damaged(self) -> bool:
        """Whether anything is."""
        return bool(self._lost) or any(f.severity == DAMAGED for f in self._found.values())

    def damaged_runs(self) -> set[str]:
        """The runs of which something is damaged."""
        found = [*self._found.values(), *(finding for finding, _ in self._lost)]
        return {finding.run for finding in found if finding.severity == DAMAGED}

    def in_order(self) -> tuple[Finding, ...]:
        """All of them, the worst runs first, the findings of one run together."""
        worst: dict[str, int] = {}
        for finding in self._found.values():
            rank = SEVERITIES.index(finding.severity)
            worst[finding.run] = min(rank, worst.get(finding.run, rank))
        return tuple(
            sorted(
                self._found.values(),
                key=lambda f: (worst[f.run], f.run, SEVERITIES.index(f.severity), f.path, f.what),
            )
        )


def run_of(path: str) -> str:
    """The id of the run that a path of the store belongs to; "" for none."""
    # The folder itself is as much the run's as what is in it.
    owner = owner_of(f"{path}/x")
    return owner[1] if owner is not None and owner[0] == layout.RUNS_DIR else ""
