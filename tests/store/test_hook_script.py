"""What stands below our block reads what git said, in every shell, whatever is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gittrack.store import hookfile, hooks
from tests.store.desk import NAME, fill, hook_of, make_program

ROOT = Path(__file__).parents[2]
SHELLS = ("dash", "bash", "bash --posix", "busybox sh", "ksh93", "mksh")
INPUTS = {
    "one": b"refs/heads/main 1 refs/heads/main 2\n",
    "none": b"",
    "unended": b"refs/heads/main 1 refs/heads/main 2\nand",
    "blank": b"\n",
    "blanks": b"\n\n\n",
    "dots": b".\n.\n",
    "bytes": bytes(range(1, 256)) + b"\n$(x) `y` $x ${x} \\ \\\\ 'q' \"\n",
    # More than a pipe holds, and than one argument of a program may be.
    "many": b"".join(
        b"refs/heads/%05d %040d refs/heads/%05d %040d\n" % (n, n, n, n) for n in range(5000)
    ),
}
#: What follows: it notes what it reads, and its exit code is its own.
READS = 'cat >theirs; echo "$# $1 $PPID" >seen; echo said; exit 7'


def head(shell: str, options: str = "") -> str:
    program, *words = shell.split()
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return f"#!/usr/bin/env -S {' '.join([path, *words])}{options}"


def make_hook(folder: Path, text: bytes, program: str) -> Path:
    """A hook with our block, which starts this program."""
    script = hookfile.with_program(hooks.read_script(NAME), program, "")
    hook = folder / "a hook" / NAME
    hook.parent.mkdir(exist_ok=True)
    hook.write_bytes(hookfile.with_block(text, script))
    hook.chmod(0o755)
    return hook


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A gittrack that reads everything, prints, and fails."""
    make_program(tmp_path / "git track", "#!/bin/sh\ncat >ours; echo printed; exit 3\n")
    return str(tmp_path / "git track")


