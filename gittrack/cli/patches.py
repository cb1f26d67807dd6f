"""What changed in the code, as the user's own git shows it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from gittrack.cli.output import Output
from gittrack.cli.output import text as t
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK, SourceError
from gittrack.repo import Repo
from gittrack.repo.sources import Sources, TreePair


def patch_of(
    repo: Repo, sources: Sources, before: Run | None, run: Run, options: Sequence[str], out: Output
) -> bytes:
    """The changes of a run's code since the run before, or since its commit, under a heading."""
    try:
        if before is not None:
            pair = sources.pair(before, run)
            heading = f"Code since {t.safe(before.short_id)} {t.safe(before.name)}:"
            nothing = f"Code as in {t.safe(before.short_id)} {t.safe(before.name)}"
        else:
            pair = sources.pair_with_commit(run)
            heading, nothing = "Code that was not committed:", "Code as committed"
    except SourceError as error:
        return f"{t.cut(t.safe(f'Code not known: {error.message}'), out.width)}\n".encode()
    when = "always" if out.style.on else "never"
    flags = [f"--color={when}", *options]
    if "--stat" in options:
        flags[flags.index("--stat")] = f"--stat={out.width}"
    text = repo.git.run("--no-pager", "diff", *flags, pair.old, pair.new, env=pair.env)
    if not text:
        return f"{out.style(t.cut(nothing, out.width), 'dim')}\n".encode()
    return f"{out.style(t.cut(heading, out.width), 'yellow')}\n".encode() + text


def show_diff(repo: Repo, pair: TreePair, options: Sequence[str], out: Output) -> int:
    """`git diff` of two trees, through the user's pager, colours, drivers and settings."""
    if out.is_terminal:
        # git itself pages and colours; where it is told not to colour, it is not to.
        colour = [] if out.style.on else ["--color=never"]
        env = repo.git.environment(pair.env)
        env.pop("LC_ALL")
        out.flush()
        subprocess.run(
            ["git", "diff", *colour, *options, pair.old, pair.new],
            cwd=repo.root, env=env, check=False,
        )  # fmt: skip
    else:
        when = "always" if out.style.on else "never"
        flags = ["--no-pager", "diff", f"--color={when}", *options]
        out.raw(repo.git.run(*flags, pair.old, pair.new, env=pair.env))
    for path in pair.withheld:
        out.note(f"note: {t.safe(path)} was withheld from the record and is not compared")
    return EXIT_OK
