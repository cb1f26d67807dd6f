from __future__ import annotations

import os
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gittrack import config
from gittrack.config import DEFAULTS, Config, describe, file, load, parse_git_config
from gittrack.config.example import render_example
from gittrack.config.settings import SETTINGS, VARIABLES, Setting, Value, render_value
from gittrack.errors import ConfigError
from tests.support import GitRepo

TOP = Path(__file__).parent.parent
BY_NAME = {setting.name: setting for setting in SETTINGS}

# One value of each setting that is not its default, as text and as a value.
CHANGED: dict[str, tuple[str | list[str], object]] = {
    "experiment": ("baseline", "baseline"),
    "source.capture": ("no", False),
    "source.untracked": (["conf/*.yaml", "a b"], ("conf/*.yaml", "a b")),
    "source.max_bytes": ("2m", 2 << 20),
    "source.withhold": (["*.pem"], ("*.pem",)),
    "environment.capture": ("false", False),
    "output.capture": ("no", False),
    "output.max_bytes": ("1m", 1 << 20),
    "redact.allow": ([r"gpt2-\w+", "a:b"], (r"gpt2-\w+", "a:b")),
    "artifacts.max_file_bytes": ("1_000", 1000),
    "artifacts.max_run_bytes": ("1G", 1 << 30),
    "artifacts.remote": ("big", "big"),
    "artifacts.remotes": (["a=s3://b/c", "a.region=eu"], ("a=s3://b/c", "a.region=eu")),
    "artifacts.local_remotes": (["a.password=x"], ("a.password=x",)),
    "params.max_bytes": ("0", 0),
    "params.capture_args": ("yes", True),
    "metrics.maximize": (["*/bleu"], ("*/bleu",)),
    "metrics.minimize": (["bits", "b/*"], ("bits", "b/*")),
    "run.params": (["conf/*.yaml"], ("conf/*.yaml",)),
    "run.metrics": (["out/*.json"], ("out/*.json",)),
    "run.history": (["a.csv", "b.csv"], ("a.csv", "b.csv")),
    "commits.record": ("Always", "always"),
    "commits.branches": (["main", "exp/*"], ("main", "exp/*")),
    "commits.marker": ("[exp]", "[exp]"),
    "commits.skip": ("[no run]", "[no run]"),
    "commits.experiment": ("commits", "commits"),
    "commits.params": (["train.yaml:model", "conf/*.toml"], ("train.yaml:model", "conf/*.toml")),
    "commits.metrics": (["out/**/*.tsv"], ("out/**/*.tsv",)),
    "commits.artifacts": (["reports/*.md"], ("reports/*.md",)),
    "commits.plots": (["a.svg"], ("a.svg",)),
    "system.metrics": ("on", True),
    "system.interval_s": ("0.5", 0.5),
    "seal.delay_s": ("1.25", 1.25),
    "seal.every_s": ("300", 300.0),
    "seal.fsync": ("OFF", False),
    "journal.heartbeat_s": ("5", 5.0),
    "journal.lost_after_s": ("61.5", 61.5),
    "journal.keep_days": ("30", 30),
    "store.max_packs": ("3", 3),
    "share.ref": ("refs/heads/gittrack/store", "refs/heads/gittrack/store"),
    "share.sources": ("no", False),
    "share.deadline_s": ("2.5", 2.5),
    "hooks.install": ("off", False),
    "hooks.trailer": ("on", True),
    "offline": ("1", True),
    "index.dir": ("/var/tmp/an index", "/var/tmp/an index"),
}


def from_file(folder: Path, text: str | bytes, git: Mapping[str, Sequence[str]] = {}) -> Config:
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (folder / ".gittrack.yaml").write_bytes(content)
    return load(str(folder), git, {})


