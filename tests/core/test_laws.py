"""The laws of a run's files: what an honest writer writes breaks none, and nothing breaks the check."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gittrack.core import codec, kept, laws, names
from gittrack.core.laws import BROKEN, DAMAGED, ODD, Fault, File, RunLaws, check_environment
from gittrack.core.model import Artifact, Stamp
from gittrack.core.record import warning_key
from gittrack.core.schema import shown
from gittrack.store import layout
from tests.cli.stores import run_files, run_id

RUN = "20260101-000000-0123456789ab"
NOW_MS = 1_800_000_000_000


def files_of(contents: dict[str, bytes]) -> dict[str, File]:
    return {
        name: File(codec.blob_id(data, "sha1"), len(data), data) for name, data in contents.items()
    }


def check(contents: dict[str, bytes], lost: tuple[str, ...] = (), run: str = RUN) -> list[Fault]:
    return RunLaws(run, files_of(contents), lost, NOW_MS).check()[0]


def facts(**more: object) -> bytes:
    return codec.encode_mapping({"id": RUN, "start": "2026-01-01T00:00:00.000Z", **more})


def notes(**values: object) -> bytes:
    return codec.encode_stamps({key: Stamp(value, 1, "w") for key, value in values.items()})


# -- what is honest --------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(15))
def test_runs_that_are_as_they_should_be(number: int) -> None:
    folder = layout.run_dir(run_id(number))
    contents = {
        path.removeprefix(f"{folder}/"): data
        for path, data in run_files(number, "a" * 40, "b" * 40).items()
    }
    faults, mentions = RunLaws(run_id(number), files_of(contents), (), NOW_MS).check()
    assert faults == []
    assert mentions.is_whole
    assert mentions.experiment in (names.experiment_id("iris"), "default-37a8eec1")
    ((name, source),) = mentions.sources
    assert (name, source.commit, source.tree) == ("run.yaml", "a" * 40, "b" * 40)


NUMBERS = st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf])
POINTS = st.lists(
    st.tuples(
        st.text('ab,"\n é', min_size=1, max_size=5).filter(lambda key: "\n" not in key),
        st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3),
        st.integers(0, 2**53),
        NUMBERS.map(repr),
    ),
    max_size=30,
)


@given(st.lists(POINTS, min_size=1, max_size=4))
def test_points_of_any_writers(parts: list[list[codec.Row]]) -> None:
    """Segments and their summary, whoever wrote which points, some of them twice."""
    written = {}
    for number, rows in enumerate(parts):
        data = codec.encode_points(rows)
        written[codec.segment_name(f"w{number}", data)] = data
    merged: dict[str, codec.MetricSummary] = {}
    for data in written.values():
        by_key: dict[str, list[codec.Point]] = {}
        for key, *point in codec.decode_rows(data):
            by_key.setdefault(key, []).append(tuple(point))  # type: ignore[arg-type]
        distinct = {key: codec.distinct(points) for key, points in by_key.items()}
        merged = codec.merge_summaries(merged, codec.summarise_points(distinct))
    contents = {f"metrics/{name}": data for name, data in written.items()}
    contents["metrics.yaml"] = codec.encode_summaries(sorted(written), merged)
    contents["run.yaml"] = facts()
    # What the join of two clones computes anew is right as well.
    rows = {row for data in written.values() for row in codec.decode_rows(data)}
    again = codec.encode_summaries(sorted(written), codec.summarise_rows(rows))
    assert check(contents) == []
    assert check({**contents, "metrics.yaml": again}) == []


@given(st.lists(POINTS.filter(bool), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_any_other_summary_is_odd(parts: list[list[codec.Row]], chance: random.Random) -> None:
    written = {}
    for rows in parts:
        data = codec.encode_points(dict.fromkeys(rows))
        written[codec.segment_name("w", data)] = data
    rows = {row for data in written.values() for row in codec.decode_rows(data)}
    summary = codec.summarise_rows(rows)
    key = chance.choice(sorted(summary))
    field = chance.choice(["last", "last_step", "last_time_ms", "min", "max", "count"])
    value = getattr(summary[key], field)
    other = 7.5 if isinstance(value, float) else (value + 1_000 if value < 0 else value - 1_000)
    if value == other:
        return
    summary[key] = summary[key]._replace(**{field: other})
    contents = {f"metrics/{name}": data for name, data in written.items()}
    contents["metrics.yaml"] = codec.encode_summaries(sorted(written), summary)
    contents["run.yaml"] = facts()
    assert [(f.path, f.severity) for f in check(contents)] == [("metrics.yaml", ODD)]


def test_artifacts_beside_their_folders() -> None:
    paths = ["a", "a/b", "a/b/c", ".env", "été", "x" * 300, "con.txt", "dvc.yaml"]
    entries, contents = {}, {"run.yaml": facts()}
    for path in paths:
        data = path.encode()
        blob = codec.blob_id(data, "sha1")
        entries[path] = Stamp({"blob": blob, "mode": "644", "size": len(data)}, 1, "w")
        is_parent = any(other.startswith(f"{path}/") for other in paths)
        contents[f"artifacts/{names.encode_path(path, is_parent=is_parent)}"] = data
    entries["gone"] = Stamp(None, 1, "w")
    large = Artifact("models/in dvc", 5, "755", None, "0" * 32)
    layers = [Artifact(f, 9, "644", None, f"{d * 32}.dir", 2) for f in ("", "a") for d in "12"]
    for artifact in (large, *layers):
        assert artifact.md5 is not None
        key = artifact.path
        if artifact.files is not None:
            key = kept.layer_key(artifact.path, artifact.md5)
        name = kept.file_name(key, is_parent=False, is_pointer=True)
        entries[key] = Stamp(kept.entry_of(artifact), 1, "w")
        contents[f"artifacts/{name}"] = kept.encode_pointer(key, artifact)
    contents["artifacts.yaml"] = codec.encode_stamps(entries)
    assert len(contents) == len(paths) + 7
    assert check(contents) == []
    name = "artifacts/models/in dvc.dvc"
    assert check({**contents, name: contents[name].replace(b"size: 5", b"size: 6")}) == [
        Fault(name, "is not the pointer that artifacts.yaml asks for", "broken")
    ]
    del contents[name]
    assert check(contents) == [
        Fault(name, "has an entry in artifacts.yaml and is missing", "damaged")
    ]


def test_what_is_lost_is_not_missed() -> None:
    """What cannot be read was named; nothing is concluded from its absence."""
    segment = codec.encode_points([("m", 0, 1, "1.0")])
    name = codec.segment_name("w", segment)
    entry = Stamp({"blob": codec.blob_id(b"x", "sha1"), "mode": "644", "size": 1}, 1, "w")
    contents = {
        "run.yaml": facts(),
        "artifacts.yaml": codec.encode_stamps({"x": entry}),
        "artifacts/x": b"x",
        f"metrics/{name}": segment,
        "metrics.yaml": codec.encode_summaries([name], codec.summarise_rows([("m", 0, 1, "1.0")])),
        "writers/w.yaml": b"",
        "writers/w.end.yaml": b"",
    }
    assert check(contents) == []
    for gone in (*contents, "metrics", "artifacts", "writers"):
        rest = {n: d for n, d in contents.items() if n != gone and not n.startswith(f"{gone}/")}
        faults, mentions = RunLaws(RUN, files_of(rest), (gone,), NOW_MS).check()
        assert faults == [], gone
        assert not mentions.is_whole


# -- what is not -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({}, [("run.yaml", DAMAGED)]),
        ({"run.yaml": facts(rank="0", argv=[1], env="x")}, [("run.yaml", BROKEN)] * 3),
        ({"run.yaml": facts(dirty="yes", tree="HEAD", parent=5)}, [("run.yaml", BROKEN)] * 3),
        ({"run.yaml": facts(), "notes.yaml": notes(name=5, exit="0")}, [("notes.yaml", BROKEN)] * 2),
        ({"run.yaml": facts(), "notes.yaml": notes(exit=True)}, [("notes.yaml", BROKEN)]),
        ({"run.yaml": facts(), "notes.yaml": notes(name=None, exit=None, deleted=None)}, []),
        (
            {"run.yaml": facts(), "notes.yaml": notes(**{warning_key("w"): "w", "tags.a": None})},
            [],
        ),
        ({"run.yaml": facts(), "notes.yaml": b"rubbish"}, [("notes.yaml", DAMAGED)]),
        ({"run.yaml": facts(), "params.yaml": b"a: 1\na: 2\n"}, [("params.yaml", DAMAGED)]),
        ({"run.yaml": facts(), "params.yaml": b"b: 1\na: 2\n"}, [("params.yaml", ODD)]),
        ({"run.yaml": facts(), "params.yaml": b'a: ""\n"": 1\n'}, [("params.yaml", ODD), ("params.yaml", BROKEN)]),
        ({"run.yaml": facts(), "params.yaml": b"a: [{b: 1}]\n"}, [("params.yaml", BROKEN)]),
        ({"run.yaml": facts(), "a/b.map.yaml": b"x: 1\n"}, [("a/b.map.yaml", DAMAGED)]),
        ({"run.yaml": facts(), "conflicts.set.yaml": b"a: 1\n"}, [("conflicts.set.yaml", DAMAGED)]),
        ({"run.yaml": facts(), "conflicts/run.yaml": b"a"}, [("conflicts/run.yaml", BROKEN)]),
        ({"run.yaml": facts(), "logs/a.txt": b"a"}, [("logs/a.txt", BROKEN)]),
        ({"run.yaml": facts(), "artifacts/a": b"a"}, [("artifacts/a", BROKEN)]),
        (
            {"run.yaml": facts(), "artifacts.yaml": notes(**{"../a": {"blob": 5}}), "artifacts/a": b"a"},
            [("artifacts.yaml", BROKEN)] * 2 + [("artifacts/a", BROKEN)],
        ),
        ({"run.yaml": facts(), "artifacts.yaml": notes(a=5)}, [("artifacts.yaml", BROKEN)]),
        ({"run.yaml": facts(), "source.yaml": b"files: [\"a\"]\n"}, [("source.yaml", BROKEN)]),
        ({"run.yaml": facts(), "source.yaml": b"overlay: \"0123456789ab\"\n"}, [("source.yaml", BROKEN)]),
        ({"run.yaml": facts(), "disk.yaml": b"overlay: \"../x\"\n"}, [("disk.yaml", DAMAGED)]),
        ({"run.yaml": facts(), "source.yaml": b"withheld: [1]\n"}, [("source.yaml", DAMAGED)]),
    ],
)  # fmt: skip
def test_faults(contents: dict[str, bytes], expected: list[tuple[str, str]]) -> None:
    assert [(fault.path, fault.severity) for fault in check(contents)] == expected


def test_what_a_run_names() -> None:
    env = "5df1a2ab09f0d12ce0f0a6b5"
    contents = {
        "run.yaml": facts(experiment="e-01234567", env=env),
        "writers/w.yaml": codec.encode_mapping({"env": "1" * 24}),
        "writers/w.end.yaml": codec.encode_mapping({"env": "2" * 24}),
        "source.yaml": b'files: ["a"]\noverlay: "7946f1701befa4d3bd4930fe"\n',
        "disk.yaml": codec.encode_mapping({"commit": "c" * 40, "deleted": ["x"]}),
    }
    faults, mentions = RunLaws(RUN, files_of(contents), (), NOW_MS).check()
    assert faults == []
    assert mentions.experiment == "e-01234567"
    assert mentions.environments == (("run.yaml", env), ("writers/w.yaml", "1" * 24))
    assert [(name, s.overlay, s.commit) for name, s in mentions.sources] == [
        ("source.yaml", "7946f1701befa4d3bd4930fe", None),
        ("disk.yaml", None, "c" * 40),
    ]


def test_stamps_of_the_future() -> None:
    late = NOW_MS + 86_400_001
    stamps = {"tags.b": Stamp("x", late + 5, "w2"), "tags.a": Stamp("x", late, "w1")}
    data = codec.encode_stamps({**stamps, "tags.c": Stamp("x", NOW_MS + 1000, "w3")})
    (fault,) = check({"run.yaml": facts(), "notes.yaml": data})
    # The first one's clock was wrong; those who came later had to pass it.
    assert fault == Fault(
        "notes.yaml",
        "'tags.a' was written by w1 in the future, at 2027-01-16T08:00:00.001Z",
        ODD,
    )
    for t in (2**53 - 1, 10**15):
        data = codec.encode_stamps({"tags.a": Stamp("x", t, "w")})
        assert [f.severity for f in check({"run.yaml": facts(), "notes.yaml": data})] == [ODD]


def test_environments_and_locks_are_named_by_their_bytes() -> None:
    from hashlib import sha256

    data = b'python: "3"\n'
    digest = sha256(data).hexdigest()
    assert check_environment(f"env/ab/{digest[:24]}.yaml", data) == []
    assert check_environment(f"env/ab/{digest}.environment.yaml", data) == []
    assert check_environment(f"env/ab/{digest}.uv.lock", data) == []
    for name in (f"{digest[:23]}0.yaml", f"{digest[:24]}.yml", f"{digest[:40]}.uv.lock", "x"):
        (fault,) = check_environment(f"env/ab/{name}", data)
        assert (fault.path, fault.severity) == (f"env/ab/{name}", BROKEN)
    junk = b"\xff"
    (fault,) = check_environment(f"env/ab/{sha256(junk).hexdigest()[:24]}.yaml", junk)
    assert fault.severity == DAMAGED


def test_a_value_in_a_sentence_is_short() -> None:
    assert shown("x") == "'x'"
    assert len(shown(["x" * 1000])) == 60


# -- whatever comes --------------------------------------------------------------------------

FILE_NAMES = st.sampled_from(
    ["run.yaml", "params.yaml", "notes.yaml", "metrics.yaml", "artifacts.yaml", "source.yaml",
     "disk.yaml", "inputs.set.yaml", "conflicts.set.yaml", "writers/w.yaml", "writers/w.end.yaml",
     "metrics/w-0.csv", "logs/x", "artifacts/a/b", "conflicts/x", "x/y.map.yaml", "z"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
KEYS = st.sampled_from(
    ["id", "start", "argv", "commit", "dirty", "env", "name", "end", "status", "exit", "tags.a",
     "warnings.0", "files", "modes", "overlay", "withheld", "gitlinks", "of", "metrics.m", "a", "../b"]
)  # fmt: skip
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=4).map(codec.encode_mapping)
STAMPS = st.dictionaries(
    KEYS, st.builds(Stamp, VALUES, st.integers(0, 2**53 - 1), st.text(max_size=4)), max_size=4
).map(codec.encode_stamps)
CONTENTS = st.dictionaries(
    FILE_NAMES,
    MAPPINGS | STAMPS | st.binary(max_size=40)
    | POINTS.map(codec.encode_points) | st.just(b"key,step,time_ms,value\nm,1,1,x\n"),
    max_size=6,
)  # fmt: skip


@given(CONTENTS, st.lists(FILE_NAMES, max_size=2))
def test_nothing_breaks_the_check(contents: dict[str, bytes], lost: list[str]) -> None:
    present = {name: data for name, data in contents.items() if name not in lost}
    faults, mentions = RunLaws(RUN, files_of(present), lost, NOW_MS).check()
    assert all(fault.severity in laws.SEVERITIES and fault.what for fault in faults)
    assert mentions.is_whole is (not lost and all(fault.severity != DAMAGED for fault in faults))
    for name in present:
        if laws.is_yaml(name):
            laws.check_yaml(name, present[name], NOW_MS)
    list(laws.check_experiment("x-01234567", files_of(present), lost, NOW_MS))
    laws.check_store(next(iter(present.values()), b""))
