"""`gittrack show RUN --open PATH`: a copy that is shown, and never run."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

from gittrack.cli.opening import find_viewer
from gittrack.errors import UsageError
from tests.cli.conftest import Project, environment
from tests.support import started

LOG = """
import gittrack, numpy
with gittrack.start_run(run_name="one"):
    gittrack.log_image(numpy.zeros((2, 2)), key="a b", step=1)
    gittrack.log_text("#!/bin/sh\\n", "evil.txt")
    gittrack.log_html("<script>top.x = 1</script>", "page.html")
    gittrack.log_text("note\\n", "n;note.txt")
    gittrack.log_table({"a": ["=1+1"]}, "t.csv")
    gittrack.log_artifact("run.sh")
"""


@pytest.fixture
def looked(empty: Project) -> Project:
    Path(empty.write("run.sh", "#!/bin/sh\n")).chmod(0o755)
    empty.python(LOG)
    return empty


def on_terminal(project: Project, *args: str, **env: str) -> tuple[int, str]:
    """Exit code and output of the command on a terminal of its own."""
    main, side = pty.openpty()
    with started(
        [sys.executable, "-m", "gittrack", *args], cwd=project.path,
        env={**environment(), **env}, stdin=side, stdout=side, stderr=side,
    ) as process:  # fmt: skip
        os.close(side)
        said = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:
                # The other end is closed.
                break
            if not piece:
                break
            said += piece
    os.close(main)
    return process.returncode, said.decode().replace("\r\n", "\n").replace("\r", "")


def viewer(tmp_path: Path) -> str:
    """A viewer that says what it was given, and what that holds."""
    script = tmp_path / "my viewer"
    script.write_text('#!/bin/sh\necho "shown $#"; ls -l "$1"; cat "$1"\n')
    script.chmod(0o755)
    return f"'{script}'"


def test_many_images_of_a_key_are_one_line_of_the_page(empty: Project) -> None:
    empty.python("""
import gittrack, numpy
with gittrack.start_run():
    for step in range(0, 50, 10):
        gittrack.log_image(numpy.zeros((1, 1)), key="a", step=step)
    for step in (3, 7):
        gittrack.log_image(numpy.zeros((1, 1)), key="b", step=step)
    gittrack.log_text("x", "step-1.png")
""")
    lines = empty.out("show").splitlines()
    at = lines.index("Artifacts")
    assert [line.split() for line in lines[at + 1 :]] == [
        ["images/a/step-*.png", "5", "files", "335", "B", "steps", "0", "to", "40"],
        ["images/b/step-000000003.png", "67", "B"], ["images/b/step-000000007.png", "67", "B"],
        ["step-1.png", "1", "B"],
    ]  # fmt: skip
    assert empty.out("show", "--files").count("images/a/step-0000000") == 10


def test_without_a_terminal_the_copy_is_named(looked: Project, tmp_path: Path) -> None:
    marker = tmp_path / "was-started"
    done = looked.gittrack(
        "show", "one", "--open", "images/a b/step-000000001.png",
        TMPDIR=str(tmp_path), GITTRACK_VIEWER=f"touch {marker}", DISPLAY=":0",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    copy = Path(done.stdout.removesuffix("\n"))
    assert copy.name == "step-000000001.png" and copy.is_relative_to(tmp_path)
    assert copy.read_bytes().startswith(b"\x89PNG")
    assert (copy.stat().st_mode & 0o777, copy.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert not marker.exists()
    # Programs for sheets run what is in them.
    assert looked.out("show", "one", "--open", "t.csv", TMPDIR=str(tmp_path)).endswith(
        "/t.csv.txt\n"
    )


def test_on_a_terminal_it_is_shown(looked: Project, tmp_path: Path) -> None:
    env = {"TMPDIR": str(tmp_path), "GITTRACK_VIEWER": viewer(tmp_path)}
    code, said = on_terminal(looked, "show", "one", "--open", "n;note.txt", **env)
    lines = said.splitlines()
    assert code == 0 and lines[1] == "shown 1" and lines[-1] == "note"
    # Nothing in the name means something to a shell.
    assert lines[0].endswith("/n_3Bnote.txt")
    code, said = on_terminal(looked, "show", "one", "--open", "page.html", **env)
    assert "the page is shown in a frame" in said
    assert '<iframe sandbox="allow-scripts"' in said and "<script>" not in said
    for name in ("evil.txt", "run.sh"):
        code, said = on_terminal(looked, "show", "one", "--open", name, **env)
        assert code == 0 and "\nnot opened: only pictures" in said and "shown 1" not in said
    copy = Path(said.splitlines()[0])
    assert copy.name == "run.sh" and not os.access(copy, os.X_OK)


def test_trouble_with_the_viewer_is_said(looked: Project, tmp_path: Path) -> None:
    shown = ("show", "one", "--open", "images/a b/step-000000001.png")
    code, said = on_terminal(looked, *shown, TMPDIR=str(tmp_path), DISPLAY="")
    assert code == 0 and "not opened: no display was found; GITTRACK_VIEWER=COMMAND" in said
    for command, why in (("false", "it ended with 1"), ("no-such-viewer", "no such file")):
        code, said = on_terminal(looked, *shown, TMPDIR=str(tmp_path), GITTRACK_VIEWER=command)
        assert code == 1 and f"error: {command} did not show the file" in said and why in said
    with pytest.raises(UsageError, match="no command"):
        find_viewer({"GITTRACK_VIEWER": "'feh"})
    assert find_viewer({}, "darwin") == ["open"]
    assert find_viewer({"PATH": str(tmp_path), "DISPLAY": ":0"}, "linux") is None


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("one", "--open", "images/a b"), 1, "it holds images/a b/step-000000001.png"),
        (("one", "--open", "page.htm"), 1, "did you mean page.html?"),
        (("one", "--open", "page.html", "--params"), 2, "--open and --params exclude"),
        (("one", "--open", "page.html", "--format", "json"), 2, "exclude each other"),
        (("one:page.html", "--open", "page.html"), 2, "RUN:PATH takes no options"),
    ],
)
def test_what_makes_no_sense_is_said(
    looked: Project, args: tuple[str, ...], code: int, words: str
) -> None:
    done = looked.gittrack("show", *args)
    assert done.returncode == code and words in done.stderr
