"""Mappings and lists of anybody's as text of YAML and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from gittrack.errors import InvalidValueError


def renderer_for(path: str | PathLike[str]) -> Callable[[Any], str]:
    """What makes text of plain values: YAML if the file is called so, else JSON."""
    if not str(path).endswith((".yaml", ".yml")):
        return lambda plain: json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    import io

    from ruamel.yaml import YAML

    def render(plain: Any) -> str:
        out = io.StringIO()
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        yaml.dump(plain, out)
        return out.getvalue()

    return render


def to_plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """The same value of plain types, so that JSON and YAML can hold it.

    Args:
        above: the ids of the objects that hold it.
    Raises:
        InvalidValueError: it holds itself.
    """
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if id(value) in above:
        raise InvalidValueError(
            f"log_dict: a value of type {type(value).__name__} holds itself",
            why="a file has an end",
            next="log a copy without that part",
        )
    above = (*above, id(value))
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, above) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, above) for item in value]
    if isinstance(value, (set, frozenset)):
        # Python has them in another order in each process.
        return sorted((to_plain(item, above) for item in value), key=repr)
    for method in ("tolist", "item"):
        if hasattr(value, method):
            found = getattr(value, method)()
            # A long double has no plain type.
            return str(value) if type(found) is type(value) else to_plain(found, above)
    return str(value)
