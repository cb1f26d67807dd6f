"""Git hooks: installed beside those that are there, taken away again, and how they stand.

No hook is written but in the hooks folder of the repository itself. Where git looks for hooks
elsewhere, that folder is somebody else's: git's configuration starts ours, from git 2.54 on, or
else the report says what to add there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gittrack.errors import GittrackError, NotARepositoryError
from gittrack.store import hookconfig, hookfile
from gittrack.store.frameworks import Advice, advise, advise_writer
from gittrack.store.git import Git
from gittrack.store.hookfile import LEGACY

#: The hooks that we install: each is a file of that name in `gittrack/hooks`.
NAMES = ("pre-push", "post-commit", "post-merge", "post-rewrite", "post-applypatch")
#: The one that is installed only if the setting `hooks.trailer` wishes it.
TRAILER = "prepare-commit-msg"

#: How long another process that changes hooks is let go first.
_TURN_PATIENCE_S = 5.0

_SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "hooks")


class Hook(NamedTuple):
    """One hook: how it stands, or what was done with it.

    `state` is `installed`, or
    - after install: `written` (it is installed from now on), `blocked` or `elsewhere`;
    - after uninstall: `removed`, `restored` (the hook from before is back), `left` or `missing`;
    - as status: `stale` (the program that it starts is gone), `disabled` (it is not executable),
      `shadowed` (git looks elsewhere), `elsewhere` or `missing`.

    `why` says more, in a sentence or none; `snippet` is what to add to `snippet_file`, if anything.
    """

    name: str
    path: str
    state: str
    why: str = ""
    snippet_file: str = ""
    snippet: str = ""


class Place(NamedTuple):
    """Where git looks for hooks, and the folder for them that is the repository's own.

    They are the same unless `why` says what leads git elsewhere.
    """

    looked_in: str
    own: str
    why: str


class _There(NamedTuple):
    """What lies where a hook should: `stat` is None if nothing, `data` is that of a plain file."""

    data: bytes
    stat: os.stat_result | None
    runs: bool


class _Plan(NamedTuple):
    """What becomes of a hook; nothing is written without `data`."""

    state: str
    why: str = ""
    data: bytes | None = None
    sets_aside: bool = False


def install(
    git: Git,
    git_config: Mapping[str, Sequence[str]],
    *,
    trailer: bool = False,
    dry_run: bool = False,
) -> list[Hook]:
    """Put our hooks beside those that are there; twice is the same as once.

    A shell script gets our block behind its first line. Any other hook is renamed, and runs after
    ours with the same arguments, input and exit code.

    Args:
        trailer: install `prepare-commit-msg` too.
    Raises:
        NotARepositoryError: there is no worktree.
        GittrackError: a hook cannot be written; it is as it was.
    """
    if git.worktree is None:
        raise NotARepositoryError(
            "there is no worktree to install hooks for",
            why="this is a bare repository, or the git folder itself",
            next="gittrack -C WORKTREE hooks install",
        )
    place = find_place(git, git_config)
    names = _names(trailer=trailer)
    if place.why:
        configures = hookconfig.is_supported(git)
        return [
            _configure(git, git_config, place, name, dry_run=dry_run)
            if configures
            else _elsewhere(git, place, name)
            for name in names
        ]
    if not dry_run:
        with _clearly(place.own):
            os.makedirs(place.own, exist_ok=True)
    with _turn(place.own):
        found = [_install(git, place, name, dry_run=dry_run) for name in names]
    for hook in found:
        # What once had to stand there would run a second time.
        if hook.state in ("written", "installed"):
            _unconfigure(git, git_config, hook.name, dry_run=dry_run)
    return found


def uninstall(
    git: Git, git_config: Mapping[str, Sequence[str]], *, dry_run: bool = False
) -> list[Hook]:
    """Take our hooks away; those from before are, byte for byte, what they were.

    Raises:
        GittrackError: a hook cannot be written; it is as it was.
    """
    place = find_place(git, git_config)
    found = []
    with _turn(place.own):
        for name in _names(trailer=True):
            hook = _uninstall(git, place, name, dry_run=dry_run)
            was_configured = _unconfigure(git, git_config, name, dry_run=dry_run)
            if was_configured and hook.state == "missing":
                hook = Hook(name, hookconfig.find_script(git, name), "removed")
            found.append(hook)
    return _without_unused(found)


def status(
    git: Git, git_config: Mapping[str, Sequence[str]], *, trailer: bool = False
) -> list[Hook]:
    """How each hook stands."""
    place = find_place(git, git_config)
    configures = bool(place.why) and hookconfig.is_supported(git)
    found = []
    for name in _names(trailer=True):
        hook = _status(git, place, name)
        if configures and hook.state != "installed":
            hook = _status_configured(git, git_config, name) or hook
        found.append(hook)
    return found if trailer else _without_unused(found)


def _names(*, trailer: bool) -> tuple[str, ...]:
    return (*NAMES, TRAILER) if trailer else NAMES


def _without_unused(hooks: Sequence[Hook]) -> list[Hook]:
    """Nobody misses the hook that has to be wished for."""
    unused = ("missing", "elsewhere")
    return [hook for hook in hooks if hook.name != TRAILER or hook.state not in unused]


def find_place(git: Git, git_config: Mapping[str, Sequence[str]]) -> Place:
    """Where hooks lie; asked from the top of the worktree, where a relative path begins."""
    top = git.worktree or git.git_dir
    out = git.run("rev-parse", "--git-path", "hooks", cwd=top)
    folder = os.path.normpath(os.path.join(top, os.fsdecode(out.removesuffix(b"\n"))))
    real = os.path.realpath(git.common_dir)
    if os.path.realpath(folder).startswith(os.path.join(real, "")):
        return Place(folder, folder, "")
    named = git_config.get("core.hookspath")
    why = f"core.hooksPath is {named[-1]}" if named else f"{folder} is a link"
    return Place(folder, os.path.join(git.common_dir, "hooks"), why)


def read_script(name: str) -> bytes:
    """A hook of ours, as the package brings it."""
    with open(os.path.join(_SCRIPTS, name), "rb") as file:
        return file.read()


def own_program() -> tuple[str, str]:
    """How a hook starts this gittrack: a program, and the option that it needs, if any.

    The console script, if there is one; else Python, without the work tree on its path.
    """
    import sysconfig

    for folder in (os.path.dirname(sys.executable), sysconfig.get_path("scripts")):
        path = os.path.abspath(os.path.join(folder, "gittrack"))
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path, ""
    return sys.executable, "-Pmgittrack"


# -- one hook --------------------------------------------------------------------------------


def _find_file(place: Place, name: str) -> str:
    """The hook's file; `pre-commit install` has renamed ours, and its own hook runs that."""
    path = os.path.join(place.own, name)
    renamed = path + ".legacy"
    blocks = [hookfile.has_block(_look(file).data) for file in (path, renamed)]
    return renamed if blocks == [False, True] else path