def refused(folder: Path, text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        from_file(folder, text)
    return caught.value


# --- the table --------------------------------------------------------------------------------


def test_config_has_the_fields_and_types_of_the_table() -> None:
    assert list(Config._fields) == [setting.field for setting in SETTINGS]
    hints = typing.get_type_hints(Config)
    for setting in SETTINGS:
        kind = typing.get_origin(hints[setting.field]) or hints[setting.field]
        assert type(setting.default) is kind, setting.name
        assert type(CHANGED[setting.name][1]) is kind, setting.name


def test_no_two_settings_share_a_name_anywhere() -> None:
    for names in (
        [setting.name for setting in SETTINGS],
        [setting.variable for setting in SETTINGS] + [variable.name for variable in VARIABLES],
        [setting.git_key.lower() for setting in SETTINGS],
    ):
        assert len(set(names)) == len(names)


def test_names_in_the_environment_and_in_git_follow_from_the_name() -> None:
    setting = BY_NAME["source.max_bytes"]
    assert setting.variable == "GITTRACK_SOURCE_MAX_BYTES"
    assert setting.git_key == "gittrack.source.maxBytes"
    assert BY_NAME["experiment"].git_key == "gittrack.experiment"


def test_the_example_file_is_what_the_table_renders() -> None:
    assert (TOP / ".gittrack.example.yaml").read_text("utf-8") == render_example()


def test_the_example_file_changes_nothing_and_shows_everything(tmp_path: Path) -> None:
    text = render_example()
    assert max(map(len, text.splitlines())) <= 100
    assert from_file(tmp_path, text) == DEFAULTS
    origins = {line.name: line.origin for line in describe(str(tmp_path), {}, {})}
    for setting in SETTINGS:
        assert origins[setting.name].startswith(".gittrack.yaml:" if setting.shared else "default")
        assert setting.variable in text
        assert setting.git_key in text
        assert setting.meaning in text
    for variable in VARIABLES:
        assert f"#   {variable.name}={variable.takes}" in text


def test_with_nothing_set_the_defaults_hold_and_no_yaml_is_imported(tmp_path: Path) -> None:
    loaded = {name for name in sys.modules if name.startswith("ruamel")}
    assert load(None, {}, {}) == load(str(tmp_path), {}, {}) == DEFAULTS
    assert from_file(tmp_path, render_example()) == DEFAULTS
    assert {name for name in sys.modules if name.startswith("ruamel")} == loaded


@pytest.mark.parametrize(
    "ref",
    ["refs/heads/main", "refs/heads/gittrack", "refs/heads/gittrack/", "refs/heads/gittrack/../x",
     "refs/heads/gittrack/a b", "refs/heads/gittrack/a*", "refs/gittrack/store/other", "HEAD", ""],
)  # fmt: skip
def test_runs_are_pushed_to_no_ref_that_means_something_else(tmp_path: Path, ref: str) -> None:
    error = refused(tmp_path, f'share:\n  ref: "{ref}"\n')
    assert error.message.startswith("share.ref cannot be")


# --- the layers -------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_can_be_set_in_every_place(
    setting: Setting, tmp_path: Path, repo: GitRepo
) -> None:
    text, value = CHANGED[setting.name]
    texts = [text] if isinstance(text, str) else text
    expected = DEFAULTS._replace(**{setting.field: value})

    assert load(None, {}, {setting.variable: "\n".join(texts)}) == expected

    for item in texts:
        repo.git("config", "--add", setting.git_key, item)
    listed = parse_git_config(repo.git("config", "-z", "--list").encode())
    assert load(None, listed, {}) == expected

    head, dot, last = setting.name.rpartition(".")
    line = f"{last}: {render_value(text if isinstance(text, str) else tuple(text))}"
    content = f"{head}:\n  {line}\n" if dot else line
    if setting.shared:
        assert from_file(tmp_path, content) == expected
        assert from_file(tmp_path, f"{{{setting.name}: {line.partition(': ')[2]}}}") == expected
    else:
        error = refused(tmp_path, content)
        assert error.message == f"{setting.name} cannot be set in .gittrack.yaml"
        assert error.next == f"git config {setting.git_key} PATH"


def test_the_environment_wins_over_git_config_over_the_file(tmp_path: Path) -> None:
    git = {"gittrack.experiment": ["git"], "gittrack.seal.fsync": ["false"]}
    env = {"GITTRACK_EXPERIMENT": "env"}
    from_file(tmp_path, "experiment: file\nseal:\n  fsync: true\n  delay_s: 3\n")
    assert load(str(tmp_path), git, env) == DEFAULTS._replace(
        experiment="env", seal_fsync=False, seal_delay_s=3.0
    )
    assert load(str(tmp_path), git, {}).experiment == "git"
    assert load(str(tmp_path), {}, {}).experiment == "file"
    origins = {line.name: (line.value, line.origin) for line in describe(str(tmp_path), git, env)}
    assert origins["experiment"] == ("env", "environment GITTRACK_EXPERIMENT")
    assert origins["seal.fsync"] == ("false", "git config gittrack.seal.fsync")
    assert origins["seal.delay_s"] == ("3", ".gittrack.yaml:4")
    assert origins["store.max_packs"] == ("20", "default")


