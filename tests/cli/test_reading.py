"""Reading and editing as a user of git would: real processes, real git, a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.cli.output.text import width_of
from tests.cli.conftest import Project, environment
from tests.cli.stores import build

NAMES = ["log", "--format", "tformat:%s"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, under a git identity of its own; each test works on a copy."""
    folder = tmp_path_factory.mktemp("built")
    return folder / "repo"


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Project:
    """A repository with 14 runs over two commits."""
    if not built.exists():
        build(built, 14)
    shutil.copytree(built, tmp_path / "store", symlinks=True)
    return Project(tmp_path / "store")


def names(store: Project, *args: str) -> list[str]:
    return store.out(*NAMES, *args).splitlines()


def numbers(store: Project, *args: str) -> list[int]:
    return [int(name.removeprefix("run-")) for name in names(store, *args) if name[4:].isdigit()]


# -- log -------------------------------------------------------------------------------------


def test_log_chooses_by_time_author_text_status_and_tag(store: Project) -> None:
    assert numbers(store, "--since", "2026-11-01 00:11:00 +0000") == [13, 12, 11]
    assert numbers(store, "--until", "2026-11-01T00:02:00Z") == [2, 1, 0]
    assert numbers(store, "--since", "yesterday") == []
    assert numbers(store, "--author", "^Bob") == [12, 6, 3, 0]
    assert numbers(store, "--author", "BOB T") == []
    assert numbers(store, "--author", "BOB T", "-i", "--author", "nobody") == [12, 6, 3, 0]
    assert numbers(store, "--grep", "of all") == [0], "the description counts as well"
    assert numbers(store, "--grep", "run-1[23]") == [13, 12]
    assert numbers(store, "--status", "failed") == [10]
    assert numbers(store, "--status", "failed,finished", "-n", "2") == [13, 12]
    assert numbers(store, "--tag", "team") == [0] == numbers(store, "--tag", "team=vision")
    assert numbers(store, "--tag", "team=speech") == []


def test_log_limits_before_it_reverses(store: Project) -> None:
    assert numbers(store, "-3", "--reverse") == [11, 12, 13]
    assert numbers(store, "-n3") == [13, 12, 11]


def test_log_hides_deleted_runs_but_for_all(store: Project) -> None:
    assert 9 not in numbers(store)
    assert 9 in numbers(store, "--all")


def test_ranges_follow_gits_own_order_of_commits(store: Project) -> None:
    # Two branches with commits of the same second: only git knows which of them comes first.
    store.git("checkout", "-q", "-b", "feature")
    for name in ("a", "b"):
        store.write("train.py", f"print('{name}')\n")
        store.commit(name)
        store.python(f"import gittrack\nwith gittrack.start_run(run_name='{name}'): pass")
    store.git("checkout", "-q", "main")
    store.write("model.py", "depth = 4\n")
    store.commit("c")
    store.python("import gittrack\nwith gittrack.start_run(run_name='c'): pass")
    store.git("merge", "-q", "--no-edit", "feature")
    assert names(store, "main~1..feature") == ["b", "a"]
    assert names(store, "feature..main") == ["c"]
    assert names(store, "^feature", "main") == ["c"]
    at = {store.git("rev-parse", f"{name}"): run for name, run in
          (("feature", "b"), ("feature~1", "a"), ("main~1", "c"))}  # fmt: skip
    order = [at[commit] for commit in store.git("rev-list", "main").split() if commit in at]
    assert [name for name in names(store, "main") if name in at.values()] == order
    assert names(store, "main", "-n1", "--sort", "name") == ["a"]


def test_a_commit_without_runs_says_so(store: Project) -> None:
    store.commit("empty")
    done = store.gittrack("log", "main~1..main")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no run passes" in done.stderr
    done = store.gittrack("show", "main")
    assert done.returncode == 1 and "no run was recorded at 'main'" in done.stderr


