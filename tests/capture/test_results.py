"""Files of params and results: what they hold, and what is said of those that cannot be read."""

from __future__ import annotations

import pytest

from gittrack.capture.results import Point, parse_history, parse_mapping


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.yaml", "key: hunter2\nkey: hunter22\n"),
        ("a.yaml", "key: !hunter2 x"),
        ("a.yaml", "key: *hunter2"),
        ("a.yaml", "key: !!int hunter2"),
        ("a.yaml", "key: !!timestamp hunter2"),
        ("a.yaml", 'key: "hunter2'),
        ("a.yaml", "key: @hunter2"),
        ("a.yaml", "key: {hunter2"),
        ("a.ini", "hunter2\n"),
        ("a.ini", "[a]\nhunter2\n"),
        ("a.json", '{"key": hunter2}'),
        ("a.toml", "key = hunter2"),
    ],
)
def test_what_is_said_of_a_broken_file_holds_nothing_that_stands_in_it(
    path: str, text: str
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_mapping(path, text.encode())
    assert "hunter2" not in str(caught.value)
    assert "<" not in str(caught.value)  # nor "<byte string>", which is where a parser read it


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("a.yaml", "a: 1\n\na: 2\n", "a key stands there twice (line 3)"),
        ("a.yaml", "a: 1\n b: 2\n", "mapping values are not allowed here (line 2)"),
        ("a.ini", "[a]\nb = 1\nc\n", "there is neither a [section] nor a key = value (line 3)"),
    ],
)
def test_what_is_said_names_the_line(path: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_mapping(path, text.encode())
    assert str(caught.value) == said


@pytest.mark.parametrize("path", ["a.yaml", "a.json", "a.toml", "a.ini"])
def test_a_byte_order_mark_is_no_part_of_a_file(path: str) -> None:
    texts = {"yaml": "a: {b: 1}", "json": '{"a": {"b": 1}}', "toml": "a.b = 1", "ini": "[a]\nb = 1"}
    data = texts[path[2:]].replace("\n", "\r\n").encode("utf-8-sig")
    assert parse_mapping(path, data) == {"a": {"b": 1}}


def test_an_anchor_that_is_set_anew_is_no_warning() -> None:
    assert parse_mapping("a.yaml", b"a: &x 1\nb: &x 2\nc: *x\n") == {"a": 1, "b": 2, "c": 2}


def test_json_lines_end_with_a_line_feed_and_nothing_else() -> None:
    text = '{"loss": 1, "note": "a\u2028b"}\r\n\n{"loss": 2}\n'
    assert parse_history("x.JSONL", text.encode()) == [
        Point("loss", 1.0, 0, None),
        Point("loss", 2.0, 1, None),
    ]


def test_one_series_of_a_table() -> None:
    data = b"loss,acc\n1,2\n,3\n"
    assert parse_history("h.csv", data, "loss") == [Point("loss", 1.0, 0, None)]
    with pytest.raises(ValueError, match="no numbers for f1"):
        parse_history("h.csv", data, "f1")