def test_describe_lists_the_environment_only_settings_last() -> None:
    lines = describe(None, {}, {"GITTRACK_REPO": "/srv/my runs"})
    assert [line.name for line in lines] == [s.name for s in SETTINGS] + [
        "GITTRACK_REPO",
        "GITTRACK_JOURNAL",
        "GITTRACK_RUN_ID",
        "GITTRACK_VIEWER",
        "GITTRACK",
    ]
    assert lines[-5] == ("GITTRACK_REPO", '"/srv/my runs"', "environment GITTRACK_REPO")
    assert lines[-4] == ("GITTRACK_JOURNAL", '""', "default")


def test_git_config_as_git_prints_it(repo: GitRepo) -> None:
    repo.sh("""
        git config gittrack.experiment first
        git config --add gittrack.experiment 'the second wins'
        git config --add gittrack.source.withhold '*.pem'
        git config --add gittrack.source.withhold ''
        git config --add gittrack.source.withhold '*.key'
        git config --add gittrack.source.withhold 'two
        lines'
        printf '[gittrack "source"]\\n\\tcapture\\n\\tMaxBytes = 5k\\n' >>.git/config
    """)
    git = parse_git_config(repo.git("config", "-z", "--list").encode())
    assert git["gittrack.source.withhold"] == ["*.pem", "", "*.key", "two\n        lines"]
    with pytest.raises(ConfigError, match=r"source\.withhold cannot be 'two\\n"):
        load(None, git, {})
    git["gittrack.source.withhold"].pop()
    loaded = load(None, git, {"GITTRACK_SOURCE_CAPTURE": ""})
    assert loaded == DEFAULTS._replace(
        experiment="the second wins", source_max_bytes=5120, source_withhold=("*.key",)
    )
    assert load(None, {"gittrack.source.withhold": ["a", ""]}, {}).source_withhold == ()


def test_a_list_in_the_environment_is_split_at_spaces_or_else_at_lines() -> None:
    name = "GITTRACK_SOURCE_UNTRACKED"
    assert load(None, {}, {name: " a*  b/c "}).source_untracked == ("a*", "b/c")
    assert load(None, {}, {name: "a b\n"}).source_untracked == ("a b",)
    assert load(None, {"gittrack.source.untracked": ["x"]}, {name: ""}).source_untracked == ("x",)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("experiment", "   "),
        ("experiment", "a\x1b[31m"),
        ("experiment", "a\udcff"),
        ("source.capture", "maybe"),
        ("source.capture", "2"),
        ("source.max_bytes", "-1"),
        ("source.max_bytes", "1.5"),
        ("source.max_bytes", "10 MB"),
        ("source.max_bytes", "٣"),
        ("source.max_bytes", "9" * 40),
        ("seal.delay_s", "nan"),
        ("seal.delay_s", "inf"),
        ("seal.delay_s", "1e400"),
        ("journal.keep_days", "7k"),
        ("journal.keep_days", "0"),
        ("journal.heartbeat_s", "0.5"),
        ("redact.allow", "("),
        ("source.withhold", "a\x07b"),
        ("index.dir", "/a\x00b"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(name: str, text: str) -> None:
    setting = BY_NAME[name]
    for git, env, where, fix in (
        ({}, {setting.variable: text}, "environment", f"unset {setting.variable}"),
        (
            {setting.git_key.lower(): [text]},
            {},
            "git config",
            f"git config --show-origin --get-all {setting.git_key}",
        ),
    ):
        if where == "environment" and setting.kind == "globs":
            text = text.replace(" ", "")
        with pytest.raises(ConfigError) as caught:
            load(None, git, env)
        error = caught.value
        assert error.message.startswith(f"{name} cannot be ")
        assert error.message.isprintable()
        assert error.why.startswith(where)
        assert f"it takes {setting.allowed}; the default is " in error.why
        assert error.next == fix


def test_a_wrong_value_in_the_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / ".gittrack.yaml"
    for text, line, shown in (
        ("# why\nsource:\n  max_bytes: lots\n", 3, "'lots'"),
        ("source: {\n  max_bytes: 'lots'}\n", 2, "'lots'"),
        ("source:\n  max_bytes:\n", 2, "nothing"),
        ("source:\n  max_bytes: ~\n", 2, "nothing"),
        ("source:\n  max_bytes: []\n", 2, "a list"),
    ):
        error = refused(tmp_path, text)
        assert error.message == f"source.max_bytes cannot be {shown}"
        assert error.why == (
            f"{path}:{line}: it takes a whole number of bytes; 10k, 10m and 1g count in steps"
            " of 1024; the default is 1000000"
        )
        assert error.next == f"correct {path}:{line}"
    assert refused(tmp_path, "redact:\n  allow: x\n").message == "redact.allow cannot be 'x'"
    assert refused(tmp_path, "source: {untracked: ['']}").message == "source.untracked cannot be ''"
    long = refused(tmp_path, "source:\n  capture: " + "x" * 500)
    assert len(long.message) < 120


def test_text_that_yaml_reads_as_something_else_stays_text(tmp_path: Path) -> None:
    for text in ("no", "010", "1e3", "2026-11-23", "1_000", "=", "'null'", '"~"', "yes # ok"):
        expected = text.partition(" #")[0].strip("'\"")
        assert from_file(tmp_path, f"experiment: {text}").experiment == expected
    assert refused(tmp_path, "experiment: null").message == "experiment cannot be nothing"


def test_an_unknown_setting_in_the_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / ".gittrack.yaml"
    error = refused(tmp_path, "source:\n  max_byte: 5\n")
    assert error.message == "unknown setting source.max_byte"
    assert error.why == (
        f"{path}:2: there is source.capture, source.untracked, source.max_bytes,"
        " source.withhold; did you mean source.max_bytes?"
    )
    assert "did you mean source.max_bytes?" in refused(tmp_path, "sorce: {max-bytes: 5}").why
    assert refused(tmp_path, "zebra: 5").why == f"{path}:1: no setting has that name"
    group = refused(tmp_path, "source: 5")
    assert group.message == "source is a group of settings, not a setting"
    assert refused(tmp_path, '"a\\e[31m": 5').message.isprintable()
    assert from_file(tmp_path, "source:\nseal:\n") == DEFAULTS


def test_a_setting_given_twice_is_refused(tmp_path: Path) -> None:
    for text in (
        "experiment: a\n\nexperiment: b\n",
        "{experiment: a,\n\nexperiment: b}\n",
        "source:\n  capture: no\nsource.capture: yes\n",
    ):
        error = refused(tmp_path, text)
        assert error.message.endswith("is set twice")
        assert error.next == f"correct {tmp_path}/.gittrack.yaml:3"


def test_an_unknown_key_in_git_config_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"gittrack.Source.maxbyte": ["5"]}, {})
    assert caught.value.message == "unknown setting in git config: gittrack.Source.maxbyte"
    assert "did you mean gittrack.source.maxBytes?" in caught.value.why
    assert caught.value.next == "git config --show-origin --get-all gittrack.Source.maxbyte"


