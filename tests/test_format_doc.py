"""docs/FORMAT.md and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gittrack.core import codec, dataset, join, kept, names, schema, yamltext
from gittrack.core.model import DEFAULT_EXPERIMENT
from gittrack.repo.seal import first_files
from gittrack.store import layout

TEXT = (Path(__file__).parent.parent / "docs" / "FORMAT.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```(\w+) title=(\S+)\n(.*?)```", TEXT, re.DOTALL)


def rows(head: str) -> list[list[str]]:
    """The rows of the table that has this head, cells without their backticks."""
    table = TEXT[TEXT.index(head) :].split("\n\n")[0]
    lines = table.splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def pointers() -> dict[str, bytes]:
    """The pointers of the artifacts in the example, by their files."""
    example = next(text for _, title, text in EXAMPLES if title == layout.ARTIFACTS_FILE)
    found = {}
    for key, stamp in codec.decode_stamps(example.encode()).items():
        artifact = kept.decode_entry(key, stamp.v)
        name = kept.file_name(key, is_parent=False, is_pointer=kept.is_pointer(stamp.v))
        found[f"{layout.ARTIFACTS_DIR}/{name}"] = kept.encode_pointer(key, artifact)
    return found


def test_the_number() -> None:
    assert f"Format number: `{codec.FORMAT}`." in TEXT


@pytest.mark.parametrize(("language", "title", "text"), EXAMPLES, ids=[e[1] for e in EXAMPLES])
def test_examples_are_canonical_bytes(language: str, title: str, text: str) -> None:
    data = text.encode()
    if language == "csv":
        points = list(codec.decode_points(data))
        again = codec.encode_points((p.key, p.step, p.timestamp, repr(p.value)) for p in points)
        assert title == f"metrics/{codec.segment_name('6ec632eb', data)}"
    elif title.endswith(".dvc"):
        again = pointers()[title]
    elif join.file_class(title) is join.FileClass.STAMPED:
        again = codec.encode_stamps(codec.decode_stamps(data))
    elif title == "metrics.yaml":
        again = codec.encode_summaries(*codec.decode_summaries(data))
    else:
        again = codec.encode_mapping(codec.decode_mapping(data))
    assert again == data


def test_there_is_an_example_of_every_file() -> None:
    shown = {title.partition("/")[0] for _, title, _ in EXAMPLES}
    assert shown >= {
        layout.STORE_FILE, layout.RUN_FILE, layout.PARAMS_FILE, layout.NOTES_FILE, "metrics",
        layout.METRICS_FILE, layout.ARTIFACTS_FILE, layout.SOURCE_FILE, layout.EXPERIMENT_FILE,
    }  # fmt: skip


def test_the_first_commit_is_the_example() -> None:
    example = next(text for _, title, text in EXAMPLES if title == layout.STORE_FILE)
    assert first_files()[layout.STORE_FILE] == example.encode()


def test_summaries_of_the_example_segment_are_the_example_summary() -> None:
    segment = next(text for kind, _, text in EXAMPLES if kind == "csv").encode()
    summary = next(text for _, title, text in EXAMPLES if title == "metrics.yaml").encode()
    found = codec.summarise(codec.decode_points(segment))
    assert codec.encode_summaries([codec.segment_name("6ec632eb", segment)], found) == summary


def test_keys_of_datasets_follow_from_their_values() -> None:
    example = next(text for _, title, text in EXAMPLES if title == layout.INPUTS_FILE)
    found = codec.decode_mapping(example.encode())
    assert [dataset.name_of(key) for key in found] == [
        "data/old.csv", "images", "labels.csv", "train", "train",
    ]  # fmt: skip
    assert not any(dataset.is_misnamed(key, facts) for key, facts in found.items())
    known = {key for facts in found.values() for key in facts} | {"files", "opaque", "columns"}
    assert known == {"digest", *schema.DATASET}
    said = {word for cells in rows("| key | holds |") for word in re.findall(r"\w+", cells[0])}
    assert said == known


def test_names() -> None:
    table = rows("| name | file name |")
    assert len(table) >= 10
    for name, file_name in table:
        assert names.encode_segment(name) == file_name
        assert names.decode_segment(file_name) == name
    assert names.encode_path("a", is_parent=True) == "a%2F"
    long = names.encode_segment("x" * 300)
    assert len(long) == names.MAX_SEGMENT_BYTES == 200
    assert long[:183] == "x" * 183
    assert long[183] == "~"


def test_the_join_table() -> None:
    table = rows("| file | class |")
    assert {kind for _, kind, _ in table} == {kind.value for kind in join.FileClass}
    for name, kind, _ in table:
        assert join.file_class(name).value == kind, name


def test_constants() -> None:
    for value in (
        layout.STORE_REF,
        names.DEFAULT_EXPERIMENT_ID,
        DEFAULT_EXPERIMENT,
        f"{yamltext.MAX_BYTES:,}",
        str(yamltext.MAX_DEPTH),
        str(names.MAX_KEY_CHARS),
        layout.DISK_FILE,
        layout.WRITERS_DIR,
        layout.TOMBSTONES_DIR,
        layout.CONFLICTS_DIR,
    ):
        assert value in TEXT, value
    words = set(re.findall(r"`(y n yes [a-z ]+)`", TEXT)[0].split())
    assert words | {"~"} == set(yamltext.WORDS)


def test_paths_follow_from_ids() -> None:
    assert layout.run_dir("20261123-153012-7f3a9c1d2b4e") == (
        "runs/2026-11/23/15/20261123-153012-7f3a9c1d2b4e"
    )
    assert re.fullmatch(r"runs/x/[0-9a-f]{2}/abc", layout.run_dir("abc"))
