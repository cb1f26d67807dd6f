"""Do one thing with many objects, several at once, and stop when the other side is gone."""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

#: So many failures in a row, without one success, are no accident of single objects.
_GIVE_UP = 5
#: What the next object meets as well.
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Stopped(Exception):
    """Raised in the middle of an object, since everything comes to an end."""


class Outcome(Generic[_Item, _Result]):
    """What became of the items; those in neither of `results` and `errors` were not tried.

    `gave_up` is the failure after which no more was tried.
    """

    def __init__(self) -> None:
        self.results: dict[_Item, _Result] = {}
        self.errors: dict[_Item, Exception] = {}
        self.gave_up: Exception | None = None


class Pool:
    """So many threads at a time.

    `checkpoint`, called in the middle of an item, raises Stopped when there is no use in going on.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = max(1, jobs)
        self._stop = threading.Event()

    def checkpoint(self) -> None:
        """Raise Stopped when the user, or a failure, has put an end to it all."""
        if self._stop.is_set():
            raise Stopped

    def stop(self) -> None:
        """Have the items under way end at their next checkpoint, and no other begin."""
        self._stop.set()

    def each(
        self, work: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Outcome[_Item, _Result]:
        """Do it with every item, in about this order."""
        todo = deque(items)
        outcome: Outcome[_Item, _Result] = Outcome()
        workers = min(self.jobs, len(todo))
        self._stop.clear()
        lock = threading.Lock()
        row = 0

        def run() -> None:
            nonlocal row
            while True:
                with lock:
                    if not todo or self._stop.is_set():
                        return
                    item = todo.popleft()
                try:
                    result = work(item)
                except Stopped:
                    return
                except Exception as error:
                    with lock:
                        outcome.errors[item] = error
                        row += 1
                        if row >= _GIVE_UP or getattr(error, "errno", None) in _HOPELESS:
                            outcome.gave_up = error
                            self._stop.set()
                else:
                    with lock:
                        outcome.results[item] = result
                        row = 0

        if workers <= 1:
            run()
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="gittrack-artifacts") as threads:
                try:
                    for future in [threads.submit(run) for _ in range(workers)]:
                        future.result()
                except BaseException:
                    # Ctrl-C: what is under way ends at its next piece.
                    self._stop.set()
                    raise
        return outcome