def test_follow_finds_the_runs_in_which_a_file_changed(store: Project) -> None:
    def run(name: str) -> None:
        store.python(
            f"import gittrack\nwith gittrack.start_run(run_name='{name}', experiment='f'): pass"
        )

    text = "".join(f"line {i}\n" for i in range(20))
    store.write("net.py", text)
    store.commit("net")
    run("made")
    run("same")
    store.write("net.py", text + "uncommitted\n")
    run("dirty")
    store.git("checkout", "-q", "net.py")
    store.git("mv", "net.py", "nets.py")
    store.commit("moved")
    run("moved")
    store.write("train.py", "print('else')\n")
    run("elsewhere")
    store.write("nets.py", text + "more\n")
    run("edited")
    followed = names(store, "--follow", "nets.py", "--experiment", "f")
    assert followed == ["edited", "moved", "dirty", "made"]
    os.makedirs(f"{store.path}/below", exist_ok=True)
    below = store.gittrack(
        *NAMES, "--follow", "../nets.py", "--experiment", "f", cwd=f"{store.path}/below"
    )
    assert below.stdout.splitlines() == followed


def test_stat_and_patch_show_what_changed_since_the_run_before(store: Project) -> None:
    text = store.out("log", "-1", "--stat", "--experiment", "default")
    assert "Code as in" in text
    store.write("train.py", "print('three')\n")
    store.python("import gittrack\nwith gittrack.start_run(run_name='new'): pass")
    text = store.out("log", "-1", "--stat")
    assert " train.py | 2 +-" in text and "Code since" in text
    text = store.out("log", "-1", "-p")
    assert "-print('two')\n+print('three')\n" in text
    assert "\x1b[32m+" in store.out("log", "-1", "-p", "--color", "always")
    first = store.out("log", "--reverse", "--stat", "--until", "2026-11-01 00:00:30 +0000")
    assert "Code as committed" in first


def test_templates(store: Project) -> None:
    line = store.out(
        "log", "-1", "--format",
        "%h|%H|%s|%e|%S|%an|%ae|%as|%at|%c|%ch|%r|%P|%m(acc)|%p(seed)|%t(no)|%f(max(metrics.acc))|%x41%n%%",
    )  # fmt: skip
    commit = store.git("rev-parse", "HEAD")
    assert line == (
        "00000000000d|20261101-001300-00000000000d|run-13|default|finished|Ada Tester"
        f"|ada@example.com|2026-11-01|1793491980|{commit}|{commit[:12]}|main||0.894294|13||0.894294|A\n%\n"
    )
    assert store.out("log", "-2", "--format", "format:%s") == "run-13\nrun-12\n"
    assert store.out("log", "-2", "--format", "%s", "-z") == "run-13\0run-12\0"
    assert store.out("log", "-1", "--format", "[%<(9)%s][%>(9)%s][%<(5,trunc)%s]") == (
        "[run-13   ][   run-13][run-…]\n"
    )
    assert store.out("log", "-1", "--format", "%C(red)%h%Creset") == "00000000000d\n"
    assert store.out("log", "-1", "--format", "%Credfoo%Cgreenish") == "fooish\n"
    refused = store.gittrack("log", "-1", "--format", "%Cyellow%h")
    assert refused.returncode == 2 and "'%C' is no placeholder" in refused.stderr
    coloured = store.out("log", "-1", "--format", "%C(bold red)%h%C(reset)", "--color", "always")
    assert coloured == "\x1b[1;31m00000000000d\x1b[m\n"
    assert re.fullmatch(r"\d+ (second|minute|hour|day|week|month|year)s? ago\n",
                        store.out("log", "-1", "--format", "%ar"))  # fmt: skip


def test_porcelain_is_what_the_page_promises(store: Project) -> None:
    line = store.out("log", "--porcelain", "-1")
    commit = store.git("rev-parse", "HEAD")
    assert line.rstrip("\n").split("\t") == [
        "20261101-001300-00000000000d", "finished", "2026-11-01T00:13:00.000Z",
        "2026-11-01T00:13:12.000Z", "default", "run-13", commit, "false",
        "Ada Tester <ada@example.com>",
    ]  # fmt: skip
    store.gittrack("rename", "run-13", "back\\slash")
    assert store.out("log", "--porcelain", "-1", "--columns", "name,acc", "-z") == (
        "back\\\\slash\t0.8942943064364004\0"
    )
    wild = store.out("log", "--porcelain", "--grep", "evil", "--color", "always")
    assert "evil \\u202ename" in wild and "\x1b" not in wild


