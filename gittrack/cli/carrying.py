"""Move the bytes of large artifacts, say how far it is, and what did not get there."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe, size
from gittrack.errors import EXIT_FIXABLE, EXIT_OK, ArtifactRemoteError
from gittrack.repo import Repo

if TYPE_CHECKING:
    from gittrack.core.model import Run
    from gittrack.repo.carrying import Carried

#: So many of what did not get there are named; --format json of `artifacts verify` has them all.
_MOST = 20
_SECONDS_BETWEEN = 0.1


class Carrier:
    """Carries artifacts as the arguments of push, pull and sync say; `code` is how it ended."""

    def __init__(self, repo: Repo, args: argparse.Namespace, out: Output, *, asks: bool) -> None:
        self._repo = repo
        self._out = out
        self._is_only = bool(args.artifacts_only)
        self._names: list[str] = args.run or []
        self._options = {
            "remote": args.artifact_remote, "jobs": args.jobs, "asks": asks, "repair": args.repair,
        }  # fmt: skip
        self.code = EXIT_OK

    def push(self) -> None:
        """Send what is here; runs go on their way whether that works or not.

        Raises:
            ArtifactRemoteError: nothing else was asked for, and there is no remote, or it was lost.
        """
        if not self._repo.has_objects() and not self._is_only:
            return
        try:
            done = self._repo.push_artifacts(
                self._runs(), progress=Progress(self._out, "sent"), **self._options
            )
        except ArtifactRemoteError as error:
            self._out.progress("")
            if self._is_only:
                raise
            if error.next.startswith("gittrack remote artifacts add"):
                # Runs alone are what many want to share.
                self._out.note(
                    "gittrack: large artifacts stay here, for no remote gets them; next: "
                    f"{error.next}, or --no-artifacts"
                )
                return
            self._out.error(error)
            self.code = EXIT_FIXABLE
            return
        self._tell(done, "went to")

    def pull(self) -> None:
        """Bring what is not here.

        Raises:
            ArtifactRemoteError: there is no remote, or it was lost.
        """
        try:
            done = self._repo.pull_artifacts(
                self._runs(), progress=Progress(self._out, "fetched"), **self._options
            )
        except ArtifactRemoteError:
            self._out.progress("")
            raise
        self._tell(done, "came from")

    def _runs(self) -> list[Run] | None:
        if not self._names:
            return None
        return [run for name in self._names for run in self._repo.get_runs(name)]

    def _tell(self, done: Carried, verb: str) -> None:
        self._out.progress("")
        moved = f", {size(done.size_bytes)}" if done.sent else ""
        there = f"; {done.present:,} were there" if done.present else ""
        self._out.lines([f"{plural(done.sent, 'object')}{moved} {verb} {safe(done.remote)}{there}"])
        tell_lacking(done, self._out)
        if done.lacking:
            self.code = EXIT_FIXABLE


def tell_lacking(done: Carried, out: Output) -> None:
    """Name the artifacts that did not get there, and why."""
    for item in done.lacking[:_MOST]:
        out.note(f"gittrack: {safe(item.path)} of run {safe(item.run_name)}: {safe(item.why)}")
    if len(done.lacking) > _MOST:
        out.note(f"gittrack: and {len(done.lacking) - _MOST:,} more")
    if done.lacking:
        out.note("next: gittrack artifacts verify")


class Progress:
    """Draws how far it is, not more often than anybody can read."""

    def __init__(self, out: Output, verb: str) -> None:
        self._out = out
        self._verb = verb
        self._last = 0.0

    def __call__(self, done: int, objects: int, sent: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN and done < objects:
            return
        self._last = now
        of = f" of {size(total)}" if total is not None else ""
        bar = ""
        if total:
            filled = min(20, 20 * sent // total)
            bar = f"[{'#' * filled}{'.' * (20 - filled)}] "
        self._out.progress(f"{bar}{self._verb} {done:,} of {objects:,} objects, {size(sent)}{of}")
