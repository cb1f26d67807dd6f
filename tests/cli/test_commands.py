"""The command line from the outside: real processes in a real repository."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.cli import main as cli
from gittrack.cli.output import Output
from tests.cli.conftest import Project, environment

KEYS = {
    "id", "name", "experiment", "status", "start", "end", "commit", "branch", "dirty", "author",
    "params", "metrics", "tags",
}  # fmt: skip


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not strict JSON")


def strict(text: str) -> object:
    return json.loads(text, parse_constant=refuse)


def runs_of(text: str) -> dict[str, dict[str, object]]:
    found = strict(text)
    assert isinstance(found, list)
    return {run["name"]: run for run in found}


# -- reading ---------------------------------------------------------------------------------


def test_log_is_newest_first_and_like_git(project: Project) -> None:
    text = project.out("log")
    titles = [line for line in text.splitlines() if line.startswith("run ")]
    assert [title.split("(")[1] for title in titles] == [
        "default, main)", "iris, main)", "iris, main)"
    ]  # fmt: skip
    assert "Author: Ada Tester <ada@example.com>" in text
    assert "acc 0.7" in text and "lr=0.1" in text


def test_hostile_text_cannot_steer_the_terminal(project: Project) -> None:
    for args in (
        ["log"], ["log", "--oneline"], ["log", "--format", "table"], ["show", "@"],
        ["log", "--format", "markdown"], ["diff", "first", "@"], ["status"],
    ):  # fmt: skip
        text = project.out(*args)
        assert not {"\x1b", "\x07", "\u202e"} & set(text), args
    assert "\\u202e" in project.out("log")
    assert "\\x1b[31mred\\x07" in project.out("show", "@")


def test_json_has_the_promised_keys_and_values(project: Project) -> None:
    runs = runs_of(project.out("log", "--format", "json"))
    assert all(run.keys() >= KEYS for run in runs.values())
    first, second = runs["first"], runs["second"]
    assert first["params"] == {"lr": 0.1, "model": "rf", "layers": [1, 2]}
    assert first["tags"] == {"team": "vision"}
    assert first["status"] == "finished"
    assert first["experiment"] == "iris"
    assert first["commit"] == project.git("rev-parse", "HEAD")
    assert str(first["start"]).endswith("Z") and len(str(first["start"])) == 24
    assert second["metrics"] == {"loss": "NaN", "acc": "Infinity", "low": "-Infinity"}
    assert second["params"] == {"lr": 0.2, "model": "rf", "gone": None}
    assert runs["evil \u202ename"]["tags"] == {"note": "a\x1b[31mred\x07"}


def test_jsonl_is_a_run_a_line(project: Project) -> None:
    lines = project.out("log", "--format", "jsonl").splitlines()
    assert [strict(line) for line in lines] == strict(project.out("log", "--format", "json"))


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_separated_values_read_back(project: Project, form: str, delimiter: str) -> None:
    text = project.out("log", "--format", form)
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    by_name = {row["name"]: row for row in rows}
    assert by_name["first"]["params.layers"] == "[1, 2]"
    assert by_name["first"]["params.lr"] == "0.1"
    assert by_name["second"]["metrics.loss"] == "NaN"
    assert by_name["second"]["description"] == "two\nlines"
    assert by_name["evil \u202ename"]["params.a,b"] == 'q"q'
    assert by_name["first"]["tags.note"] == ""


def test_filter_sort_limit_and_columns(project: Project) -> None:
    def names(*args: str) -> list[str]:
        return project.out("log", "--format", "csv", "--columns", "name", *args).splitlines()[1:]

    assert names("--where", "metrics.loss < 0.5") == ["first"]
    assert names("--experiment", "iris", "--sort", "params.lr") == ["first", "second"]
    assert names("--experiment", "iris", "--sort", "-params.lr") == ["second", "first"]
    assert names("--experiment", "iris", "--experiment", "default", "-n", "1") == [
        "evil \u202ename"
    ]
    assert names("-n", "0") == []
    table = project.out("log", "--columns", "name,lr,metrics.acc", "--experiment", "iris")
    assert table.splitlines()[0].split() == ["name", "lr", "metrics.acc"]
    flat = strict(project.out("log", "--format", "json", "--columns", "name,acc", "-n", "2"))
    assert flat == [{"name": "evil \u202ename", "acc": None}, {"name": "second", "acc": "Infinity"}]


def test_show_a_run_and_its_files(project: Project) -> None:
    text = project.out("show", "first")
    for part in ("lr      0.1", "loss", "team  vision", "out/report.txt  17 B", "state   exact"):
        assert part in text
    assert project.out("show", "first:out/report.txt") == "the whole report\n"
    assert project.out("show", "iris/first:train.py") == "print('hello')\n"
    assert "params.yaml" in project.out("show", "first:").splitlines()
    run = strict(project.out("show", "second", "--format", "json"))
    assert isinstance(run, dict)
    assert run.keys() >= KEYS
    assert run["metric_summaries"]["loss"]["count"] == 1
    assert run["source"]["tree"]
    assert strict(project.out("show", "second", "--format", "jsonl")) == run
    assert project.out("show", "second", "--format", "csv").startswith("id,name,")


def test_a_file_is_printed_byte_for_byte(empty: Project) -> None:
    data = bytes(range(256))
    empty.write("raw.bin", data)
    empty.python(
        "import gittrack\nwith gittrack.start_run(run_name='a:b'): gittrack.log_artifact('raw.bin')"
    )
    done = subprocess.run(
        [sys.executable, "-m", "gittrack", "show", "a:b:raw.bin"],
        cwd=empty.path, env=environment(), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == data
    assert "run " in empty.out("show", "a:b")


def test_diff_in_every_form(project: Project) -> None:
    text = project.out("diff", "first", "second")
    assert "~ lr " in text and "0.1 -> 0.2" in text
    diff = strict(project.out("diff", "first", "second", "--format", "json"))
    assert isinstance(diff, dict)
    assert diff["params"]["lr"] == {"change": "changed", "a": 0.1, "b": 0.2}
    assert diff["params"]["gone"] == {"change": "added", "a": None, "b": None}
    assert diff["metrics"]["loss"]["b"] == "NaN"
    assert diff["source"]["same"] is True
    assert "~  lr " in project.out("diff", "first", "second", "--format", "table")
    assert "| lr " in project.out("diff", "first", "second", "--format", "markdown")


def test_diff_and_show_tell_of_a_dirty_tree(project: Project) -> None:
    project.write("train.py", "print('edited')\n")
    project.python("import gittrack\nwith gittrack.start_run(run_name='edited'): pass")
    assert "dirty, 1 changed file" in project.out("show", "edited")
    assert "~ train.py" in project.out("diff", "second", "edited")
    assert "dirty" in project.out("log", "-n1")


def test_experiments_status_and_config(project: Project) -> None:
    experiments = strict(project.out("experiments", "--format", "json"))
    assert isinstance(experiments, list)
    assert {item["name"]: item["runs"] for item in experiments} == {"default": 1, "iris": 2}
    assert "iris" in project.out("experiments")
    assert project.out("status").startswith("3 runs in 2 experiments\n")
    status = strict(project.out("status", "--format", "json"))
    assert isinstance(status, dict)
    assert status["runs"] == 3 and status["running"] == []
    config = strict(project.out("config", "--format", "json"))
    assert isinstance(config, list)
    assert {item["name"] for item in config} >= {"experiment", "seal.fsync"}
    assert "seal.fsync" in project.out("config")


def test_checkout_lays_out_what_ran(project: Project, tmp_path: Path) -> None:
    project.write("train.py", "print('edited')\n")
    text = project.out("checkout", "first", "--into", "../laid-out")
    assert text.splitlines()[0].endswith("laid-out")
    assert (tmp_path / "laid-out" / "train.py").read_text() == "print('hello')\n"
    assert project.read("train.py") == b"print('edited')\n"
    again = project.gittrack("checkout", "first", "--into", "../laid-out")
    assert again.returncode == 1 and again.stderr.startswith("error: ")


def test_init_is_idempotent_and_recover_has_nothing_to_do(empty: Project) -> None:
    assert empty.out("init", "--no-hooks").startswith("wrote refs/gittrack/store/main")
    assert "nothing was changed" in empty.out("init")
    assert empty.out("recover") == "nothing to recover\n"


# -- where it runs ---------------------------------------------------------------------------


def test_the_folder_does_not_matter(project: Project, tmp_path: Path) -> None:
    expected = project.out("log", "--oneline")
    below = os.path.join(project.path, "a", "b")
    os.makedirs(below)
    assert project.gittrack("log", "--oneline", cwd=below).stdout == expected
    away = project.gittrack("-C", project.path, "log", "--oneline", cwd=str(tmp_path))
    assert away.stdout == expected
    nested = project.gittrack("-C", "repo", "-C", "a", "log", "--oneline", cwd=str(tmp_path))
    assert nested.stdout == expected


def test_an_empty_repository(empty: Project) -> None:
    done = empty.gittrack("log")
    assert (done.returncode, done.stdout) == (0, "")
    assert "gittrack demo" in done.stderr
    assert empty.out("log", "--format", "json") == "[]\n"
    assert empty.out("log", "--format", "table") == ""
    assert empty.gittrack("show").returncode == 1


def test_outside_a_repository(empty: Project, tmp_path: Path) -> None:
    done = empty.gittrack("log", cwd=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "git init" in done.stderr


# -- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["show", "frist"], 1, "did you mean 'first'?"),
        (["show", "frist:params.yaml"], 1, "did you mean 'first'?"),
        (["show", "first:params.yml"], 1, "did you mean params.yaml?"),
        (["log", "--experiment", "irsi"], 1, "did you mean 'iris'?"),
        (["log", "--where", "metrics.loss <"], 2, "error: "),
        (["log", "--sort", "-nonsense"], 2, "error: "),
        (["log", "--columns", "naem"], 2, "did you mean 'name'?"),
        (["log", "--oneline", "--format", "json"], 2, "exclude each other"),
        (["log", "--oneline", "--columns", "name"], 2, "--columns has no place"),
        (["log", "-n", "-3"], 2, "error: "),
        (["log", "-n", "x"], 2, "is not a number of runs"),
        (["log", "--format", "yaml"], 2, "there are table, oneline, json"),
        (["log", "--format", "%Q"], 2, "is no placeholder"),
        (["log", "--format", "%m(loss"], 2, "no closing parenthesis"),
        (["log", "--format", "%C(pink)%h"], 2, "there is no colour 'pink'"),
        (["log", "--porcelain", "--oneline"], 2, "exclude each other"),
        (["log", "-z"], 2, "-z goes with --porcelain"),
        (["log", "-p", "--format", "json"], 2, "-p has no place"),
        (["log", "--since", "gibberish"], 2, "--since cannot be 'gibberish'"),
        (["log", "--author", "("], 2, "--author is no regular expression"),
        (["log", "--status", "done"], 2, "there are running, finished"),
        (["log", "--tag", "=x"], 2, "names no tag"),
        (["log", "first"], 2, "'first' is a run, not a revision"),
        (["log", "nosuch..main"], 2, "git knows no revision 'nosuch..main'"),
        (["log", "--parent", "frist"], 1, "did you mean 'first'?"),
        (["log", "--follow", "/etc/passwd"], 1, "lies outside the repository"),
        (["log", "--columns", "max(metrics.loss),metrics.los,los"], 2, "did you mean 'loss'?"),
        (["show", "@{best:metrics.accc}"], 1, "did you mean 'acc'?"),
        (["show", "@{best:metrics.low}"], 1, "it is not known whether a greater low is better"),
        (["show", "@{worst:metrics.acc}"], 1, "there are best, min and max"),
        (["show", "irsi/@"], 1, "did you mean 'iris'?"),
        (["show", "@{-99}"], 1, "there are only 3"),
        (["show", "HEAD"], 1, "'HEAD' stands for 3 runs"),
        (["show", "first", "--params", "--format", "json"], 2, "--params has no place"),
        (["show", "first", "--stdout", "--params"], 2, "--stdout and --params exclude"),
        (["diff", "first", "--parent"], 1, "run 'first' has no parent"),
        (["diff", "first", "second", "--parent"], 2, "--parent compares one run"),
        (["diff", "first", "second", "-p", "--all"], 2, "--all has no place"),
        (["diff", "first", "--all"], 2, "the worktree has code only"),
        (["compare", "first"], 2, "there is only one run to compare"),
        (["compare", "first", "secnod"], 1, "did you mean 'second'?"),
        (["tag", "first"], 2, "there is no tag to set"),
        (["tag", "first", "team"], 2, "'team' is no KEY=VALUE"),
        (["rename", "first", ""], 2, "cannot be blank"),
        (["note", "first"], 1, "the editor 'false' ended with 1"),
        (["delete", "frist"], 1, "did you mean 'first'?"),
        (["experiments", "remove", "iris"], 2, "did you mean 'rename'?"),
        (["experiments", "rename", "iris"], 2, "takes NAME NEW"),
        (["experiments", "create", "iris"], 2, "there is an experiment 'iris' already"),
        (["experiments", "delete", "default"], 2, "cannot be deleted"),
        (["completion", "tcsh"], 2, "next:  gittrack completion --help"),
        (["show", "first:params.yaml", "--format", "json"], 2, "RUN:PATH takes no options"),
        (["lgo"], 2, "did you mean 'log'?"),
        (["xyzzy"], 2, "next:  gittrack --help"),
        (["checkout", "first"], 2, "--into"),
        (["-C", "nowhere", "log"], 1, "cannot go to nowhere"),
        (["recover", "nowhere"], 1, "there is no folder"),
    ],
)
def test_mistakes_are_named(project: Project, args: list[str], code: int, said: str) -> None:
    done = project.gittrack(*args)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


def test_hostile_arguments_are_spelled_out(project: Project) -> None:
    done = project.gittrack("show", "a\x1b[31m\u202e")
    assert not {"\x1b", "\u202e"} & set(done.stderr)


def test_a_bug_leaves_a_log(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli, "load", broken)
    assert cli.main(["log", "-n", "1"]) == 3
    message = capfd.readouterr().err
    assert message.startswith("error: this is a bug in gittrack\nwhy:   ZeroDivisionError: by zero")
    log = Path(message.split()[-1])
    text = log.read_text()
    log.unlink()
    for part in ("gittrack 0", "Python 3", "$ gittrack log -n 1", "Traceback", "by zero"):
        assert part in text


def test_an_interrupt_ends_quietly(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load", interrupted)
    assert cli.main(["log"]) == 130
    assert capfd.readouterr() == ("", "")


# -- pipes, colours, widths ------------------------------------------------------------------


@pytest.mark.parametrize("form", ["oneline", "json", "csv"])
def test_a_closed_pipe_is_quiet(project: Project, form: str) -> None:
    command = f'"$0" -m gittrack log --format {form}; echo "code $?" >&2'
    done = subprocess.run(
        ["sh", "-c", f"( {command} ) | true", sys.executable],
        cwd=project.path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == "code 0\n"


def test_colours(project: Project) -> None:
    assert "\x1b[" not in project.out("log")
    assert "\x1b[33mrun " in project.out("--color=always", "log")
    assert "\x1b[33mrun " in project.out("log", "--color", "always")
    assert "\x1b[33mrun " in project.out("log", CLICOLOR_FORCE="1")
    assert "\x1b[" not in project.out("log", CLICOLOR_FORCE="1", NO_COLOR="1")
    assert "\x1b[" not in project.out("--color=never", "log", CLICOLOR_FORCE="1")
    assert "\x1b[" in project.out("--color=always", "log", NO_COLOR="1")
    assert "\x1b[" not in project.out("--color=always", "log", "--format", "json")


def test_widths(project: Project) -> None:
    for columns in (40, 60, 100):
        for args in (["log"], ["log", "--format", "table"], ["show"], ["diff", "first", "second"]):
            lines = project.out(*args, COLUMNS=str(columns)).splitlines()
            assert max(map(len, lines)) <= columns, args
    whole = project.out("log", "--format", "table", "--columns", "id,author,commit,description")
    assert project.git("rev-parse", "HEAD") in whole


def test_other_encodings_are_not_a_crash(project: Project) -> None:
    text = project.out("show", "@", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "\\u65e5" in text
    assert "日本語" in project.out("log", "--format", "json", PYTHONIOENCODING="ascii")


# -- help ------------------------------------------------------------------------------------


def test_version_and_help(empty: Project) -> None:
    assert empty.out("--version").startswith("gittrack 0.")
    text = empty.out("--help")
    assert all(f"  {name} " in text for name in cli.COMMANDS)
    assert empty.out("help", "log") == empty.out("log", "--help")
    bare = empty.gittrack()
    assert bare.returncode == 2 and "commands:" in bare.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(name: str) -> None:
    import shlex

    command = cli.load(name)
    parser = cli.parser_for(name, command, Output())
    assert command.HELP.endswith(".") and command.EXAMPLE in parser.format_help()
    program, verb, *args = shlex.split(command.EXAMPLE, comments=True)
    assert (program, verb) == ("gittrack", name)
    marks = getattr(command, "PASSES_ON", ())
    if marks:
        at = next(at for at, word in enumerate(args) if word in marks)
        assert args[at + 1 :]
        args = args[:at]
    parser.parse_intermixed_args(cli.join_dashed(args, parser))


def test_log_imports_little(project: Project) -> None:
    script = (
        "import sys; from gittrack.cli.main import main; main(['log', '-n', '1']);"
        "print({'tabulate', 'dataclasses', 'inspect', 'pathlib', 'csv'} & {*sys.modules})"
    )
    project.out("log")  # the index is made, with other imports
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path += {sys.path!r}; {script}"],
        cwd=project.path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "set()"