def test_a_variable_of_ours_that_is_unknown_is_refused_and_others_are_left_alone() -> None:
    for name, near in (
        ("GITTRACK_SOURCE_MAXBYTES", "GITTRACK_SOURCE_MAX_BYTES"),
        ("GITTRACK_EXPERIMNET", "GITTRACK_EXPERIMENT"),
        ("GITTRACK_REPOS", "GITTRACK_REPO"),
        ("GITTRACK_JOURNAL_ZEBRA", ""),
    ):
        with pytest.raises(ConfigError) as caught:
            load(None, {}, {name: ""})
        assert caught.value.message == f"unknown environment variable {name}"
        assert caught.value.next == f"unset {name}"
        assert (f"did you mean {near}?" in caught.value.why) == bool(near)
    ours = {"GITTRACK_REPO": "/x", "GITTRACK_JOURNAL": "/y"}
    theirs = {"GITTRACK_RUN_ID": "1", "MY_GITTRACK_X": "", "GITTRACK_": "", "GITTRACKER_SOURCE": ""}
    assert load(None, {}, ours | theirs) == DEFAULTS


def test_a_run_must_not_be_lost_between_two_heartbeats(tmp_path: Path) -> None:
    git = {"gittrack.journal.lostafters": ["30"]}
    with pytest.raises(ConfigError) as caught:
        load(None, git, {})
    assert caught.value.message == (
        "journal.lost_after_s (30, git config gittrack.journal.lostAfterS) must be more than"
        " journal.heartbeat_s (60, default)"
    )
    assert load(None, git, {"GITTRACK_JOURNAL_HEARTBEAT_S": "10"}).journal_heartbeat_s == 10


