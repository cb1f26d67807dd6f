"""What a program was told, as params: namespaces, dataclasses, models, configurations, made flat.

The libraries that make them are known by their looks and never imported. Nothing here fails over
a value: what cannot be a param is its name, or how it prints, cut.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from gittrack.capture import redact
from gittrack.core import names
from gittrack.errors import InvalidNameError

#: How much is kept of what a value prints.
_MOST_CHARS = 500
_MOST_ITEMS, _MOST_PARTS = 1000, 100
#: Deeper than any configuration; a configuration may hold itself.
_DEEPEST = 20
#: Names of OmegaConf's resolvers that read what is nobody's business: `oc.env`, `vault`, ...
_RESOLVER = re.compile(
    r"(?i)\$\{[\s\w.]*(?:env|secret|vault|passw|token|cred|keyring|ssm)[\w.]*\s*:"
)
#: What stands for such an expression while the rest is resolved.
_KEPT = "\ue000{}\ue001"


def is_arguments(value: object) -> bool:
    """Whether it is of a kind that `to_params` takes apart."""
    return _fields(value) is not None


def to_params(value: object, prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    """The params that arguments come to, and what had to be left out of them, in words.

    Nested ones get dotted keys. Fields that their class keeps out of its `repr`, or marks as
    excluded, are left out in silence.

    Args:
        value: what `is_arguments` accepts.
        prefix: put before every key, as it is.
    """
    params: dict[str, Any] = {}
    notes: list[str] = []
    for key, item in _flat(value, prefix, ()):
        if key in params:
            notes.append(f"param {key:.80} is there twice; the first value was recorded")
            continue
        try:
            names.check_key("param", key)
        except InvalidNameError as error:
            notes.append(f"an argument was not recorded: {error.message}")
            continue
        params[key] = _checked(key, item)
    return params, notes


def shortened(value: object) -> str:
    """How a value prints, cut to what a param can be, without the secrets that its parts name."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    text, _ = redact.redact_line(text[: 2 * _MOST_CHARS])
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + "\u2026"


