"""What an object of another library is, without importing that library."""

from __future__ import annotations


def is_a(value: object, package: str, *names: str) -> bool:
    """Whether a value's class, or one that it inherits from, has such a name in a package."""
    return any(
        kind.__name__ in names and kind.__module__.partition(".")[0] == package
        for kind in type(value).__mro__
    )


def packages(value: object) -> set[str]:
    """The packages that its class, and those that it inherits from, are of."""
    return {kind.__module__.partition(".")[0] for kind in type(value).__mro__}


def type_name(value: object) -> str:
    """The type of a value for a message: `list`, `torch.Tensor`."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__name__
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