def test_columns_with_aggregates_and_patterns(store: Project) -> None:
    found = json.loads(
        store.out(
            "log",
            "-1",
            "--format",
            "json",
            "--columns",
            "name,min(metrics.loss),count(loss),params.*,metrics.a*",
        )
    )
    assert found[0].keys() == {
        "name", "min(metrics.loss)", "count(loss)", "params.lr", "params.model", "params.seed",
        "metrics.acc",
    }  # fmt: skip
    assert found[0]["count(loss)"] == 12


def test_an_unknown_key_is_named(store: Project) -> None:
    for args in (["--where", "metrics.lss < 1"], ["--sort", "-metrics.lss"]):
        done = store.gittrack("log", *args)
        assert done.returncode == 0
        assert "no run has a metric 'lss'; did you mean 'loss'?" in done.stderr
    done = store.gittrack("log", "--where", "params.sed = 1")
    assert "no run has a param 'sed'; did you mean 'seed'?" in done.stderr


# -- names, show, diff, compare ---------------------------------------------------------------


def test_runs_go_by_their_best_metric_their_commit_and_their_experiment(store: Project) -> None:
    def name(text: str) -> str:
        return str(json.loads(store.out("show", text, "--format", "json"))["name"])

    assert name("@{best:metrics.loss}") == name("@{min:loss}")
    assert name("@{best:acc}") == name("@{max:last(metrics.acc)}")
    assert name("iris/@") == "run-12"
    assert name("iris/@{-1}") == "run-10"
    assert name("iris/run-0") == "run-0"
    assert name("@{-1}") == "run-12"
    store.commit("third")
    store.python("import gittrack\nwith gittrack.start_run(run_name='only'): pass")
    assert name("HEAD") == "only"
    done = store.gittrack("show", "HEAD~1")
    assert "'HEAD~1' stands for 6 runs" in done.stderr
    config = store.gittrack("show", "@{best:seed2}")
    assert config.returncode == 1
    store.write(".gittrack.yaml", "metrics:\n  minimize: [acc]\n")
    assert name("@{best:acc}") == name("@{min:acc}")


def test_a_prefix_that_several_begin_with_is_ambiguous_everywhere(store: Project) -> None:
    for command in ("show", "delete", "tag"):
        done = store.gittrack(command, "00000000", *(["a=b"] if command == "tag" else []))
        assert done.returncode == 1
        assert "'00000000' stands for" in done.stderr and "iris/run-" in done.stderr


def test_show_prints_the_parts_that_are_asked_for(store: Project) -> None:
    assert store.out("show", "run-1", "--params").splitlines() == [
        "Params", "    lr     0.05", "    model  rf", "    seed   1",
    ]  # fmt: skip
    assert store.out("show", "run-0", "--tags").splitlines() == ["Tags", "    team  vision"]
    assert "state   exact" in store.out("show", "run-1", "--source")
    assert "run.yaml" in store.out("show", "run-1", "--files")
    assert "▁" in store.out("show", "run-1", "--metrics")
    assert "▁" not in store.out("show", "run-1", "--metrics", PYTHONIOENCODING="ascii")
    done = store.gittrack("show", "run-1", "--stdout")
    assert (done.stdout, done.stderr) == ("", "run 'run-1' recorded no output\n")
    done = store.gittrack("show", "run-1", "--env")
    assert done.stdout == "" and "recorded no environment" in done.stderr
    page = store.out("show", "run-6")
    assert "and 84 more: gittrack show 000000000006 --params" in page
    assert "p119" not in page and "p119" in store.out("show", "run-6", "--params")


