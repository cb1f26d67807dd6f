"""The git program: one place that starts it, with a clean environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack.errors import GitError, NotARepositoryError
from gittrack.store import forking
from gittrack.store.paths import RepoPaths

if TYPE_CHECKING:
    from subprocess import Popen

#: What `git rev-parse --local-env-vars` lists, less the variables that carry configuration:
#: a caller's hook environment must not leak into our calls, its credentials and
#: safe.directory must.
LOCAL_ENV = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
#: `git cat-file` reads requests while it writes answers; as many as fit a pipe are safe at once. A
#: pipe may be as small as this where a user has many.
_REQUEST_BYTES = 4096
#: So often in one request may somebody kill `git cat-file`.
_MOST_KILLS = 10


class Object(NamedTuple):
    """A git object as it is stored."""

    oid: str
    type: str
    data: bytes


class Running:
    """A git process that was started and has not been waited for."""

    def __init__(self, process: Popen[bytes], args: tuple[str, ...]) -> None:
        self._process = process
        self._args = args

    def finish(self, *, check: bool = True) -> bytes:
        """Its whole standard output; GitError if it failed and `check` is set."""
        out, err = self._process.communicate()
        if check and self._process.returncode:
            raise _failure(self._args, self._process.returncode, err)
        return out


class Git:
    """The git program in one repository."""

    def __init__(self, paths: RepoPaths) -> None:
        self.git_dir = paths.git_dir
        self.common_dir = paths.common_dir
        self.worktree = paths.worktree
        # GIT_DIR is not set unless the caller set it: naming it would switch off git's own
        # ownership check (safe.directory).
        self._cwd = paths.worktree or paths.git_dir
        self._explicit = paths.explicit
        self._cat_file: CatFile | None = None

    @property
    def is_shallow(self) -> bool:
        """Whether history is cut off somewhere in this repository."""
        try:
            return os.path.getsize(os.path.join(self.common_dir, "shallow")) > 0
        except OSError:
            return False

    def another(self) -> Git:
        """The same repository, with a helper process of its own: for another thread."""
        return Git(RepoPaths(self.git_dir, self.common_dir, self.worktree, self._explicit))

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment that every call gets."""
        env = {key: value for key, value in os.environ.items() if key not in LOCAL_ENV}
        env["GIT_OPTIONAL_LOCKS"] = "0"
        env["GIT_TERMINAL_PROMPT"] = "0"
        env["LC_ALL"] = "C"
        if self._explicit:
            env["GIT_DIR"] = self.git_dir
            if self.worktree is not None:
                env["GIT_WORK_TREE"] = self.worktree
        if extra:
            env.update(extra)
        return env

    def start(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        cwd: str | None = None,
        new_session: bool = False,
        errors: bool = True,
    ) -> Popen[bytes]:
        """Start git with pipes; the caller talks to it and waits for it.

        Args:
            errors: whether its standard error can be read, and so has to be.
        """
        with forking.unforked():
            import subprocess

            process = self._popen(
                ("git", *args),
                cwd=cwd or self._cwd,
                env=self.environment(env),
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if errors else subprocess.DEVNULL,
                start_new_session=new_session,
            )
            forking.add_helper(process)
        return process

    def _popen(self, args: Sequence[str], **options: Any) -> Popen[bytes]:
        import subprocess

        try:
            return subprocess.Popen(args, **options)
        except FileNotFoundError as error:
            if error.filename != "git":
                raise NotARepositoryError(
                    f"the repository at {self._cwd} is gone",
                    why="its folder no longer exists",
                    next="cd into an existing folder",
                ) from None
            raise GitError(
                "the git program was not found",
                why="gittrack records into git through it, and it is not on PATH",
                next="install git 2.30 or newer",
            ) from None

    def begin(self, *args: str, env: Mapping[str, str] | None = None) -> Running:
        """Start git and go on; `finish` gives its output."""
        return Running(self.start(*args, env=env), args)

    def run(
        self,
        *args: str,
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        cwd: str | None = None,
    ) -> bytes:
        """Run git to its end and give its standard output.

        Raises:
            GitError: it exited with another code than 0 and `check` is set.
        """
        process = self.start(*args, env=env, stdin=input is not None, cwd=cwd)
        out, err = process.communicate(input)
        if check and process.returncode:
            raise _failure(args, process.returncode, err)
        return out

    def cat_file(self) -> CatFile:
        """The long-lived object reader of this process (a forked child gets its own)."""
        reader = self._cat_file
        if reader is None or not reader.usable():
            reader = self._cat_file = CatFile(self)
        return reader

    def close(self) -> None:
        """End the helper process, if there is one."""
        # Forgotten first: a signal handler that closes, too, must not wait for it within this wait.
        reader, self._cat_file = self._cat_file, None
        if reader is not None:
            reader.close()


