"""`gittrack note`: describe a run."""

from __future__ import annotations

import argparse
import os
import subprocess

from gittrack.cli import arguments
from gittrack.cli.editing import report
from gittrack.cli.output import Output
from gittrack.cli.session import open_repo
from gittrack.core.model import Run
from gittrack.errors import GittrackError
from gittrack.repo import Repo

HELP = "Describe a run; without -m in the editor that git would open."
EXAMPLE = "gittrack note @ -m 'wider layers did not help'"

_HINT = """
# Describe run {name}. Lines that begin with '#' are left out,
# and an empty text takes the description away.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `note`."""
    arguments.add_run(parser)
    parser.add_argument(
        "-m", "--message", action="append", metavar="TEXT",
        help="the text; each further one is a paragraph of its own",
    )  # fmt: skip
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Set the description."""
    with open_repo(out) as repo:
        found = repo.get_run(args.run)
        text = _edit(repo, found) if args.message is None else "\n\n".join(args.message)
        edits = repo.set_description(found, text, dry_run=args.dry_run)
        return report(edits, [found], out, dry_run=args.dry_run)


def _edit(repo: Repo, run: Run) -> str:
    folder = os.path.join(repo.git.common_dir, "gittrack")
    path = os.path.join(folder, "NOTE_EDITMSG")
    name = "".join(c if c.isprintable() else " " for c in f"{run.short_id} {run.name}")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(run.description + "\n" + _HINT.format(name=name))
    except OSError as error:
        raise GittrackError(
            "the editor has no file to open",
            why=f"{path}: {error.strerror}",
            next=f"gittrack note {run.short_id} -m TEXT, where the repository can be written",
        ) from error
    editor = repo.git.run("var", "GIT_EDITOR").decode("utf-8", "surrogateescape").strip()
    # As git calls it: by the shell, since an editor may come with arguments.
    done = subprocess.run(["sh", "-c", f'{editor} "$@"', editor, path], check=False)
    if done.returncode:
        raise GittrackError(
            "the description was not changed",
            why=f"the editor '{editor}' ended with {done.returncode}",
            next=f"gittrack note {run.short_id} -m TEXT",
        )
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.rstrip() for line in file if not line.startswith("#")]
    os.unlink(path)
    return "\n".join(lines).strip("\n")