def test_output_and_environment_are_read_from_where_the_format_has_them(store: Project) -> None:
    from gittrack.core import codec
    from gittrack.store import layout
    from gittrack.store.git import Git
    from gittrack.store.paths import find_paths
    from gittrack.store.write import Tree, commit, read_ref
    from tests.cli.stores import ADA, run_id

    git = Git(find_paths(store.path, {}))
    digests = ("a" * 24, "b" * 24)
    files: dict[str, bytes | None] = {}
    for number, (digest, torch) in enumerate(zip(digests, ("2.1", "2.2"), strict=True)):
        folder = layout.run_dir(run_id(number))
        facts = codec.decode_mapping(store.read_blob(f"{layout.STORE_REF}:{folder}/run.yaml"))
        files[f"{folder}/run.yaml"] = codec.encode_mapping(facts | {"env": digest})
        environment = {"python": "3.11.9", "packages": {"torch": torch, "numpy": "2.0"}}
        files[layout.environment_file(f"{digest}.yaml")] = codec.encode_mapping(environment)
        files[f"{folder}/inputs.set.yaml"] = codec.encode_mapping(
            {"train": {"digest": f"md5:{number}", "size": number}}
        )
    files[f"{layout.run_dir(run_id(0))}/logs/w0-{'c' * 12}.txt"] = b"epoch 1\nepoch 2\n"
    tip = read_ref(git, layout.STORE_REF)
    commit(git, layout.STORE_REF, tip, Tree(files, "env\n"), ADA, 1, fsync=False)
    git.close()
    assert store.out("show", "run-0", "--stdout") == "epoch 1\nepoch 2\n"
    assert "packages.torch  2.1" in store.out("show", "run-0", "--env")
    text = store.out("diff", "run-0", "run-1")
    assert "~ packages.torch  2.1 -> 2.2" in text and "numpy" not in text
    assert "~ train  0 B  md5:0 -> 1 B  md5:1" in text
    assert "Environment" in store.out("show", "run-0")


def test_a_base_that_is_not_here_is_said(store: Project, tmp_path: Path) -> None:
    bare = Project.create(tmp_path / "other")
    other = Project(bare.path)
    other.git("fetch", "-q", store.path, "refs/gittrack/store/main:refs/gittrack/store/main")
    assert "base commit not here" in other.out("show", "run-0")
    assert "Code not known" in other.out("log", "--stat", "-1")
    done = other.gittrack("diff", "run-0", "run-1", "-p")
    assert done.returncode == 1 and "is not in this repository" in done.stderr
    assert "different; commit" in other.out("diff", "run-0", "run-1")


def test_diff_shows_the_code_as_git_does(store: Project) -> None:
    patch = store.out("diff", "run-0", "run-1", "-p")
    assert "-print('one')\n+print('two')\n" in patch
    assert patch == store.git("diff", "HEAD~1", "HEAD") + "\n"
    assert " model.py | 1 +" in store.out("diff", "run-0", "run-1", "--stat")
    store.git("config", "diff.noprefix", "true")
    assert "--- train.py" in store.out("diff", "run-0", "run-1", "-p"), "the user's diff settings"
    store.write("train.py", "print('now')\n")
    assert "+print('now')" in store.out("diff", "run-1", "-p")
    assert "~ train.py" in store.out("diff", "run-1")
    found = json.loads(store.out("diff", "run-1", "--format", "json"))
    assert found["source"]["files"] == [{"path": "train.py", "change": "changed"}]
    assert store.git("status", "--porcelain") == " M train.py"
    assert not list(Path(store.path, ".git").glob("objects/*/tmp_*"))


def test_diff_with_the_parent_all_values_and_directions(store: Project) -> None:
    assert store.out("diff", "--parent", "run-5") == store.out("diff", "run-4", "run-5")
    text = store.out("diff", "run-1", "run-3", "--all")
    assert "      model  rf\n" in text
    assert " worse" in text or " better" in text
    found = json.loads(store.out("diff", "run-1", "run-3", "--format", "json"))
    assert found["metrics"]["loss"]["better"] is (found["metrics"]["loss"]["absolute"] < 0)
    coloured = store.out("diff", "run-1", "run-3", "--color", "always")
    assert "python train.py" in re.sub(r"\x1b\[[0-9;]*m", "", coloured)


def test_changed_words_are_marked_in_colour(store: Project) -> None:
    store.out("tag", "run-1", "why=the quick fox")
    store.out("tag", "run-3", "why=the slow fox")
    text = store.out("diff", "run-1", "run-3", "--color", "always")
    assert "the \x1b[31mquick\x1b[m fox -> the \x1b[32mslow\x1b[m fox" in text


