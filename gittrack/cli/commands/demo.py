"""`gittrack demo`: record real runs in a throwaway repository and look at them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from shlex import quote

from gittrack.cli.output import Output
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK
from gittrack.repo import Repo
from gittrack.store import layout

HELP = "Train real models in a throwaway repository, and look at their runs."
EXAMPLE = "gittrack demo --into gittrack-demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `demo`."""
    parser.add_argument("--into", metavar="DIR", help="a new folder that becomes the repository")


def run(args: argparse.Namespace, out: Output) -> int:
    """Build the demo, then show what the reading commands say in it."""
    from gittrack.demo import build

    demo = build(args.into, out.note)
    # Nothing in our environment may lead to another repository.
    with Repo.find(demo.folder, {}) as repo:
        first, best = repo.get_run(demo.first), repo.get_run(demo.best)
        out.lines(["", f"$ cd {quote(demo.folder)}"])
        out.lines(_read(repo, first, best, out))
    out.lines(_with_git(first, best))
    return EXIT_OK


def _read(repo: Repo, first: Run, best: Run, out: Output) -> Iterator[str]:
    from gittrack.cli.output.diff import render_diff
    from gittrack.cli.output.log import render_oneline
    from gittrack.cli.output.show import render_show

    yield "$ gittrack log --oneline"
    yield from render_oneline(repo.search_runs(), out.style, out.width)
    yield from ("", f"$ gittrack show {best.short_id}")
    yield from render_show(best, repo.get_source(best), out.style, out.width)
    yield from ("", f"$ gittrack diff {first.short_id} {best.short_id}")
    yield from render_diff(repo.diff(first, best), first, best, out.style, out.width)


def _with_git(first: Run, best: Run) -> Iterator[str]:
    ref = layout.STORE_REF.removeprefix("refs/")
    old, new = (f"{ref}:{layout.run_dir(item.id)}" for item in (first, best))
    yield from ("", "The same with git alone, in that folder:")
    yield f"    git log {ref}"
    yield f"    git show {new}/"
    yield f"    git show {new}/{layout.PARAMS_FILE}"
    yield f"    git diff {old} {new}"
