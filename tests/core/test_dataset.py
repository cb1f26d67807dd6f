"""Lines of inputs.set.yaml: nothing is lost in a join, and nothing hostile comes through."""

from __future__ import annotations

from gittrack.core import codec, join
from gittrack.core.dataset import (
    by_label,
    decode_datasets,
    digests_of,
    encode_dataset,
    facts_of,
    is_misnamed,
    name_of,
)
from gittrack.core.diff import ADDED, CHANGED, EQUAL, REMOVED, data_changes
from gittrack.core.laws import File, RunLaws
from gittrack.core.model import Dataset

NAME = "inputs.set.yaml"
FULL = Dataset(
    "train", "table:ab", "training", "s3://b/x", "pandas", 1, 2, 3, 4, (3, 4), True, ("o",), "x.dvc",
    (("a", "int64"), ("a", "str")),
)  # fmt: skip
OLD = {"data/train.csv": {"digest": "md5:9e107d9d372bb6826bd81d3542a419d6", "size": 4096}}


def written(*datasets: Dataset) -> dict[str, bytes]:
    return {NAME: codec.encode_mapping(dict(map(encode_dataset, datasets)))}


def read(files: dict[str, bytes]) -> tuple[Dataset, ...]:
    return decode_datasets(codec.decode_mapping(files[NAME]))


def test_a_dataset_comes_back_and_an_old_entry_is_one() -> None:
    assert read(written(FULL)) == (FULL,)
    assert decode_datasets(dict([encode_dataset(FULL)]), with_schema=False) == (
        FULL._replace(schema=()),
    )
    (old,) = decode_datasets(OLD)
    assert old == Dataset("data/train.csv", "md5:9e107d9d372bb6826bd81d3542a419d6", size_bytes=4096)


def test_contexts_and_equal_names_survive_a_join_without_a_conflict() -> None:
    other = FULL._replace(context="validation")
    newer = FULL._replace(digest="table:cd")
    a, b = written(FULL, other), {NAME: codec.encode_mapping(dict([encode_dataset(newer)]) | OLD)}
    joined = join.join_entity(a, b)
    assert joined == join.join_entity(b, a) == join.join_entity(joined, a)
    assert set(joined) == {NAME}
    assert {(d.name, d.context, d.digest) for d in read(joined)} == {
        ("train", "training", "table:ab"), ("train", "validation", "table:ab"),
        ("train", "training", "table:cd"), ("data/train.csv", "", old_digest()),
    }  # fmt: skip


def old_digest() -> str:
    return str(OLD["data/train.csv"]["digest"])


def test_a_key_names_its_value() -> None:
    key, facts = encode_dataset(FULL)
    assert name_of(key) == "train" and not is_misnamed(key, facts)
    assert is_misnamed(key, {**facts, "rows": 5})
    assert name_of("//0123456789ab") == "//0123456789ab"  # an old entry, of a path
    odd = encode_dataset(FULL._replace(name="a//0123456789ab"))
    assert name_of(odd[0]) == "a//0123456789ab"
    assert not is_misnamed("data/train.csv", OLD["data/train.csv"])


def test_fsck_says_what_is_wrong_with_an_entry() -> None:
    key, facts = encode_dataset(FULL)
    found = {
        key: {**facts, "rows": 5},
        "a": {"digest": "x", "rows": "many", "shape": [True], "schema": [["a"]], "sampled": 1},
        "b": {},
        **OLD,
    }
    data = codec.encode_mapping(found)
    laws = RunLaws("20261123-153012-7f3a9c1d2b4e", {NAME: File("", len(data), data)}, (), 0)
    said = [fault.what for fault in laws.check()[0] if fault.path == NAME]
    assert sorted(said) == [
        "'a': rows holds 'many', which is no integer",
        "'a': sampled holds 1, which is neither true nor false",
        "'a': schema holds [['a']], which is no list of columns, each a name and a type",
        "'a': shape holds [True], which is no list of integers",
        "'b' has no digest",
        f"'{key}' is not named by its value",
    ]


def test_a_hostile_value_is_of_its_type_or_not_there() -> None:
    values = [None, True, -1, 2**70, 1.5, "x", [], [1], [[1, 2]], {}, {"a": 1}, [["a", 1]], ["a"]]
    for value in values:
        keys = ("size", "rows", "context", "shape", "opaque", "schema", "sampled", "dvc", "kind")
        (found,) = decode_datasets({"x": {**dict.fromkeys(keys, value), "digest": "d"}})
        assert found.size_bytes is None or 0 <= found.size_bytes < 2**63
        assert isinstance(found.context, str) and isinstance(found.sampled, bool)
        assert found.shape is None or all(type(n) is int for n in found.shape)
        assert all(isinstance(text, str) for text in found.opaque)
        assert all(isinstance(text, str) for column in found.schema for text in column)
        assert decode_datasets({"x": value, "y": {"digest": value if value != "x" else 0}}) == ()


def test_labels_tell_datasets_apart() -> None:
    a = [FULL, FULL._replace(context=""), FULL._replace(context="", digest="table:cd")]
    b = [FULL._replace(context="")]
    assert [list(side) for side in by_label(a, b)] == [
        ["train (training)", "train table:ab", "train table:cd"], ["train table:ab"],
    ]  # fmt: skip
    assert digests_of(a) == {"train": "table:ab, table:cd"}
    assert "schema" not in facts_of(FULL._replace(schema=()))


def test_what_differs_is_the_data_not_where_it_lay() -> None:
    moved = FULL._replace(source="/elsewhere", dvc="", schema=(("a", "str"), ("b", "bool")))
    changed = FULL._replace(digest="table:cd", rows=9)
    assert data_changes([FULL], [FULL._replace(source="/elsewhere")]) == ()
    found = data_changes([FULL, FULL._replace(name="gone")], [changed, FULL._replace(name="new")])
    assert [(item.key, item.kind) for item in found] == [
        ("gone (training)", REMOVED), ("new (training)", ADDED), ("train (training)", CHANGED),
    ]  # fmt: skip
    first, second = data_changes([FULL], [moved], equal=True)
    assert (first.kind, second.key, second.kind) == (EQUAL, "train (training): b", ADDED)
