"""Artifacts as DVC knows them."""

from __future__ import annotations

from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gittrack.core import kept, names
from gittrack.core.listing import Listed, decode_listing, encode_listing
from gittrack.core.model import Artifact
from gittrack.errors import CorruptStoreError, InvalidNameError

A, B = "a" * 32, "b" * 32
PATHS = st.lists(
    st.sampled_from(["a", "b", "a.dvc", "x%2F", "dvc.yaml", "é", ".git", "0123456789ab", "CON"]),
    min_size=1,
    max_size=3,
).map("/".join)
KEYS = st.one_of(
    PATHS,
    st.tuples(
        st.one_of(st.just(""), PATHS), st.sampled_from([A, B, "0123456789ab" + "0" * 20])
    ).map(lambda pair: kept.layer_key(*pair)),
)


@given(st.dictionaries(KEYS, st.booleans(), max_size=8))
def test_no_two_artifacts_share_a_file(kinds: dict[str, bool]) -> None:
    parents = kept.parents_of(kinds)
    files = [
        kept.file_name(key, is_parent=key in parents, is_pointer=is_pointer)
        for key, is_pointer in kinds.items()
    ]
    assert len({name.lower() for name in files}) >= len({key.lower() for key in kinds})
    assert len(set(files)) == len(files)
    # No file is another one's folder.
    assert not kept.parents_of(files) & set(files)


@given(KEYS)
def test_keys_are_told_apart(key: str) -> None:
    assert kept.check_entry(key) == key
    folder = kept.folder_of(key)
    assert (folder is None) is ("//" not in key)
    assert kept.shown(key) == (key if folder is None else f"{folder or '.'}/")


@pytest.mark.parametrize(
    "key", ["", "/", "a//b", "//", "a//0123456789AB", "..//0123456789ab", "a/"]
)
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(InvalidNameError):
        kept.check_entry(key)


@pytest.mark.parametrize(
    ("key", "artifact"),
    [
        ("models/a.pt", Artifact("models/a.pt", 5, "755", None, A)),
        ("a: b #c", Artifact("a: b #c", 2**40, "644", None, A)),
        ("yes", Artifact("yes", 0, "644", None, A)),
        (kept.layer_key("x/ckpt", A), Artifact("x/ckpt", 7, "644", None, f"{A}.dir", 3)),
        (kept.layer_key("", A), Artifact("", 7, "644", None, f"{A}.dir", 3)),
    ],
)
def test_a_pointer_is_one_of_dvc(key: str, artifact: Artifact) -> None:
    text = kept.encode_pointer(key, artifact).decode()
    (out,) = YAML(typ="safe").load(text)["outs"]
    assert out.pop("path") == (artifact.path.rpartition("/")[2] or "artifacts")
    assert out.pop("isexec", False) is (artifact.mode == "755")
    expected = {"md5": artifact.md5, "size": artifact.size_bytes, "hash": "md5"}
    assert out == expected | ({} if artifact.files is None else {"nfiles": artifact.files})
    assert kept.decode_entry(key, kept.entry_of(artifact)) == artifact


def test_a_listing_is_one_of_dvc() -> None:
    # What dvc 3.67 names an empty folder, and one of these files, each of which holds its name.
    empty = encode_listing([])
    assert md5(empty).hexdigest() == "d751713988987e9331980363e24189ce"
    paths = ["a!", "a/é.txt", "a/b/c", "b", "a-b/x", "A", "a b"]
    named = encode_listing(Listed(p, md5(p.encode()).hexdigest()) for p in paths)
    assert md5(named).hexdigest() == "e31665bf76e0438614f1bbff36b72514"
    files = [Listed("b.txt", B), Listed("a/é.txt", A), Listed("a!", A)]
    data = encode_listing(files)
    assert data == (
        b'[{"md5": "%b", "relpath": "a!"}, {"md5": "%b", "relpath": "a/\\u00e9.txt"}, '
        b'{"md5": "%b", "relpath": "b.txt"}]' % (A.encode(), A.encode(), B.encode())
    )
    assert set(decode_listing(data, "x.dir")) == set(files)


@given(st.dictionaries(PATHS, st.sampled_from([A, B]), max_size=6))
def test_listings_come_back(files: dict[str, str]) -> None:
    listed = [Listed(path, md5) for path, md5 in files.items()]
    data = encode_listing(listed)
    if kept.parents_of(files) & files.keys():
        with pytest.raises(CorruptStoreError):
            decode_listing(data, "x.dir")
    else:
        assert set(decode_listing(data, "x.dir")) == set(listed)


def test_an_entry_from_elsewhere_comes_out_of_its_types() -> None:
    hostile = {"size": -1, "mode": ["755"], "blob": "../x", "md5": "--help", "files": True}
    assert kept.decode_entry("a", hostile) == Artifact("a", 0, "644", None, None, None)
    assert names.check_artifact_path("a") == "a"
