"""What a check of the store has found. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.core.laws import BROKEN, DAMAGED, ODD, SEVERITIES
from gittrack.repo.fsck import Finding, FsckReport

_COLORS = {DAMAGED: "red", BROKEN: "yellow", ODD: "dim"}


def render_report(report: FsckReport, style: Style, width: int) -> Iterator[str]:
    """The findings, run by run, and a line that says how much was checked."""
    for run, findings in groupby(report.findings, key=lambda finding: finding.run):
        yield from t.wrap(f"run {t.safe(run)}:" if run else "the store:", width)
        for path, of_path in groupby(findings, key=lambda finding: finding.path):
            if path:
                yield from t.wrap(f"    {t.safe(path)}", width)
            for finding in of_path:
                yield from _render(finding, style, width)
        yield ""
    yield from t.wrap(_summary(report), width)


def _render(finding: Finding, style: Style, width: int) -> Iterator[str]:
    where = f" (in {finding.ref})" if finding.ref else ""
    said = t.safe(f"{finding.severity}: {finding.what}{where}")
    for line in t.wrap(f"        {said}", width):
        yield style(line, _COLORS[finding.severity])
    if finding.next:
        yield from t.wrap(f"        next: {t.safe(finding.next)}", width)


def _summary(report: FsckReport) -> str:
    if not report.tips:
        return "there is no store here: nothing was checked"
    counts = [(report.count(severity), severity) for severity in SEVERITIES]
    found = ", ".join(f"{count} {severity}" for count, severity in counts if count)
    checked = ", ".join(
        f"{count:,} {noun if count == 1 else f'{noun}s'}"
        for count, noun in (
            (report.runs, "run"),
            (report.files, "file"),
            (report.objects, "object"),
        )
    )
    tips = "" if len(report.tips) == 1 else f" of {len(report.tips)} stores"
    return f"checked {checked}{tips}: {found or 'nothing is wrong'}"


def report_rows(report: FsckReport) -> list[list[str]]:
    """What `--porcelain` says."""
    rows = [[f.severity, f.run, f.path, f.ref, f.what, f.next] for f in report.findings]
    counts = {
        "tips": len(report.tips),
        "runs": report.runs,
        "objects": report.objects,
        "files": report.files,
    }
    return rows + [[word, str(count)] for word, count in counts.items()]


def report_record(report: FsckReport) -> dict[str, Any]:
    """What `--format json` says."""
    return {
        **{severity: report.count(severity) for severity in SEVERITIES},
        "findings": [finding._asdict() for finding in report.findings],
        "tips": dict(report.tips),
        "runs": report.runs,
        "objects": report.objects,
        "files": report.files,
    }