def test_compare_marks_the_baseline_and_shows_only_what_differs(store: Project) -> None:
    table = store.out("compare", "run-0", "run-2", "run-4", COLUMNS="120")
    head, _, base, *_ = table.splitlines()
    assert head.split()[:3] == ["run", "name", "acc"]
    assert base.startswith("000000000000* ") and "(" not in base
    assert "(+" in table and "model" not in head
    other = store.out("compare", "run-0", "run-2", "--baseline", "run-2")
    assert "000000000002*" in other
    turned = store.out("compare", "run-0", "run-2", "-T").splitlines()
    assert turned[0].split() == ["key", "000000000000*", "000000000002"]
    assert any(line.startswith("seed ") for line in turned)
    everything = store.out("compare", "run-0", "run-2", "--all", "-T")
    assert any(line.startswith("model ") for line in everything.splitlines())
    records = json.loads(store.out("compare", "HEAD", "--format", "json"))
    assert [record["baseline"] for record in records][:2] == [True, False]
    assert len(records) == len(numbers(store, "HEAD~1..HEAD")) + sum(
        "run-" not in name for name in names(store, "HEAD~1..HEAD")
    )


def test_a_table_says_which_columns_have_no_room(store: Project) -> None:
    done = store.gittrack("log", "--columns", "name,params.*", "-3", COLUMNS="40")
    assert done.returncode == 0
    done = store.gittrack(
        "log", "--columns", "name,params.*", "--where", "params.p001 = 1", COLUMNS="60"
    )
    assert "no room for" in done.stderr and "columns" in done.stderr


# -- edit ------------------------------------------------------------------------------------


def test_edits_from_the_command_line(store: Project) -> None:
    tip = store.git("rev-parse", "refs/gittrack/store/main")
    for args in (
        ["tag", "run-1", "a=b"], ["note", "run-1", "-m", "x"], ["rename", "run-1", "uno"],
        ["delete", "run-1", "run-2"], ["restore", "run-1"], ["experiments", "create", "x"],
        ["experiments", "rename", "iris", "x"], ["experiments", "delete", "iris"],
        ["experiments", "tag", "iris", "a=b"],
    ):  # fmt: skip
        assert store.out(*args, "--dry-run"), args
        assert store.gittrack(*args, "-n").stdout.startswith(("would ", "nothing to change")), args
    assert store.git("rev-parse", "refs/gittrack/store/main") == tip
    assert store.out("tag", "run-0", "--delete", "team", "new=1").splitlines() == [
        "removed tag team of 000000000000 run-0", "tagged 000000000000 run-0 new=1",
    ]  # fmt: skip
    assert store.out("rename", "run-1", "uno") == "renamed 000000000001 run-1 to uno\n"
    assert store.out("delete", "uno", "run-2").count("deleted ") == 2
    assert 2 not in numbers(store)
    assert store.out("restore", "uno") == "restored 000000000001 uno\n"
    assert store.out("restore", "uno") == "nothing to change: it is so already\n"
    assert store.git("log", "-1", "--format=%s", "refs/gittrack/store/main") == (
        "restore run 000000000001 [skip ci]"
    )
    store.out("experiments", "create", "new", "team=vision")
    store.out("experiments", "rename", "iris", "flowers")
    store.out("experiments", "tag", "new", "--delete", "team", "x=y")
    store.out("experiments", "delete", "flowers")
    assert all(name != "run-0" for name in names(store))
    listed = json.loads(store.out("experiments", "--all", "--format", "json"))
    assert {item["name"]: item["deleted"] for item in listed} == {
        "default": False, "flowers": True, "new": False,
    }  # fmt: skip
    done = store.gittrack("log", "--experiment", "flowers")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "experiment 'flowers' is deleted; --all lists its runs\n"
    said = store.python("import gittrack\nwith gittrack.start_run(experiment='flowers'): pass")
    assert "experiment 'flowers' is deleted" in said.stderr
    assert "gittrack experiments restore 'flowers'" in said.stderr
    store.out("experiments", "restore", "flowers")
    assert "run-0" in names(store)