# --- hostile files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("experiment: !!python/object/apply:os.system [id]", "tags, anchors and aliases"),
        ("experiment: !!str x", "tags, anchors and aliases"),
        ("experiment: ! x", "tags, anchors and aliases"),
        ("source: !!map {}", "tags, anchors and aliases"),
        ("!!map {}", "tags, anchors and aliases"),
        ("source: &a {capture: no}", "tags, anchors and aliases"),
        ("source: {untracked: &a [x]}", "tags, anchors and aliases"),
        ("experiment: &a x\nsource: {untracked: [*a]}", "tags, anchors and aliases"),
        ("experiment: *a", "tags, anchors and aliases"),
        ("source: {untracked: [[x]]}", "belongs here"),
        ("? [a]\n: b", "belongs here"),
        ("source: {capture: {deep: yes}}", "one level deep"),
        ("{a: " * 10_000, "one level deep"),
        ("source:\n  untracked: " + "[" * 30_000, "belongs here"),
        ("- experiment", "belongs here"),
        ("just text", "it must be settings"),
        ("experiment: a\n---\nexperiment: b", "second YAML document"),
        ("experiment: [", "not YAML"),
        ("experiment: \tx\n\ty: z", "not YAML"),
        ('experiment: "\\UFFFFFFFF"', "not YAML"),
        ('experiment: "\\uZZZZ"', "not YAML"),
        ("experiment: a\x00b", "not YAML"),
        (b"experiment: a\n# caf\xe9\n", "not UTF-8"),
        ("experiment: \ud800", "not UTF-8"),
        ("#" * 65_537, "at most 64 KiB"),
    ],
)
def test_a_file_that_is_not_plainly_settings_is_refused(
    text: str | bytes, why: str, tmp_path: Path
) -> None:
    error = refused(tmp_path, text)
    assert why in error.why
    assert error.message.startswith(f"{tmp_path}/.gittrack.yaml")
    assert error.message.endswith(" cannot be used")


def test_the_file_may_hold_nothing_or_a_byte_order_mark_or_carriage_returns(tmp_path: Path) -> None:
    for nothing in ("", "\n", "# only words\n", "---\n", "--- ~\n", "{}", "#" * 65_536):
        assert from_file(tmp_path, nothing) == DEFAULTS
    windows = b"\xef\xbb\xbfseal:\r\n  fsync: no\r\n"
    assert from_file(tmp_path, windows) == DEFAULTS._replace(seal_fsync=False)


def test_what_is_no_plain_file_neither_blocks_nor_crashes(tmp_path: Path) -> None:
    path = tmp_path / ".gittrack.yaml"
    path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="cannot be used"):
        load(str(tmp_path), {}, {})
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        load(str(tmp_path), {}, {})
    path.rmdir()
    os.mkfifo(path)
    assert load(str(tmp_path), {}, {}) == DEFAULTS
    writer = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(ConfigError, match="no plain file"):
            load(str(tmp_path), {}, {})
    finally:
        os.close(writer)
    path.unlink()
    path.symlink_to("nowhere")
    assert load(str(tmp_path), {}, {}) == DEFAULTS


# --- laws -------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["a", "source", "allow", "true", "null", "~", "1.5e3", '""', '"a b"', "[]", "[a]", "x y", "'q'",
     "a#b", "a: b", "...", "---", "-", "- -", "/x.y", "{}", "|", "&a", "%"]
)  # fmt: skip
LINES = st.builds(
    lambda indent, start, word, end: " " * indent + start + word + end,
    st.integers(0, 4),
    st.sampled_from(["", "- ", "-", "a: ", "b:", "source: ", "a.b: ", "a:  ", "# "]),
    WORDS | st.just(""),
    st.sampled_from(["", " ", " # c", "#c", "\t"]),
)


@given(st.lists(LINES, max_size=7).map("\n".join))
def test_the_quick_reader_reads_only_what_it_reads_as_yaml_does(text: str) -> None:
    quick = file._read_plain(text)
    if quick is not None:
        assert quick == file._read_yaml(text, "f")


@given(st.text(max_size=80) | st.lists(LINES, max_size=7).map("\n".join))
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    try:
        entries = file._read_yaml(text, "f")
    except ConfigError as error:
        assert error.message.startswith("f")
    else:
        assert all(entry.line >= 1 for entry in entries)


ONE_LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
VALUES = (
    st.booleans()
    | st.integers(0, 10**12)
    | st.floats(0, 1e6).map(lambda x: round(x, 6))
    | ONE_LINE
    | st.sampled_from(["", "null", "NULL", "~", "---", "...", "[]", "{}", "# a", "a # b", "- a"])
    | st.lists(ONE_LINE).map(tuple)
)


@given(VALUES)
def test_a_value_is_read_back_from_how_it_is_shown(value: Value) -> None:
    kind = {bool: "flag", int: "count", float: "seconds", str: "text", tuple: "globs"}[type(value)]
    setting = Setting("x", kind, "" if kind == "text" else (), "", "")
    (entry,) = file._read_yaml(f"x: {render_value(value)}", "f")
    if isinstance(entry.raw, list):
        assert config._parse_list(setting, entry.raw, "", "") == value
    else:
        assert entry.raw is not None
        assert config._parse(setting, entry.raw, "", "") == value