def run(hook: Path, said: bytes, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a hook as git does: its input in a pipe, two arguments."""
    return subprocess.run(
        [str(hook), "origin", "url"], cwd=hook.parent.parent, input=said,
        env={**os.environ, **env}, capture_output=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_what_follows_reads_the_same_bytes(tmp_path: Path, program: str, shell: str) -> None:
    for options in ("", " -e", " -eu"):
        hook = make_hook(tmp_path, hook_of(READS, head(shell, options)), program)
        most = {} if options else {"most": INPUTS["many"] * 20}
        for name, said in {**INPUTS, **most}.items():
            done = run(hook, said)
            assert done.returncode == 7, (name, done.stderr)
            assert (tmp_path / "theirs").read_bytes() == said, name
            # mksh has no printf of its own, and a program takes only so much.
            if shell != "mksh" or name not in ("many", "most"):
                assert (tmp_path / "ours").read_bytes() == said, name
            assert (done.stdout, done.stderr) == (b"said\n", b"printed\n"), name
            # Hooks look at $PPID for how git was called.
            assert (tmp_path / "seen").read_text() == f"2 origin {os.getpid()}\n", name


@pytest.mark.parametrize("shell", SHELLS)
def test_what_follows_need_not_read_it(tmp_path: Path, program: str, shell: str) -> None:
    hook = make_hook(tmp_path, hook_of("exit 5", head(shell, " -e")), program)
    for name, said in INPUTS.items():
        done = run(hook, said)
        assert (done.returncode, done.stdout) == (5, b""), (name, done.stderr)


def test_where_every_part_of_a_pipe_counts_what_is_not_read_does_not(
    tmp_path: Path, program: str
) -> None:
    hook = make_hook(tmp_path, hook_of("exit 0", head("bash", " -eo pipefail")), program)
    # More than a pipe holds; bash takes seconds to see that much has no line end.
    for said in (INPUTS["many"], INPUTS["many"][:70_000] + b"unended"):
        assert run(hook, said).returncode == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_what_follows_may_be_another_program(tmp_path: Path, program: str, shell: str) -> None:
    other = (
        "import os, sys\nopen('theirs', 'wb').write(sys.stdin.buffer.read())\n"
        "sys.exit(3 if os.getppid() == int(sys.argv[1]) else 4)\n"
    )
    (tmp_path / "other.py").write_text(other)
    call = f"exec {sys.executable} other.py {os.getpid()}"
    hook = make_hook(tmp_path, hook_of(call, head(shell)), program)
    for name, said in INPUTS.items():
        done = run(hook, said)
        assert (tmp_path / "theirs").read_bytes() == said, name
        # git's lines all end; what does not comes another way, through a process between.
        assert done.returncode == (4 if name == "unended" else 3), (name, done.stderr)


@pytest.mark.parametrize("shell", SHELLS)
def test_without_room_for_temporary_files_nothing_is_lost(
    tmp_path: Path, program: str, shell: str, tiny_disk: Callable[[Path], None]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    tiny_disk(full)
    fill(full)
    hook = make_hook(tmp_path, hook_of(READS, head(shell, " -e")), program)
    for name, said in INPUTS.items():
        done = run(hook, said, TMPDIR=str(full))
        assert (done.returncode, done.stdout) == (7, b"said\n"), (name, done.stderr)
        if (shell, name) != ("mksh", "many"):
            assert (tmp_path / "theirs").read_bytes() == said, name


@pytest.mark.parametrize("shell", SHELLS)
def test_where_gittrack_is_gone_nothing_is_said_or_read(tmp_path: Path, shell: str) -> None:
    hook = make_hook(tmp_path, hook_of(READS, head(shell, " -eu")), str(tmp_path / "gone"))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cat", "env"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for name in ("one", "none", "unended"):
        done = run(hook, INPUTS[name], PATH=str(tools))
        assert (done.returncode, done.stdout, done.stderr) == (7, b"said\n", b"")
        assert (tmp_path / "theirs").read_bytes() == INPUTS[name]


def test_a_virtualenv_that_was_moved_is_found_on_path(tmp_path: Path, program: str) -> None:
    hook = make_hook(tmp_path, hook_of(READS), str(tmp_path / "before" / "gittrack"))
    after = tmp_path / "after"
    after.mkdir()
    shutil.copy(program, after / "gittrack")
    done = run(hook, INPUTS["one"], PATH=f"{after}{os.pathsep}{os.environ['PATH']}")
    assert (done.returncode, done.stderr) == (7, b"printed\n")
    assert (tmp_path / "ours").read_bytes() == INPUTS["one"]


def test_with_an_empty_environment_it_works(tmp_path: Path, program: str) -> None:
    hook = make_hook(tmp_path, hook_of(READS), program)
    done = subprocess.run(
        ["env", "-i", str(hook), "origin", "url"], cwd=tmp_path,
        input=INPUTS["one"], capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (7, b"printed\n")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes() == INPUTS["one"]


def test_switched_off_it_does_not_even_read(tmp_path: Path, program: str) -> None:
    hook = make_hook(tmp_path, hook_of(READS), program)
    done = run(hook, INPUTS["one"], GITTRACK="0")
    assert (done.returncode, done.stderr) == (7, b"")
    assert (tmp_path / "theirs").read_bytes() == INPUTS["one"]
    assert not (tmp_path / "ours").exists()


def test_started_by_hand_it_asks_for_nothing(tmp_path: Path, program: str) -> None:
    hook = make_hook(tmp_path, hook_of("exit 6"), program)
    leader, terminal = os.openpty()
    done = subprocess.run([str(hook)], stdin=terminal, cwd=tmp_path, check=False, timeout=20)
    os.close(leader)
    os.close(terminal)
    assert done.returncode == 6
    assert not (tmp_path / "ours").exists()


def test_nothing_of_ours_is_left_for_what_follows(tmp_path: Path, program: str) -> None:
    clean = hook_of("cat >/dev/null; set >after; exit 0", "#!/bin/sh")
    hook = make_hook(tmp_path, clean, program)
    for name in ("one", "none", "unended"):
        assert run(hook, INPUTS[name]).returncode == 0
        assert "_gittrack" not in (tmp_path / "after").read_text()


def test_the_program_is_read_back_whatever_it_is_called() -> None:
    script = hooks.read_script(NAME)
    for path in ("/a/b", "/a b/'c'/\"d\"/$e/`f`/\\g", "/new\nline", "/caf\udce9", ""):
        for module in ("", "-Pmgittrack"):
            text = hookfile.with_program(script, path, module)
            assert hookfile.find_program(text) == path
            assert hookfile.with_program(text, "", "") == script
    assert hookfile.find_program(b"#!/bin/sh\n") is None


def test_without_a_console_script_python_is_started_beside_the_work_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    python = sys.executable
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert hooks.own_program() == (str(tmp_path / "python"), "-Pmgittrack")
    # A folder of the user's that is called like us, or like what we import, is not taken for it.
    for name in ("gittrack", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the work tree')\n")
    make_program(tmp_path / "python", f'#!/bin/sh\necho "$1" >word; exec {python} "$@"\n')
    script = hookfile.with_program(hooks.read_script(NAME), *hooks.own_program())
    (tmp_path / "hooks").mkdir()
    make_program(tmp_path / "hooks" / NAME, script.decode())
    done = run(tmp_path / "hooks" / NAME, b"", PYTHONPATH=str(ROOT))
    assert done.returncode == 0
    assert b"imported from" not in done.stderr
    assert (tmp_path / "word").read_text() == "-Pmgittrack\n"


def test_the_hooks_lie_in_the_package_and_at_the_top() -> None:
    names = (*hooks.NAMES, hooks.TRAILER)
    for name in names:
        assert hooks.read_script(name) == (ROOT / "hooks" / name).read_bytes()
        assert os.access(ROOT / "hooks" / name, os.X_OK)
        # As shipped they start what PATH has, or nothing at all.
        starts = name in (NAME, hooks.TRAILER)
        assert hookfile.find_program(hooks.read_script(name)) == ("" if starts else None)
    assert sorted(names) == sorted(os.listdir(ROOT / "hooks"))


# -- those that leave a note -----------------------------------------------------------------

OIDS = ("1" * 40, "2" * 40, "3" * 40)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_note_is_left_in_every_shell(tmp_path: Path, shell: str) -> None:
    git_dir = tmp_path / ".git"
    (git_dir / "refs" / "heads").mkdir(parents=True)
    (git_dir / "HEAD").write_text("ref: refs/heads/main\n")
    (git_dir / "refs" / "heads" / "main").write_text(f"{OIDS[0]}\n")
    (git_dir / "gittrack").mkdir()
    hints = git_dir / "gittrack" / "hints"
    pairs = f"{OIDS[1]} {OIDS[0]}\n{OIDS[2]} {OIDS[0]}\n".encode()
    commit = f"commit {OIDS[0]}\n"
    rewrites = "".join(f"rewrite {oid} {OIDS[0]} amend\n" for oid in OIDS[1:])
    cases = [
        ("post-commit", "", commit), ("post-applypatch", "", commit), ("post-merge", "0", commit),
        ("post-merge", "1", ""), ("post-rewrite", "amend", rewrites),
    ]  # fmt: skip
    for options in ("", " -e", " -eu"):
        for name, word, expected in cases:
            hook = tmp_path / "a hook" / name
            hook.parent.mkdir(exist_ok=True)
            text = hook_of(f"set >after; {READS}", head(shell, options))
            hook.write_bytes(hookfile.with_block(text, hooks.read_script(name)))
            hook.chmod(0o755)
            hints.write_text("")
            done = subprocess.run(
                [str(hook), word], cwd=tmp_path, input=pairs, capture_output=True, check=False
            )
            assert (done.returncode, done.stdout, done.stderr) == (7, b"said\n", b""), name
            assert hints.read_text() == expected, name
            # What follows reads all, and finds no variable of ours.
            assert (tmp_path / "theirs").read_bytes() == pairs
            seen = (tmp_path / "after").read_text()
            assert "\n_gittrack" not in seen
        for said in (most[:9000] for most in INPUTS.values()) if not options else ():
            subprocess.run([str(hook), word], cwd=tmp_path, input=said, check=False)
            assert (tmp_path / "theirs").read_bytes() == said


def test_what_hooks_have_in_common_is_the_same() -> None:
    texts = {name: hooks.read_script(name).decode() for name in (*hooks.NAMES, hooks.TRAILER)}
    commit = texts["post-commit"]
    squash = '# 1: --squash has made no commit yet.\n[ "${GITTRACK-}" = 0 ] || [ "${1-}" = 1 ] || {'
    merge = texts["post-merge"].replace(squash, '[ "${GITTRACK-}" = 0 ] || {')
    assert merge.replace("post-merge", "post-commit") == commit
    patch = texts["post-applypatch"].replace("post-applypatch", "post-commit")
    assert patch.split() == commit.split()

    def part(name: str, begin: str, end: str) -> str:
        text = texts[name]
        return "".join(text[text.index(begin) : text.index(end)].split())

    replays = [
        part(name, "# Nothing read is nothing", "unset _gittrack")
        for name in (NAME, "post-rewrite")
    ]
    assert replays[0] == replays[1]
    finds = [
        part(name, "# `gittrack hooks install` writes its", "if [ -n")
        for name in (NAME, hooks.TRAILER)
    ]
    assert finds[0].removesuffix("#Thedotkeepsthelineendsthat$()wouldcut.") == finds[1]
    places = [
        part(name, "# A linked worktree says", "esac") for name in ("post-commit", "post-rewrite")
    ]
    assert places[0] == places[1]
