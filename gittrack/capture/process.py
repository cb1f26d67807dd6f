"""Who runs what, and where: facts of this process that cost next to nothing to ask for.

Nothing here runs a program on Linux, asks the network, or fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """Who records. `source` is "git", or "host" when git has no identity to give."""

    name: str
    email: str
    source: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


def host_name() -> str:
    """This machine's name, as it calls itself; never looked up on the network."""
    return _printable(os.uname().nodename) or "localhost"


@cache
def boot_id() -> str:
    """What tells this start of the machine from its last; empty where it cannot be told.

    A process id of another boot says nothing about a process of this one.
    """
    if sys.platform == "darwin":
        return ask("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid", timeout_s=5)
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read(64).decode("ascii", "replace").strip()
    except OSError:
        return ""


def user_name() -> str:
    """The login name of this process's user, as git would take it.

    A container may run under a user id that nobody named: then what the environment says,
    else `uid` and the number.
    """
    login, _ = _account()
    for name in (login, os.environ.get("LOGNAME", ""), os.environ.get("USER", "")):
        if name:
            return _printable(name)
    return f"uid{os.getuid()}"


def command_line() -> list[str]:
    """How this process was started: the interpreter by its name alone, its options, the rest.

    Bytes that are no text in the locale's encoding are shown as `\\xff`. Of a notebook's kernel
    nothing: `ipykernel_launcher -f /run/.../kernel-....json` says nothing of the run.
    """
    if _kernel_shell() is not None:
        return []
    argv = [_printable(argument) for argument in sys.orig_argv or sys.argv]
    if argv and sys.orig_argv:
        # `/home/ada/.venv/bin/python` says where Ada lives and nothing about the run.
        argv[0] = os.path.basename(argv[0])
    return argv


def entry_script(worktree: str | None) -> str:
    """What this process was started to run.

    A script's path relative to the worktree (absolute when it lies outside), `-m package.module`,
    `-c` for code on the command line, `-` for code on standard input; of a notebook its path, if
    it can be told; empty at an interactive prompt.
    """
    shell = _kernel_shell()
    if shell is not None:
        from gittrack.capture import notebook

        file = notebook.find_path(shell, os.environ)
        return _printable(_relative(file, worktree)) if file else ""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return "-m " + _printable(spec.name.removesuffix(".__main__"))
    # A folder or a zip file that holds a __main__.py is named by its first argument.
    path = getattr(main, "__file__", None) if spec is None else sys.argv[0]
    if path == "<stdin>":
        return "-"
    if not isinstance(path, str) or not path:
        first = sys.argv[0] if sys.argv else ""
        return first if first in ("-c", "-") else ""
    return _printable(_relative(path, worktree))


def _kernel_shell() -> Any | None:
    """IPython's shell, if this process is a notebook's kernel."""
    if "IPython" not in sys.modules:
        return None
    from gittrack.capture import notebook

    shell = notebook.find_shell()
    return shell if notebook.is_kernel(shell) else None


#: Of each launcher, the variables that tell a process's rank, the number of ranks, its rank here.
_RANKS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),  # torchrun, accelerate, deepspeed
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)


def ranks(environ: Mapping[str, str]) -> dict[str, int]:
    """This process's place among those that a launcher started together; empty if it is alone."""
    for names in _RANKS:
        texts = [environ.get(name, "") for name in names]
        # Every shell of a SLURM job has a rank, a single one of one says nothing.
        if texts[0].isdigit() and texts[1].isdigit() and int(texts[1]) > 1:
            keys = ("rank", "world_size", "local_rank")
            return {k: int(t) for k, t in zip(keys, texts, strict=True) if t.isdigit()}
    return {}


def die_of(number: int) -> None:
    """End as by this signal, so that the shell knows, and stops a script at Ctrl-C."""
    import contextlib
    import signal

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


def ask(*command: str, timeout_s: float) -> str:
    """What a program prints, without blanks around it; empty if it fails or takes too long."""
    import subprocess

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()


def identity(git_config: Mapping[str, Sequence[str]], environ: Mapping[str, str]) -> Identity:
    """The author git would give a commit made now; user@host where git would ask for one.

    In git's order: GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL, `author.*`, `user.*`, EMAIL; a name that
    is nowhere is the account's full name. git would go on to guess the e-mail address from the
    mail and name services: we do not ask those, and say that the host gave the identity.

    Args:
        git_config: values by key, as `git config -z --list` prints them.
        environ: the environment, as `os.environ`.
    """
    # git: an environment variable that is set and empty is an answer for the e-mail address, and
    # an error for the name; an empty author.* is no answer, an empty user.* is like a variable.
    name = _first(
        environ.get("GIT_AUTHOR_NAME"),
        _last(git_config, "author.name") or None,
        _last(git_config, "user.name"),
    )
    email = _first(
        environ.get("GIT_AUTHOR_EMAIL"),
        _last(git_config, "author.email") or None,
        _last(git_config, "user.email"),
    )
    if not _is_true(_last(git_config, "user.useconfigonly")):
        if email is None:
            email = environ.get("EMAIL") or None
        if name is None:
            name = _full_name()
    name, email = _strip_crud(name or ""), None if email is None else _strip_crud(email)
    if name and email is not None:
        return Identity(name, email, "git")
    user = _strip_crud(user_name()) or "unknown"
    if email is None:
        email = _strip_crud(f"{user}@{host_name()}")
    return Identity(name or user, email, "host")


def _first(*answers: str | None) -> str | None:
    return next((answer for answer in answers if answer is not None), None)


def _last(git_config: Mapping[str, Sequence[str]], key: str) -> str | None:
    values = git_config.get(key)
    return values[-1] if values else None


def _is_true(text: str | None) -> bool:
    return text is not None and text.lower() not in ("", "false", "no", "off", "0")


_CRUD = "".join(map(chr, range(33))) + ",:;<>\"\\'"


def _strip_crud(text: str) -> str:
    """A part of an identity as git writes it, see `strbuf_addstr_without_crud` in its ident.c.

    git keeps a dot at the end (`Ada L. Jr.`) since 1c04cb0744 (2.43), and so do we.
    """
    text = text.strip(_CRUD)
    for delimiter in "\n<>":
        text = text.replace(delimiter, "")
    return _printable(text)


def _full_name() -> str | None:
    """The name in the account's comment field, read as git reads it."""
    login, comment = _account()
    name = comment.partition(",")[0].replace("&", login[:1].upper() + login[1:])
    return name or None


def _account() -> tuple[str, str]:
    """The login name and the comment field of this process's user; empty if it has no account."""
    import pwd

    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:
        return "", ""
    return account.pw_name, account.pw_gecos


def _relative(path: str, worktree: str | None) -> str:
    """The path below the worktree, both with their links resolved; absolute if it is not there.

    The file's own link is kept: the name by which it was run may be the one in the repository.
    """
    folder, name = os.path.split(os.path.abspath(path))
    path = os.path.join(os.path.realpath(folder), name)
    if worktree is None:
        return path
    top = os.path.realpath(worktree)
    inside = os.path.commonpath((top, path)) == top
    return os.path.relpath(path, top) if inside else path


def _printable(text: str) -> str:
    """The text without lone surrogates: they stand for bytes that could not be decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            raw = os.fsencode(text)
        except UnicodeEncodeError:
            raw = text.encode("utf-8", "backslashreplace")
        return raw.decode("utf-8", "backslashreplace")
    return text