def _install(git: Git, place: Place, name: str, *, dry_run: bool) -> Hook:
    path = _find_file(place, name)
    there = _look(path)
    advice = _advice(git, place, name, there.data)
    if advice and advice.is_taken and not hookfile.has_block(there.data):
        return Hook(name, advice.file, "installed")
    legacy = os.path.join(place.own, name + LEGACY)
    script = hookfile.with_program(read_script(name), *own_program())
    plan = _plan(there, legacy, script)
    if plan.data is not None and not dry_run:
        _write(path, plan.data, there.stat, sets_aside=plan.sets_aside)
    if advice and not advice.is_taken and plan.state != "blocked":
        why = f"{advice.writer} writes that file anew, without it"
        return Hook(name, path, plan.state, why, advice.file, advice.snippet)
    return Hook(name, path, plan.state, plan.why)


def _plan(there: _There, legacy: str, script: bytes) -> _Plan:
    has_legacy = os.path.lexists(legacy)
    has_block = hookfile.has_block(there.data)
    if hookfile.is_damaged(there.data):
        return _Plan("blocked", "a part of gittrack's block is in it; take it out by hand")
    if has_block and not there.runs:
        return _Plan("blocked", "it is not executable, so git passes it by")
    if has_block or (there.runs and hookfile.can_hold(there.data)):
        new = hookfile.with_block(there.data, script)
        unused = has_legacy and not hookfile.is_chained(new)
        why = f"{legacy} is there too, and nothing runs it" if unused else ""
        return _Plan("installed", why) if new == there.data else _Plan("written", why, new)
    if there.stat and stat.S_ISDIR(there.stat.st_mode):
        return _Plan("blocked", "it is a folder")
    if has_legacy:
        return _Plan("blocked", f"{legacy} is in the way; it may be a hook of yours")
    if there.stat is None:
        return _Plan("written", data=script)
    then = "runs after gittrack's" if there.runs else "stays switched off"
    return _Plan("written", f"what was there is now {legacy} and {then}", script, True)