class CatFile:
    """`git cat-file --batch`, kept open: 30-50 microseconds a request instead of 2 ms a call.

    git ends at an object whose end is damaged on disk, and calls one missing whose beginning is.
    To whoever reads here both are not there, and the others are.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._pid = os.getpid()
        self._lock = Lock()
        #: The thread that is within a request.
        self._asker = 0
        self._start()

    def _start(self) -> None:
        # A store that is badly damaged would fill the pipe of a standard error that nobody reads.
        # A kernel that shuts down kills the processes of its group, and waits 5 s and more for
        # those that nobody has waited for.
        alone = "ipykernel" in sys.modules
        process = self._git.start(
            "cat-file", "--batch", stdin=True, errors=False, new_session=alone
        )
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._requests = process.stdin
        self._answers = process.stdout

    def usable(self) -> bool:
        """Whether it belongs to this process, not to one that forked it, and can be asked now.

        One whose git has died starts another when it is asked.
        """
        # The handler of a signal that came within a request gets a reader of its own: this one's
        # lock is held, and an answer is half read.
        is_cut = self._asker == get_ident()
        return self._pid == os.getpid() and not is_cut

    def read(self, spec: str) -> Object | None:
        """The object that `spec` names (as `git rev-parse` would), or None."""
        for found in self.read_many((spec,)):
            return found
        return None

    def read_many(self, specs: Iterable[str]) -> Iterator[Object | None]:
        """Like `read` for many; the answers come in the order of the requests."""
        waiting: list[bytes] = []
        size = 0
        for spec in specs:
            request = spec.encode("utf-8", "surrogateescape") + b"\n"
            size += len(request)
            if size > _REQUEST_BYTES and waiting:
                yield from self._ask(waiting)
                waiting, size = [], len(request)
            waiting.append(request)
        if waiting:
            yield from self._ask(waiting)

    def _ask(self, requests: list[bytes]) -> list[Object | None]:
        answers: list[Object | None] = []
        is_fresh, kills = False, 0
        with self._lock:
            self._asker = get_ident()
            try:
                if self._requests.closed:
                    self._start()
                while len(answers) < len(requests):
                    known = len(answers)
                    try:
                        self._send(requests[known:])
                        while len(answers) < len(requests):
                            answers.append(self._answer())
                    except (BrokenPipeError, EOFError):
                        if self._was_killed():
                            kills += 1
                            if kills == _MOST_KILLS:
                                raise _killed() from None
                        elif is_fresh and len(answers) == known:
                            # Nothing else was asked of this process: it is this object.
                            answers.append(None)
                        self._start_again()
                        is_fresh = True
            except BaseException:
                # Ctrl-C, most of all. The next who asks would take what is still to be read for
                # an answer to something else.
                self.close()
                raise
            finally:
                self._asker = 0
        return answers

    def _send(self, requests: list[bytes]) -> None:
        self._requests.write(b"".join(requests))
        self._requests.flush()

    def _answer(self) -> Object | None:
        head = self._answers.readline()
        if not head:
            raise EOFError
        words = head.rstrip(b"\n").rsplit(b" ", 2)
        if words[-1] in (b"missing", b"ambiguous", b"submodule") or not words[-1].isdigit():
            return None
        size = int(words[2])
        data = self._answers.read(size + 1)
        if len(data) <= size:
            raise EOFError
        return Object(words[0].decode(), words[1].decode(), data[:-1])

    def _was_killed(self) -> bool:
        """Whether somebody ended it, as the system does where memory is short."""
        import signal

        return -self._process.wait() in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

    def _start_again(self) -> None:
        # Did it end because of an object, or can git read nothing here? Then this says why.
        self._git.run("rev-parse", "--git-dir")
        self.close()
        self._start()

    def close(self) -> None:
        """End the process; a copy inherited by fork only forgets it."""
        if self._pid != os.getpid():
            self._process.returncode = 0
            return
        # It only reads. By the end of its requests it would not end while it is stopped, or while
        # a child has a copy of that pipe that was forked past `forking`, by a library in C.
        self._process.kill()
        for pipe in (self._requests, self._answers):
            try:
                pipe.close()
            except OSError:
                # The process died with a request in the pipe; there is nothing to save.
                continue
        self._process.wait()


def _killed() -> GitError:
    return GitError(
        "git cat-file was killed again and again",
        why="another program ends it, or the system, where memory is short",
        next="try again when there is more",
    )


def _failure(args: tuple[str, ...], code: int, stderr: bytes) -> GitError | NotARepositoryError:
    text = stderr.decode("utf-8", "replace").strip()
    if "dubious ownership" in text:
        folder = text.partition("'")[2].partition("'")[0]
        return NotARepositoryError(
            f"git does not trust the repository at {folder}",
            why="it belongs to another user of this machine",
            next=f"git config --global --add safe.directory {folder}",
        )
    command = next((arg for arg in args if not arg.startswith("-") and "=" not in arg), "git")
    last = text.splitlines()[-1] if text else f"exit code {code}"
    return GitError(f"git {command} failed", why=text if "\n" in text else last)