def test_a_note_is_written_in_gits_editor(store: Project, tmp_path: Path) -> None:
    editor = tmp_path / "an editor"
    editor.write_text(
        '#!/bin/sh\nprintf "# gone\\n\\nmy words  \\n" > "$1.new"; mv "$1.new" "$1"\n'
    )
    editor.chmod(0o755)
    env = {"GIT_EDITOR": f"'{editor}'"}
    assert store.out("note", "run-1", **env) == "described 000000000001 run-1\n"
    assert json.loads(store.out("show", "run-1", "--format", "json"))["description"] == "my words"
    seen = tmp_path / "seen"
    assert "nothing to change" in store.out("note", "run-1", GIT_EDITOR=f"cp \"$1\" '{seen}'; true")
    message = Path(store.path, ".git", "gittrack", "NOTE_EDITMSG")
    assert not message.exists()
    message.mkdir()
    refused = store.gittrack("note", "run-1", GIT_EDITOR="true")
    assert refused.returncode == 1 and "the editor has no file to open" in refused.stderr
    message.rmdir()
    assert store.out("note", "run-1", "-m", "") == "removed the description of 000000000001 run-1\n"
    store.out("note", "run-1", "-m", "one", "-m", "two")
    assert json.loads(store.out("show", "run-1", "--format", "json"))["description"] == "one\n\ntwo"


def test_status_tells_what_is_not_shared(store: Project, tmp_path: Path) -> None:
    assert "not shared: no remote has runs" in store.out("status")
    tip = store.git("rev-parse", "refs/gittrack/store/main")
    store.git("update-ref", "refs/gittrack/remote/origin/store/main", tip)
    # What was once fetched from a remote that gets no runs says nothing.
    assert "not shared: no remote has runs" in store.out("status")
    store.git("remote", "add", "origin", "nowhere")
    store.out("remote", "share", "origin")
    assert "origin has all runs" in store.out("status")
    store.out("tag", "run-1", "a=b")
    store.python("import gittrack\nwith gittrack.start_run(): pass")
    assert "origin lacks 2 runs" in store.out("status")
    assert json.loads(store.out("status", "--format", "json"))["unpushed"] == {"origin": 2}
    assert "unpushed\torigin\t2\n" in store.out("status", "--porcelain")


# -- manners ---------------------------------------------------------------------------------


