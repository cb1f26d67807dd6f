"""What a fork must not cut in two, and what a forked child must let go of.

Training forks workers whenever it likes, while threads of ours read the code or commit runs. Of a
lock that such a thread holds then, as Python does of a module while it is imported, the child has a
copy that nobody ever opens. Of the pipes to a helper of ours it has copies as well, and as long as
the child lives, neither the helper nor its reader sees the end of what comes through them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from subprocess import Popen

#: How long forks wait for an `unforked` block of another thread to end, all together.
_PATIENCE_S = 1.0

_Value = TypeVar("_Value")

_gate = RLock()
#: Whether a fork has waited in vain for the block that is still going on.
_is_slow = False
#: The threads that have entered the gate to fork.
_forkers: list[int] = []
#: Helpers that may still run.
_helpers: list[Popen[Any]] = []


@contextmanager
def unforked() -> Iterator[None]:
    """Have forks by other threads wait until the block has ended, but not for long.

    No other lock of ours may be taken inside: whoever holds that one may be about to start git.
    """
    global _is_slow
    gate = _gate
    with gate:
        try:
            yield
        finally:
            _is_slow = False


class lazy(Generic[_Value]):
    """A property that is worked out when it is first asked for, as `functools.cached_property`.

    In Python 3.11 that one holds a lock of all objects meanwhile, and whoever is forked then waits
    for it for ever.
    """

    def __init__(self, make: Callable[[Any], _Value]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, instance: object, owner: type | None = None) -> _Value:
        with unforked():
            values: dict[str, _Value] = vars(instance)
            if self._name not in values:
                values[self._name] = self._make(instance)
            return values[self._name]


def add_helper(process: Popen[Any]) -> None:
    """A process that talks with this one through pipes; no forked child shall hold their ends.

    Call it inside the `unforked` block that has started the process.
    """
    _helpers[:] = [helper for helper in _helpers if helper.returncode is None]
    _helpers.append(process)


def _before_fork() -> None:
    global _is_slow
    if _gate.acquire(timeout=0 if _is_slow else _PATIENCE_S):
        _forkers.append(get_ident())
    else:
        _is_slow = True


def _after_fork_in_parent() -> None:
    if get_ident() in _forkers:
        _forkers.remove(get_ident())
        _gate.release()


def _after_fork_in_child() -> None:
    global _gate, _is_slow
    _gate, _is_slow = RLock(), False
    _forkers.clear()
    helpers = _helpers[:]
    _helpers.clear()
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for helper in helpers:
        for pipe in (helper.stdin, helper.stdout, helper.stderr):
            if pipe is not None and not pipe.closed:
                # Not closed: the file object, when it goes, would close whoever has its number.
                os.dup2(nowhere, pipe.fileno(), inheritable=False)
    os.close(nowhere)


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
