"""`%%run` records a cell as a run, `%gittrack` runs a command of ours. IPython is passed in."""

from __future__ import annotations

import argparse
import ast
import shlex
import subprocess
import sys
from functools import partial
from typing import Any, NoReturn

from gittrack.errors import UsageError
from gittrack.tracking import fluent, notebook

_USAGE = "%%run [NAME] [-e EXPERIMENT] [--tag KEY=VALUE]"
#: The name under which the value of the cell's last expression is kept for a moment.
_VALUE = "_gittrack_value"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%%run: {message}", why=f"it is used as {_USAGE}", next="%%run")


def load(shell: Any) -> None:
    """Give a shell of IPython our magics, and look at its cells from now on."""
    notebook.find_watch()
    # A partial has no frame in a traceback.
    shell.register_magic_function(partial(run_cell, shell), "cell", magic_name="run")
    shell.register_magic_function(_command, "line", magic_name="gittrack")


def run_cell(shell: Any, line: str, cell: str) -> Any:
    """Run a cell as one run, which ends as the cell does, and show it.

    Args:
        line: `[NAME] [-e EXPERIMENT] [--tag KEY=VALUE]...`
    Returns:
        The value of the cell's last expression, as the cell itself would give it.
    Raises:
        UsageError: the line cannot be understood.
        BaseException: whatever the cell raises; the run has failed then.
    """
    __tracebackhide__ = True  # IPython leaves such frames out
    args = _parse(line)
    from IPython.display import display

    run = fluent.start_run(args.name, experiment=args.experiment, tags=dict(args.tags))
    try:
        with run:
            return _execute(shell, cell)
    finally:
        display(run)


def _parse(line: str) -> argparse.Namespace:
    parser = _Parser(prog="%%run", add_help=False)
    parser.add_argument("name", nargs="?")
    parser.add_argument("-e", "--experiment")
    parser.add_argument("--tag", action="append", default=[], dest="tags")
    try:
        words = shlex.split(line)
    except ValueError as error:
        parser.error(str(error))
    args = parser.parse_args(words)
    pairs = [tag.partition("=") for tag in args.tags]
    if not all(key and equals for key, equals, _ in pairs):
        parser.error("a tag is KEY=VALUE")
    args.tags = [(key, value) for key, _, value in pairs]
    return args


def _execute(shell: Any, cell: str) -> Any:
    """The code of a cell, in the user's names, so that errors show their line."""
    __tracebackhide__ = True
    code = shell.transform_cell(cell)
    number = len(shell.history_manager.input_hist_raw) - 1
    file = shell.compile.cache(code, number, raw_code=cell)
    tree = shell.transform_ast(shell.compile.ast_parse(code, filename=file))
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        name = ast.Name(_VALUE, ast.Store())
        tree.body[-1] = ast.copy_location(ast.Assign([name], last.value), last)
        ast.fix_missing_locations(tree)
    try:
        exec(shell.compile(tree, file, "exec"), shell.user_ns)
    finally:
        value = shell.user_ns.pop(_VALUE, None)
    return value


def _command(line: str) -> None:
    """`%gittrack log -n 5`: what the command prints."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(
            f"%gittrack: {error}", why="the line is split as a shell does", next="%gittrack help"
        ) from None
    done = subprocess.run(
        [sys.executable, "-m", "gittrack", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)


# IPython would take `@{-1}` for an expression.
_command._ipython_magic_no_var_expand = True  # type: ignore[attr-defined]