def _uninstall(git: Git, place: Place, name: str, *, dry_run: bool) -> Hook:
    path = _find_file(place, name)
    legacy = os.path.join(place.own, name + LEGACY)
    has_legacy = os.path.lexists(legacy)
    there = _look(path)
    if hookfile.is_damaged(there.data):
        return Hook(name, path, "left", "a part of gittrack's block is in it; take it out by hand")
    if not hookfile.has_block(there.data):
        advice = _advice(git, place, name, there.data)
        if advice and advice.is_taken:
            return Hook(name, advice.file, "left", "it calls gittrack; take that out by hand")
        if has_legacy:
            return Hook(
                name, path, "left", f"{legacy} is a hook from before, but this is not gittrack's"
            )
        return Hook(name, path, "missing")
    rest = hookfile.without_block(there.data)
    if rest is not None and has_legacy and hookfile.is_chained(there.data):
        return Hook(name, path, "left", f"it was edited, and runs {legacy}; join them by hand")
    if not dry_run and rest is not None:
        _write(path, rest, there.stat)
    elif not dry_run:
        with _clearly(path):
            if has_legacy:
                os.replace(legacy, path)
            else:
                os.unlink(path)
    return Hook(name, path, "restored" if rest is None and has_legacy else "removed")


def _status(git: Git, place: Place, name: str) -> Hook:
    path = _find_file(place, name)
    there = _look(path)
    has_block = hookfile.has_block(there.data)
    if place.why and not (has_block and place.own == place.looked_in):
        found = _elsewhere(git, place, name)
        if found.state == "elsewhere" and has_block:
            return found._replace(state="shadowed", why=f"it is in {place.own}, but {place.why}")
        return found
    if not has_block:
        advice = _advice(git, place, name, there.data)
        if advice and advice.is_taken:
            return Hook(name, advice.file, "installed")
        return Hook(name, path, "missing")
    if not there.runs:
        return Hook(name, path, "disabled", "it is not executable, so git passes it by")
    return _started(name, path, there.data)


def _configure(
    git: Git, git_config: Mapping[str, Sequence[str]], place: Place, name: str, *, dry_run: bool
) -> Hook:
    """Have git's configuration start a hook, unless the user has added it where hooks lie."""
    found = _elsewhere(git, place, name)
    if found.state == "installed":
        _unconfigure(git, git_config, name, dry_run=dry_run)
        return found
    path = hookconfig.find_script(git, name)
    script = hookfile.alone(hookfile.with_program(read_script(name), *own_program()))
    command = hookconfig.render_command(path)
    there = _look(path)
    if there.data == script and hookconfig.find_command(git_config, name) == command:
        return Hook(name, path, "installed")
    if not dry_run:
        with _clearly(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, script, None)
        hookconfig.set_command(git, name)
    return Hook(name, path, "written", f"git's configuration starts it, as {place.why}")


