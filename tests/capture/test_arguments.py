"""Objects that programs keep their options in, as params."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import math
import os
from pathlib import Path
from typing import Any

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gittrack.capture.arguments import is_arguments, to_params
from gittrack.core import codec

SECRET = "s3cr3t-of-the-environment"


@dataclasses.dataclass
class Optim:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    cache: str = dataclasses.field(default="hidden", repr=False)


@attrs.define
class Data:
    path: Path = Path("data/train.csv")
    key: str = attrs.field(default="hidden", repr=False)


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    depth: int = 3
    optim: Optim = Optim()
    password: pydantic.SecretStr = pydantic.SecretStr("hunter22")
    internal: str = pydantic.Field(default="hidden", exclude=True)


class Color(enum.Enum):
    RED = 1


class Net:
    pass


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no")


def params(value: object, prefix: str = "") -> dict[str, Any]:
    found, notes = to_params(value, prefix)
    assert notes == []
    return found


def test_what_options_are_kept_in_is_taken_apart() -> None:
    assert params(argparse.Namespace(lr=1, optim=Optim(), data=Data()), "cfg.") == {
        "cfg.lr": 1, "cfg.optim.lr": 0.1, "cfg.optim.betas": [0.9, 0.99],
        "cfg.data.path": "data/train.csv",
    }  # fmt: skip
    assert params(Model(extra=Color.RED)) == {
        "depth": 3, "optim.lr": 0.1, "optim.betas": [0.9, 0.99], "password": "<redacted>",
        "extra": "Color.RED",
    }  # fmt: skip
    for other in (1, "text", [1], None, Net(), Optim, Model):
        assert not is_arguments(other), other


def test_what_cannot_be_a_param_is_its_name_or_how_it_prints(tmp_path: Path) -> None:
    with open(tmp_path / "f", "w") as file:
        found = params(
            {
                "function": math.sqrt, "partial": functools.partial(os.path.join, "a"),
                "class": Net, "object": Net(), "broken": Broken(), "module": math,
                "file": file, "set": {2, 1}, "long": list(range(5000)), "empty": {}, 7: "seven",
            }
        )  # fmt: skip
    assert found.pop("long").startswith("[0, 1, 2")
    assert found == {
        "function": "math.sqrt", "partial": "posixpath.join",
        "class": f"{__name__}.Net", "object": f"{__name__}.Net", "broken": "<Broken: ValueError>",
        "module": "math", "file": str(tmp_path / "f"), "set": [1, 2], "empty": {}, "7": "seven",
    }  # fmt: skip


def test_parts_that_know_their_parent_are_walked_through_once() -> None:
    top = argparse.Namespace(lr=0.1)
    for name in "abc":
        setattr(top, name, argparse.Namespace(x=1, parent=top))
    loop: list[Any] = []
    loop += [loop, loop, loop]
    params, notes = to_params({"top": top, "loop": loop})
    assert notes == [] and len(params) == 8
    assert params["top.c.x"] == 1
    assert params["top.c.parent"] == "<the Namespace that holds it>"
    assert params["loop"] == ["<the list that holds it>"] * 3


def test_a_secret_inside_a_list_or_an_object_is_found() -> None:
    class Client:
        def __repr__(self) -> str:
            return "Client(password='hunter22x')"

    found = params(
        {
            "users": [{"name": "a", "password": "x"}, 3],
            "client": Client(),
            "deep": [[{"token": "hunter22x"}]],
        }
    )
    assert found.pop("users.0.password") == "x"  # log_params redacts by this key
    assert found == {
        "users.0.name": "a", "users.1": 3, "client": "Client(password='<redacted>')",
        "deep": [["{'token': '<redacted>'}"]],
    }  # fmt: skip


def test_what_is_no_key_or_a_key_twice_is_noted() -> None:
    found, notes = to_params({"a.b": 1, "a": {"b": 2}, "": 3, "ok": 4})
    assert found == {"a.b": 1, "ok": 4}
    assert len(notes) == 2 and "a.b" in notes[0]


def test_a_number_under_a_secrets_name_can_be_redacted() -> None:
    assert params({"password": 12345678, "max_tokens": 12345678, "token": 5}) == {
        "password": "12345678", "max_tokens": 12345678, "token": 5,
    }  # fmt: skip


def test_a_configuration_is_resolved_without_the_environments_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_KEY", SECRET)
    OmegaConf.register_new_resolver("twice", lambda x: 2 * x, replace=True)
    OmegaConf.register_new_resolver("get_secret", lambda name: SECRET, replace=True)
    OmegaConf.register_new_resolver("fails", lambda: 1 / 0, replace=True)
    config = OmegaConf.create(
        {
            "lr": 0.1, "double": "${twice:${lr}}", "key": "${oc.env:API_KEY}", "same": "${key}",
            "url": "https://${key}@host", "select": "${oc.select:key}",
            "decoded": "${oc.decode:${oc.env:API_KEY}}", "vault": "${get_secret:db}",
            "fails": "${fails:}", "nowhere": "${nope}", "missing": "???", "none": None,
            "model": {"lr": "${lr}", "keys": ["${key}", "${..lr}"], "up": "${..double}"},
            "alias": "${model}", "me": {"again": "${me}"},
        }
    )  # fmt: skip
    found = params(config)
    assert SECRET not in repr(found)
    assert {key: value for key, value in found.items() if not key.startswith("me.")} == {
        "lr": 0.1, "double": 0.2, "key": "${oc.env:API_KEY}", "same": "${oc.env:API_KEY}",
        "url": "https://${oc.env:API_KEY}@host", "select": "${oc.env:API_KEY}",
        "decoded": "${oc.decode:${oc.env:API_KEY}}", "vault": "${get_secret:db}",
        "fails": "${fails:}", "nowhere": "${nope}", "missing": "???", "none": None,
        "model.lr": 0.1, "model.keys": ["${oc.env:API_KEY}", 0.1], "model.up": 0.2,
        "alias.lr": 0.1, "alias.keys": ["${oc.env:API_KEY}", 0.1], "alias.up": 0.2,
    }  # fmt: skip
    # A part looks from the top, as it does for the program.
    assert params(config.model, "m.")["m.up"] == 0.2
    nested = params({"outer": argparse.Namespace(config=config.model, list=config.model["keys"])})
    assert nested["outer.config.lr"] == 0.1 and SECRET not in repr(nested)
    assert nested["outer.list"] == ["${oc.env:API_KEY}", 0.1]


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.builds(Broken),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner)
    | st.frozensets(st.text()) | st.builds(argparse.Namespace, a=inner),
))  # fmt: skip
def test_no_value_is_an_error(value: Any) -> None:
    found, _ = to_params({"value": value})
    for key, item in found.items():
        codec.encode_mapping(codec.flatten_params({key: item}))