def _flat(value: object, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Keys and values; what holds itself, as a part that knows its parent, is there once.

    Args:
        above: the ids of the objects that hold `value`.
    """
    above = (*above, id(value))
    for key, item in (_parts(value) or {}).items():
        name = f"{prefix}{key}"
        if id(item) in above:
            yield name, _above(item)
        elif len(above) <= _DEEPEST and _parts(item):
            yield from _flat(item, f"{name}.", above)
        else:
            yield name, _plain(item, above)


def _parts(value: object) -> Mapping[Any, Any] | None:
    """The fields of a value, or the items of a list of such; None if it has neither."""
    if isinstance(value, list | tuple):
        # Only a key of its own tells that a part is a secret.
        if len(value) <= _MOST_PARTS and any(_fields(item) for item in value):
            return dict(enumerate(value))
        return None
    return _fields(value)


def _fields(value: object) -> Mapping[Any, Any] | None:
    """The parts of a mapping, namespace, dataclass, attrs class or pydantic model; else None."""
    if _is_config(value):
        found = resolve(value)
        return found if isinstance(found, dict) else None
    if isinstance(value, Mapping):
        return value
    kind = type(value)
    if isinstance(value, type):
        return None
    fields: dict[str, Any] = {}
    # An attribute may be missing, or be a property that fails: that one is left out.
    for name in _field_names(kind, value):
        try:
            fields[name] = getattr(value, name)
        except Exception:
            continue
    return fields if fields or _has_fields(kind) else None


def _has_fields(kind: type) -> bool:
    wanted = ("__dataclass_fields__", "__attrs_attrs__", "model_fields", "__fields__")
    return any(hasattr(kind, name) for name in wanted) or _is_namespace(kind)


def _field_names(kind: type, value: object) -> list[str]:
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses

        return [field.name for field in dataclasses.fields(kind) if field.repr]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__ if field.repr]
    for fields in ("model_fields", "__fields__"):  # pydantic 2, pydantic 1
        declared = getattr(kind, fields, None)
        if isinstance(declared, dict):
            extra = getattr(value, "model_extra", None) or {}
            return [*(name for name, field in declared.items() if _is_open(field)), *extra]
    return list(getattr(value, "__dict__", ())) if _is_namespace(kind) else []


def _is_open(field: object) -> bool:
    info = getattr(field, "field_info", field)
    return getattr(info, "repr", True) is not False and not getattr(info, "exclude", None)


def _is_namespace(kind: type) -> bool:
    return any(base.__name__ in ("Namespace", "SimpleNamespace") for base in kind.__mro__)


def _above(value: object) -> str:
    return f"<the {type(value).__name__} that holds it>"


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    """A value that `log_params` takes: of plain types, the same in every process."""
    if value is None or value.__class__ in (str, int, float, bool):
        return value
    if hasattr(value, "get_secret_value"):
        return redact.MARK
    if _is_config(value):
        value = resolve(value)
    if isinstance(value, Mapping):
        return value if not value else shortened(dict(value))
    if isinstance(value, list | tuple) and len(value) > _MOST_ITEMS:
        return shortened(value)
    if isinstance(value, list | tuple):
        above = (*above, id(value))
        return [
            _above(item) if id(item) in above
            else _plain(item, above) if len(above) <= _DEEPEST
            else shortened(item)
            for item in value
        ]  # fmt: skip
    if isinstance(value, set | frozenset):
        return sorted((_plain(item, above) for item in value), key=repr)
    name = _name(value)
    if name is not None:
        return name
    if _is_number(value):
        return value
    text = shortened(value)
    # `<__main__.Net object at 0x7f...>` is another one in every process.
    return _kind_name(type(value)) if re.search(r" at 0x[0-9a-f]+>", text) else _printed(value)


def _name(value: Any) -> str | None:
    """What functions, classes, modules, open files and compiled expressions are called."""
    inner = getattr(value, "func", None)
    if callable(value) and callable(inner):  # functools.partial
        return _name(inner)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return _kind_name(value)
    for attribute in ("__name__", "name") if not callable(value) else ("__name__",):
        text = getattr(value, attribute, None)
        is_named = attribute == "__name__" or hasattr(value, "fileno")
        if is_named and isinstance(text, str):
            return text
    return None


def _kind_name(value: Any) -> str:
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return name if module in (None, "builtins", "__main__") else f"{module}.{name}"


def _is_number(value: Any) -> bool:
    """A number of NumPy's or torch's, or a short row of them; `log_params` knows those."""
    shape = getattr(value, "shape", None)
    if shape is None or not hasattr(value, "tolist"):
        return False
    try:
        return len(shape) == 0 or (len(shape) == 1 and shape[0] <= 100)
    except TypeError:
        return False


def _printed(value: Any) -> str:
    """As `print` does: paths, dates and members of an enum are read so."""
    try:
        return shortened(str(value))
    except Exception:
        return shortened(value)


def _checked(key: str, value: Any) -> Any:
    """The value; a number as text if it is one that a secret's name hides."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        _, hit = redact.redact_param(key, str(value))
        return str(value) if hit is not None else value
    return value


# -- OmegaConf -----------------------------------------------------------------------------


def _is_config(value: object) -> bool:
    omegaconf = sys.modules.get("omegaconf")
    return omegaconf is not None and isinstance(value, omegaconf.DictConfig | omegaconf.ListConfig)


def resolve(config: Any) -> Any:
    """A configuration of OmegaConf's as plain types, resolved but for what reads secrets.

    `${oc.env:KEY}` stays as it is written, and so it does in everything that refers to it. What
    cannot be resolved stays as written, too.
    """
    omegaconf = sys.modules["omegaconf"]
    to_container = omegaconf.OmegaConf.to_container
    kept: list[str] = []

    def hide(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: hide(item) for key, item in value.items()}
        if isinstance(value, list):
            return [hide(item) for item in value]
        if isinstance(value, str) and _RESOLVER.search(value):
            kept.append(value)
            return _KEPT.format(len(kept) - 1)
        return value

    def show(value: str) -> str:
        return re.sub("\ue000(\\d+)\ue001", lambda found: kept[int(found[1])], value)

    def walk(safe: Any, raw: Any, depth: int) -> Any:
        """Item by item, so that one that fails keeps only itself from being resolved."""
        if depth > _DEEPEST:
            return str(safe)
        if isinstance(safe, omegaconf.DictConfig):
            if safe._is_none() or safe._is_missing():
                return None if safe._is_none() else "???"
            return {key: item(safe, raw, key, depth) for key in safe.keys()}  # noqa: SIM118
        if isinstance(safe, omegaconf.ListConfig):
            if safe._is_none() or safe._is_missing():
                return None if safe._is_none() else "???"
            return [item(safe, raw, at, depth) for at in range(len(safe))]
        return show(safe) if isinstance(safe, str) else safe

    def item(safe: Any, raw: Any, key: Any, depth: int) -> Any:
        inside = raw if isinstance(raw, dict | list) else {}
        written = inside[key] if not isinstance(inside, dict) else inside.get(key)
        try:
            return walk(safe[key], written, depth + 1)
        except Exception:  # a resolver may fail in any way
            return show(written) if isinstance(written, str) else written

    try:
        # Interpolations look from the top, of which this may be a part.
        root, path = config._get_root(), config._get_full_key(None)
        tree = hide(to_container(root, resolve=False, enum_to_str=True))
        safe = omegaconf.OmegaConf.create(tree)
        if path:
            safe = omegaconf.OmegaConf.select(safe, path)
            tree = to_container(safe, resolve=False)
        return walk(safe, tree, 0)
    except Exception:
        return to_container(config, resolve=False, enum_to_str=True)