def _unconfigure(
    git: Git, git_config: Mapping[str, Sequence[str]], name: str, *, dry_run: bool
) -> bool:
    """Undo `_configure`; whether there was anything to undo."""
    path = hookconfig.find_script(git, name)
    if hookconfig.find_command(git_config, name) is None and not os.path.lexists(path):
        return False
    if not dry_run:
        hookconfig.unset_command(git, git_config, name)
        with _clearly(path), contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        # The last of them takes the folder along.
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(path))
    return True


def _status_configured(git: Git, git_config: Mapping[str, Sequence[str]], name: str) -> Hook | None:
    """How a hook stands that git's configuration starts; None if it does not."""
    command = hookconfig.find_command(git_config, name)
    if command is None:
        return None
    path = hookconfig.find_script(git, name)
    if hookconfig.is_disabled(git_config, name):
        return Hook(name, path, "disabled", f"hook.gittrack-{name}.enabled says so")
    there = _look(path)
    if command != hookconfig.render_command(path) or not there.runs:
        return Hook(name, path, "stale", "git's configuration names a file that is gone")
    return _started(name, path, there.data)


def _started(name: str, path: str, data: bytes) -> Hook:
    """A hook that git runs: installed, unless what it starts is gone."""
    program = hookfile.find_program(data)
    if program and not os.path.exists(program):
        return Hook(name, path, "stale", f"{program} is gone; gittrack is looked for on PATH")
    return Hook(name, path, "installed")


def _elsewhere(git: Git, place: Place, name: str) -> Hook:
    """A hook in a folder that is not ours; it is installed if the user added it there."""
    advice = advise(git.worktree or git.git_dir, place.looked_in, name)
    if advice.is_taken:
        return Hook(name, advice.file, "installed")
    path = os.path.join(place.looked_in, name)
    return Hook(name, path, "elsewhere", place.why, advice.file, advice.snippet)


def _advice(git: Git, place: Place, name: str, hook: bytes) -> Advice | None:
    """What to tell a framework, if one keeps the hooks here."""
    top = git.worktree or git.git_dir
    return advise(top, place.looked_in, name) if place.why else advise_writer(top, hook, name)


# -- the disk --------------------------------------------------------------------------------


def _look(path: str) -> _There:
    with _clearly(path, "read"):
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return _There(b"", None, False)
        data = b""
        if stat.S_ISREG(found.st_mode):
            with open(path, "rb") as file:
                data = file.read()
        return _There(data, found, os.access(path, os.X_OK))


def _write(
    path: str, data: bytes, like: os.stat_result | None, *, sets_aside: bool = False
) -> None:
    """Put a file in the place of another at once, with its mode unless that one is set aside."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with _clearly(path):
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o755)
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                if like is not None and not sets_aside:
                    # Root may install for others; their hook stays theirs.
                    with contextlib.suppress(PermissionError):
                        os.fchown(fd, like.st_uid, like.st_gid)
                    os.fchmod(fd, stat.S_IMODE(like.st_mode))
                os.fsync(fd)
            if sets_aside:
                _set_aside(path)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _set_aside(path: str) -> None:
    """Give a hook its second name; it keeps the first, so that it is there at every moment."""
    try:
        os.link(path, path + LEGACY, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.rename(path, path + LEGACY)


@contextlib.contextmanager
def _turn(folder: str) -> Iterator[None]:
    """One process at a time changes the hooks; a courtesy, where the file system knows locks."""
    import fcntl

    try:
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # not there: nothing to take turns at
        yield
        return
    give_up = time.monotonic() + _TURN_PATIENCE_S
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # A process that was stopped keeps it.
                if time.monotonic() > give_up:
                    break
                time.sleep(0.005)
            except OSError:
                break
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def _clearly(path: str, verb: str = "written") -> Iterator[None]:
    """Trouble with a file as an error that names it."""
    try:
        yield
    except OSError as error:
        raise GittrackError(
            f"{path} could not be {verb}",
            why=f"{error.strerror}; it is as it was",
            next="gittrack hooks status",
        ) from error
