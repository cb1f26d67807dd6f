"""The join is commutative, associative and idempotent, and loses nothing acknowledged."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gittrack.core import codec, kept
from gittrack.core.join import FileClass, entity_of, file_class, join, join_entity
from gittrack.core.model import Artifact, Metric, MetricSummary, Stamp

RUN = "runs/2026-11/23/15/20261123-153012-7f3a9c1d2b4e"
OTHER = "runs/x/ab/foreign-1"
EXPERIMENT = "experiments/default-37a8eec1"

scalars = st.sampled_from([None, True, False, 1, 1.0, 0, -0.0, "1", "a", math.nan, math.inf, "é"])
stamps = st.dictionaries(
    st.sampled_from(["name", "status", "tags.a", "tags.b", "deleted"]),
    st.builds(Stamp, scalars, st.integers(0, 4), st.sampled_from(["aa", "bb"])),
    max_size=4,
)
damaged = st.sampled_from(
    [None, None, None, b"\xff", b"- a\n", b"a: &x 1\n", b"a: {t: 1}\n", b"d: 2020-01-01\n"]
)
mappings = st.dictionaries(st.sampled_from(["lr", "n", "a/b", "yes"]), scalars, max_size=4)


@st.composite
def entities(draw: st.DrawFn) -> dict[str, bytes]:
    """The files of one entity as some replica may hold them."""
    files: dict[str, bytes] = {}
    if draw(st.booleans()):
        files["run.yaml"] = draw(st.sampled_from([b"id: 1\n", b"id: 2\n", b"id: 3\n"]))
    # Now and then a file that a crash, a bad program or a bad hand has damaged.
    if draw(st.booleans()):
        files["notes.yaml"] = draw(damaged) or codec.encode_stamps(draw(stamps))
    if draw(st.booleans()):
        files["params.yaml"] = draw(damaged) or codec.encode_mapping(draw(mappings))
    if draw(st.integers(0, 3)) == 0:
        files["conflicts.set.yaml"] = draw(damaged) or b'params.yaml:lr: ["1", "x"]\n'
    if draw(st.booleans()):
        files["heads.events"] = draw(st.sampled_from([b"a\n", b"b\n", b"a\nb\n"]))
    if draw(st.booleans()):
        # A tree holds a file or a folder of one name; two clones may hold one each.
        path = draw(st.sampled_from(["unknown.bin", "unknown.bin/x", "unknown.bin/x/y"]))
        files[path] = draw(st.binary(max_size=2))
    segments = draw(st.sets(st.sampled_from(["w1", "w2", "w3"])))
    of = []
    for writer in segments:
        data = codec.encode_points([("m", 1, 2, f"{len(writer)}.0")])
        name = codec.segment_name(writer, data)
        files[f"metrics/{name}"] = data
        of.append(name)
    if segments:
        summary = {"m": MetricSummary(2.0, 1, 2, 2.0, 2.0, len(of))}
        files["metrics.yaml"] = codec.encode_summaries(of, summary)
    entries = {}
    for path in draw(st.sets(st.sampled_from(["a", "a/b", "c", f"a//{'1' * 12}"]))):
        data = draw(st.sampled_from([b"1", b"2"]))
        # Whoever writes an entry writes its file, so the entry names the bytes.
        value = {"blob": codec.blob_id(data, "sha1"), "mode": "644", "size": len(data)}
        if "//" in path or draw(st.booleans()):
            artifact = Artifact(path, len(data), md5=("1" if "//" in path else data.decode()) * 32)
            value, data = kept.entry_of(artifact), kept.encode_pointer(path, artifact)
        entries[path] = (Stamp(value, draw(st.integers(0, 3)), "aa"), data)
    parents = kept.parents_of(entries)
    for path, (stamp, data) in entries.items():
        is_pointer = kept.is_pointer(stamp.v)
        name = kept.file_name(path, is_parent=path in parents, is_pointer=is_pointer)
        files[f"artifacts/{name}"] = data
    if entries:
        stamps_ = {p: s for p, (s, _) in entries.items()}
        files["artifacts.yaml"] = draw(damaged) or codec.encode_stamps(stamps_)
    return files


@st.composite
def stores(draw: st.DrawFn) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for folder in draw(st.sets(st.sampled_from([RUN, OTHER, EXPERIMENT]))):
        files.update({f"{folder}/{name}": data for name, data in draw(entities()).items()})
    if draw(st.booleans()):
        numbers = {"format": draw(st.integers(1, 3)), "epoch": draw(st.integers(0, 2))}
        files["store.yaml"] = codec.encode_mapping(numbers)
    if draw(st.integers(0, 4)) == 0:
        files["tombstones/run/00/20261123-153012-7f3a9c1d2b4e"] = b""
    if draw(st.booleans()):
        files["env/ab/abcd.yaml"] = b"python: 3\n"
    return files


@given(stores())
def test_idempotent(a: dict[str, bytes]) -> None:
    once = join(a, a)
    assert join(once, a) == once
    assert join(once, once) == once


@given(stores(), stores())
def test_commutative(a: dict[str, bytes], b: dict[str, bytes]) -> None:
    assert join(a, b) == join(b, a)


@given(stores(), stores(), stores())
def test_associative(a: dict[str, bytes], b: dict[str, bytes], c: dict[str, bytes]) -> None:
    assert join(a, join(b, c)) == join(join(a, b), c)


@given(stores(), stores())
def test_absorbing(a: dict[str, bytes], b: dict[str, bytes]) -> None:
    both = join(a, b)
    assert join(both, a) == both
    assert join(both, b) == both


# -- histories -------------------------------------------------------------------------------

actions = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["tag", "point", "param", "pull", "pull", "purge"]),
        st.integers(0, 2),
        st.integers(0, 5),
    ),
    max_size=25,
)


@settings(max_examples=400)
@given(actions=actions, skews=st.lists(st.integers(-5, 5), min_size=3, max_size=3))
def test_no_acknowledged_write_is_lost_and_replicas_agree(
    actions: list[tuple[int, str, int, int]], skews: list[int]
) -> None:
    replicas: list[dict[str, bytes]] = [{f"{RUN}/run.yaml": b"id: x\n"} for _ in range(3)]
    points: set[Metric] = set()
    params: set[str] = set()
    newest: dict[str, Stamp] = {}
    purged = False
    for now, (who, what, other, value) in enumerate(actions):
        mine = replicas[who]
        if what == "pull":
            replicas[who] = join(mine, replicas[other])
        elif what == "point":
            data = codec.encode_points([("m", now, now, f"{value}.0")])
            mine[f"{RUN}/metrics/{codec.segment_name(f'w{who}', data)}"] = data
            points.add(Metric("m", float(value), now, now))
        elif what == "param":
            known = codec.decode_mapping(mine.get(f"{RUN}/params.yaml", b""))
            known[f"p{now}"] = value
            params.add(f"p{now}")
            mine[f"{RUN}/params.yaml"] = codec.encode_mapping(known)
        elif what == "tag":
            notes = codec.decode_stamps(mine.get(f"{RUN}/notes.yaml", b""))
            # A hybrid clock: the skewed wall clock, but above everything seen in the file.
            t = max([100 + now + skews[who], *(stamp.t + 1 for stamp in notes.values())])
            stamp = Stamp(value, t, f"w{who}")
            seen = newest.get("tags.a")
            if "tags.a" in notes and notes["tags.a"] == seen:
                # Whoever saw the newest edit and edits again must win over it.
                assert codec.stamp_order(stamp) > codec.stamp_order(seen)
            notes["tags.a"] = stamp
            if seen is None or codec.stamp_order(stamp) > codec.stamp_order(seen):
                newest["tags.a"] = stamp
            mine[f"{RUN}/notes.yaml"] = codec.encode_stamps(notes)
        elif value == 0:
            mine["tombstones/run/00/20261123-153012-7f3a9c1d2b4e"] = b""
            purged = True
    for _ in range(2):
        for at in range(3):
            replicas[at] = join(join(replicas[at], replicas[at - 1]), replicas[at - 2])
    assert replicas[0] == replicas[1] == replicas[2]
    final = replicas[0]
    if purged:
        assert not any(path.startswith(RUN) for path in final)
        return
    found = {
        point
        for path, data in final.items()
        if path.startswith(f"{RUN}/metrics/")
        for point in codec.decode_points(data)
    }
    assert found == points
    assert set(codec.decode_mapping(final.get(f"{RUN}/params.yaml", b""))) == params
    if newest:
        assert codec.decode_stamps(final[f"{RUN}/notes.yaml"]) == newest


# -- examples --------------------------------------------------------------------------------


def joined(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> dict[str, bytes]:
    assert join_entity(a, b) == join_entity(b, a)
    return join_entity(a, b)


def test_write_once_keeps_the_loser_in_conflicts() -> None:
    found = joined({"run.yaml": b"a: 1\n"}, {"run.yaml": b"a: 2\n"})
    low, high = sorted((b"a: 1\n", b"a: 2\n"), key=lambda data: codec.blob_id(data, "sha1"))
    assert found == {
        "run.yaml": high,
        f"conflicts/run.yaml.{codec.blob_id(low, 'sha1')[:16]}": low,
    }


def test_two_values_of_a_param_are_both_kept() -> None:
    found = joined({"params.yaml": b"a: 1\nb: 2\n"}, {"params.yaml": b"a: 3\nc: 4\n"})
    assert codec.decode_mapping(found["params.yaml"]) == {"a": 3, "b": 2, "c": 4}
    assert codec.decode_mapping(found["conflicts.set.yaml"]) == {"params.yaml:a": ["1"]}


def test_one_and_one_point_nought_and_true_are_three_values() -> None:
    a, b, c = ({"params.yaml": f"a: {text}\n".encode()} for text in ("1", "1.0", "true"))
    found = join_entity(join_entity(a, b), c)
    assert found["params.yaml"] == b"a: true\n"
    assert codec.decode_mapping(found["conflicts.set.yaml"]) == {"params.yaml:a": ["1", "1.0"]}


def test_a_file_that_cannot_be_read_loses_and_is_kept() -> None:
    sound = {"notes.yaml": codec.encode_stamps({"name": Stamp("x", 1, "a")})}
    for bad in (b"\xff", b"a: &x 1\n", b"name: {t: 1}\n"):
        found = joined(sound, {"notes.yaml": bad})
        name = f"conflicts/notes.yaml.{codec.blob_id(bad, 'sha1')[:16]}"
        assert found == {**sound, name: bad}
        # And what is logged later is joined as if nothing had been.
        later = {"notes.yaml": codec.encode_stamps({"name": Stamp("y", 2, "a")})}
        assert joined(found, later) == {**later, name: bad}


def test_a_file_that_meets_a_folder_of_its_name_is_kept_aside() -> None:
    found = joined({"new": b"file"}, {"new/below": b"x"})
    assert found == {
        "new/below": b"x",
        f"conflicts/new.{codec.blob_id(b'file', 'sha1')[:16]}": b"file",
    }
    assert joined(found, {"new": b"file"}) == found


def test_artifacts_whose_list_cannot_be_read_are_kept() -> None:
    bad = {"artifacts.yaml": b"\xff", "artifacts/a": b"1"}
    assert joined(bad, {"run.yaml": b"a: 1\n"}) == {**bad, "run.yaml": b"a: 1\n"}


def test_of_two_edits_the_later_wins_and_different_tags_never_meet() -> None:
    a = {"notes.yaml": codec.encode_stamps({"tags.a": Stamp("old", 1, "z"), "x": Stamp(1, 1, "z")})}
    b = {"notes.yaml": codec.encode_stamps({"tags.a": Stamp("new", 2, "a")})}
    assert codec.decode_stamps(joined(a, b)["notes.yaml"]) == {
        "tags.a": Stamp("new", 2, "a"),
        "x": Stamp(1, 1, "z"),
    }


def test_a_summary_is_kept_only_if_it_covers_all_segments() -> None:
    one, two = codec.encode_points([("m", 0, 0, "1.0")]), codec.encode_points([("m", 1, 1, "2.0")])
    names_ = codec.segment_name("a", one), codec.segment_name("b", two)
    summary = {"m": MetricSummary(2.0, 1, 1, 1.0, 2.0, 2)}
    a = {f"metrics/{names_[0]}": one, "metrics.yaml": codec.encode_summaries([names_[0]], {})}
    b = {f"metrics/{names_[1]}": two, "metrics.yaml": codec.encode_summaries(names_, summary)}
    assert joined(a, b)["metrics.yaml"] == b["metrics.yaml"]
    del b["metrics.yaml"]
    assert "metrics.yaml" not in joined(a, b)


def test_an_artifacts_file_comes_with_the_entry_that_wins() -> None:
    a = {"artifacts.yaml": codec.encode_stamps({"f": Stamp({"size": 1}, 1, "a")}),
         "artifacts/f": b"old"}  # fmt: skip
    b = {"artifacts.yaml": codec.encode_stamps({"f": Stamp({"size": 2}, 2, "a")}),
         "artifacts/f": b"new"}  # fmt: skip
    assert joined(a, b)["artifacts/f"] == b"new"
    gone = {"artifacts.yaml": codec.encode_stamps({"f": Stamp(None, 3, "a")})}
    assert "artifacts/f" not in joined(b, gone)


def test_a_file_that_meets_a_folder_of_its_name_moves_aside() -> None:
    a = {"artifacts.yaml": codec.encode_stamps({"a": Stamp({"size": 1}, 1, "a")}),
         "artifacts/a": b"file"}  # fmt: skip
    b = {"artifacts.yaml": codec.encode_stamps({"a/b": Stamp({"size": 2}, 2, "a")}),
         "artifacts/a/b": b"below"}  # fmt: skip
    found = {name: data for name, data in joined(a, b).items() if name.startswith("artifacts/")}
    assert found == {"artifacts/a%2F": b"file", "artifacts/a/b": b"below"}


def test_a_tombstone_wins_over_everything_below() -> None:
    tomb = {"tombstones/run/00/20261123-153012-7f3a9c1d2b4e": b""}
    run = {f"{RUN}/run.yaml": b"a: 1\n", f"{RUN}/conflicts/x": b"1", f"{OTHER}/run.yaml": b"b: 1\n"}
    assert join(run, tomb) == {**tomb, f"{OTHER}/run.yaml": b"b: 1\n"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("run.yaml", FileClass.WRITE_ONCE),
        ("source.yaml", FileClass.WRITE_ONCE),
        ("writers/ab.end.yaml", FileClass.WRITE_ONCE),
        ("something-new", FileClass.WRITE_ONCE),
        ("notes.yaml", FileClass.STAMPED),
        ("artifacts.yaml", FileClass.STAMPED),
        ("x.map.yaml", FileClass.STAMPED),
        ("params.yaml", FileClass.GROW_ONLY),
        ("inputs.set.yaml", FileClass.GROW_ONLY),
        ("alias.events", FileClass.EVENTS),
        ("metrics/a-b.csv", FileClass.UNION),
        ("logs/a-b.txt", FileClass.UNION),
        ("conflicts/x", FileClass.UNION),
        ("metrics.yaml", FileClass.DERIVED),
        ("store.yaml", FileClass.STORE),
        ("artifacts/notes.yaml", FileClass.FOLLOWS),
        ("env/ab/x.yaml", FileClass.UNION),
        ("source/ab/x/params.yaml", FileClass.UNION),
        ("tombstones/run/ab/x", FileClass.UNION),
    ],
)
def test_the_class_follows_from_the_name(path: str, kind: FileClass) -> None:
    assert file_class(path) is kind


def test_entities() -> None:
    assert entity_of(f"{RUN}/artifacts/a/b") == RUN
    assert entity_of(f"{OTHER}/run.yaml") == OTHER
    assert entity_of(f"{EXPERIMENT}/notes.yaml") == EXPERIMENT
    assert entity_of("env/ab/x.yaml") == ""
    assert entity_of("store.yaml") == ""