def on_a_terminal(store: Project, args: list[str], **env: str) -> str:
    """What a command shows on a real terminal of 24 x 80."""
    leader, follower = pty.openpty()
    # 80 columns: COLUMNS alone would do for us, less asks the terminal.
    import fcntl
    import struct
    import termios

    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    variables = {**environment(), "TERM": "xterm", **env}
    process = subprocess.Popen(
        [sys.executable, "-m", "gittrack", *args],
        cwd=store.path, env=variables, stdin=follower, stdout=follower, stderr=follower,
        start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        ready, _, _ = select.select([leader], [], [], 30)
        assert ready, shown
        try:
            data = os.read(leader, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(leader)
    assert process.wait(30) == 0, shown
    return shown.decode().replace("\r\n", "\n")


def test_a_pager_is_used_on_a_terminal_alone(store: Project) -> None:
    pager = "sed 's/^/paged: /'"
    assert store.out("log", "-1", GITTRACK_PAGER=pager) == store.out("log", "-1")
    shown = on_a_terminal(store, ["log", "-2"], GITTRACK_PAGER=pager)
    assert shown.startswith("paged: \x1b[33mrun 00000000000d")
    assert all(line.startswith("paged: ") for line in shown.splitlines())
    assert on_a_terminal(store, ["log", "-1"], GIT_PAGER=pager).startswith("paged: ")
    assert "paged" not in on_a_terminal(store, ["--no-pager", "log", "-1"], GIT_PAGER=pager)
    assert "paged" not in on_a_terminal(store, ["status"], GIT_PAGER=pager), "as git status"
    assert "paged" not in on_a_terminal(store, ["log", "-1"], GITTRACK_PAGER="")
    store.git("config", "core.pager", "sed 's/^/core: /'")
    variables = environment()
    variables.pop("GIT_PAGER", None)
    shown = on_a_terminal(store, ["log", "-1"], GITTRACK_PAGER="cat")
    assert "core" not in shown
    diff = on_a_terminal(store, ["diff", "run-0", "run-1", "-p"], GIT_PAGER=pager)
    assert "paged: " in diff and "print('two')" in diff, "git pages its own diff"


def test_less_gets_the_options_that_git_gives_it(store: Project) -> None:
    shown = on_a_terminal(store, ["log", "-1"], GITTRACK_PAGER="echo LESS=$LESS; cat")
    assert shown.startswith("LESS=FRX\n")
    assert on_a_terminal(store, ["log", "-1"], GITTRACK_PAGER="echo $LESS; cat", LESS="S")[0] == "S"


def test_a_pager_that_is_closed_early_is_no_error(store: Project) -> None:
    assert "run " in on_a_terminal(store, ["log"], GITTRACK_PAGER="head -n 1")


def test_an_error_is_not_paged(store: Project) -> None:
    done = store.gittrack("show", "nothing", GITTRACK_PAGER="sed s/^/paged/")
    assert done.returncode == 1 and done.stderr.startswith("error: ")


def test_colour_follows_gits_own_setting(store: Project) -> None:
    assert "\x1b[" in on_a_terminal(store, ["log", "-1"], GITTRACK_PAGER="cat")
    store.git("config", "color.ui", "never")
    assert "\x1b[" not in on_a_terminal(store, ["log", "-1"], GITTRACK_PAGER="cat")
    assert "\x1b[" in store.out("log", "-1", CLICOLOR_FORCE="1")
    store.git("config", "color.ui", "always")
    assert "\x1b[" in store.out("log", "-1")
    assert "\x1b[" not in store.out("log", "-1", NO_COLOR="1")
    assert "\x1b[" not in store.out("log", "-1", "--color", "never")


def test_git_gittrack_and_an_alias(store: Project, tmp_path: Path) -> None:
    shim = tmp_path / "bin" / "git-gittrack"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gittrack "$@"\n')
    shim.chmod(0o755)
    (shim.parent / "gittrack").symlink_to(shim)
    env = {**environment(), "PATH": f"{shim.parent}:{os.environ['PATH']}"}
    os.makedirs(f"{store.path}/below", exist_ok=True)
    store.git("config", "alias.runs", "!gittrack log --oneline")
    for command in (["git", "gittrack", "log", "--oneline"], ["git", "runs"]):
        done = subprocess.run(
            command, cwd=f"{store.path}/below", env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout == store.out("log", "--oneline")


# -- completion ------------------------------------------------------------------------------


def completions(store: Project, *words: str) -> list[str]:
    return [line.partition("\t")[0] for line in store.out("__complete", *words).splitlines()]


def test_completion_knows_commands_options_runs_keys_and_experiments(store: Project) -> None:
    assert completions(store, "lo") == ["log"]
    assert "experiments" in completions(store, "")
    assert completions(store, "log", "--since") == ["--since"]
    assert set(completions(store, "show", "run-1")) == {
        "run-1",
        "run-10",
        "run-11",
        "run-12",
        "run-13",
    }
    assert "@" in completions(store, "show", "")
    assert completions(store, "log", "--sort", "-metrics.a") == ["-metrics.acc"]
    assert completions(store, "log", "--columns", "name,params.l") == ["name,params.lr"]
    assert completions(store, "log", "--columns=params.l") == ["--columns=params.lr"]
    assert completions(store, "log", "--where", "metrics.loss < 1 and metrics.ac") == [
        "metrics.loss < 1 and metrics.acc"
    ]
    assert completions(store, "log", "--experiment", "i") == ["iris"]
    assert completions(store, "completion", "f") == ["fish"]
    assert completions(store, "diff", "run-1", "run-12") == ["run-12"]
    assert completions(store, "nonsense", "x") == []


def test_completion_never_fails(tmp_path: Path, store: Project) -> None:
    done = store.gittrack("__complete", "show", "x", cwd=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def bash(store: Project, tmp_path: Path, line: str) -> list[str]:
    """What bash itself offers for a line, with our script loaded."""
    shim = tmp_path / "bin" / "gittrack"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gittrack "$@"\n')
    shim.chmod(0o755)
    script = (
        'eval "$(gittrack completion bash)"\n'
        f"COMP_LINE={json.dumps(line)} COMP_POINT={len(line)}\n"
        '_gittrack\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    env = {**environment(), "PATH": f"{shim.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=store.path, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_script_works_in_a_real_bash(store: Project, tmp_path: Path) -> None:
    assert bash(store, tmp_path, "gittrack lo") == ["log"]
    assert bash(store, tmp_path, "gittrack show run-13") == ["run-13"]
    assert bash(store, tmp_path, "git gittrack show run-13") == ["run-13"]
    assert bash(store, tmp_path, "gittrack log --sort metrics.") == ["metrics.acc", "metrics.loss"]
    assert bash(store, tmp_path, "gittrack log --experiment ir") == ["iris"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells_parse(shell: str, store: Project, tmp_path: Path) -> None:
    script = store.out("completion", shell)
    assert "gittrack __complete" in script
    program = shutil.which(shell)
    if program is not None:  # they are not on every machine; their protocol is tested above
        path = tmp_path / "script"
        path.write_text(script)
        subprocess.run([program, "-n", str(path)], check=True)


# -- load ------------------------------------------------------------------------------------


@pytest.mark.deep
def test_huge_and_hostile_values_keep_every_page_readable(empty: Project) -> None:
    empty.python(
        "import gittrack\n"
        "for i in range(2):\n"
        "    with gittrack.start_run(run_name='n' * 300 + str(i)):\n"
        "        gittrack.log_params({'huge': 'x' * 1_000_000 + str(i), 'k' * 250: i,\n"
        "                             'evil': '\\x1b[31m' * 1000 + str(i)})\n"
        "        gittrack.log_metrics({f'metric/number-{k:04d}': k * (i + 1) / 7 for k in range(5000)})\n"
        "        gittrack.set_tag('wide', '\\u65e5\\u672c\\u8a9e' * 5000)\n"
    )
    empty.out("log")  # the index is made
    for width in (40, 80):
        for command, most in (
            ("log", 40), ("log --oneline", 2), ("log --format table", 8), ("show @", 80),
            ("log --only-changed", 60), ("compare @{-1} @", 8), ("history @", 12),
            ("diff @{-1} @", 15100), ("compare @{-1} @ -T", 5020), ("status", 12),
            ("diff @{-1} @ --format table", 5020), ("log --columns name,params.*,metrics.*", 6),
            ("show @ --params", 8), ("show @ --metrics", 5002),
        ):  # fmt: skip
            done = empty.gittrack(*command.split(), COLUMNS=str(width))
            assert done.returncode == 0, done.stderr
            lines = done.stdout.splitlines()
            assert len(lines) <= most, (command, len(lines))
            wide = [line for line in lines if width_of(line) > width]
            assert not wide, (command, width, wide[0])
            assert "\x1b" not in done.stdout + done.stderr
    turned = empty.out("compare", "@{-1}", "@", "-T", COLUMNS="80").splitlines()
    assert len(turned[0].split()) == 3, "both runs have their column beside long keys"
    full = json.loads(empty.out("show", "@", "--format", "json"))
    assert len(full["params"]["huge"]) == 1_000_001
    assert len(full["metrics"]) == 5000


def test_what_changes_something_can_be_asked_first(empty: Project, tmp_path: Path) -> None:
    assert empty.out("init", "--dry-run").startswith("would write refs/gittrack/store/main")
    assert empty.git("for-each-ref", "refs/gittrack") == ""
    script = (
        "import os, gittrack\nrun = gittrack.start_run(run_name='cut off')\n"
        "gittrack.log_metric('m', 1.0)\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=empty.path, env=environment(), check=False)
    said = empty.out("recover", "--dry-run")
    assert said.startswith("would recover ") and said.endswith("as killed, 1 point\n")
    assert empty.git("for-each-ref", "refs/gittrack") == ""
    assert empty.out("recover").startswith("recovered ")
    said = empty.out("checkout", "cut off", "--into", "../out", "--dry-run")
    assert said.startswith("would lay out 1 file of cut off")
    assert not (tmp_path / "out").exists()


def test_diff_and_compare_keep_the_machine_for_all(empty: Project) -> None:
    empty.python(
        "import gittrack\n"
        "for n in (1, 2):\n"
        "    with gittrack.start_run(f'r{n}'):\n"
        "        gittrack.log_metrics({'acc': n, 'system/cpu_utilization_percentage': n})\n"
    )
    for command in ("diff", "compare"):
        short = empty.gittrack(command, "r1", "r2")
        assert "acc" in short.stdout and "cpu" not in short.stdout
        assert short.stderr == "1 of the machine's metrics differ too: --all shows them\n"
        whole = empty.gittrack(command, "r1", "r2", "--all")
        assert "cpu" in whole.stdout and whole.stderr == ""
        assert "cpu" in empty.out(command, "r1", "r2", "--format", "json")
