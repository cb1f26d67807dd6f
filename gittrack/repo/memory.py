"""What a clone remembers of its remotes: a small file that can be deleted at any time."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from gittrack.core import codec
from gittrack.errors import CorruptStoreError, GittrackError, StoreFormatError, UnsafeStoreError

#: Tips that were refused and may be met again; older ones are forgotten.
_MOST_REFUSED = 100
#: What judged: a newer gittrack looks again. Raise the last number when `store.inspect` changes.
_JUDGE = f"{codec.FORMAT}.1"
#: How an error that is remembered comes back.
_ERRORS = {kind.__name__: kind for kind in (CorruptStoreError, StoreFormatError, UnsafeStoreError)}


class Memory:
    """Reads its file when first asked, and writes it, as far as that is possible, when changed.

    Two processes that write at once lose one of the changes; all that costs is to look again.
    """

    def __init__(self, common_dir: str) -> None:
        self._path = os.path.join(common_dir, "gittrack", "remotes.json")
        self._found: dict[str, dict[str, Any]] | None = None

    # -- tips of remotes -----------------------------------------------------------------

    def is_joined(self, ref: str, tip: str) -> bool:
        """Whether everything of that tip of a tracking ref is in our store."""
        return self._part("joined").get(ref) == tip

    def joined(self, ref: str, tip: str) -> None:
        """Remember that it is."""
        self._set("joined", ref, tip)

    def refusal(self, tip: str) -> GittrackError | None:
        """Why this version refused a tip, if it did."""
        found = self._part("refused").get(tip)
        if not isinstance(found, list) or found[:1] != [_JUDGE]:
            return None
        try:
            _, kind, message, why, next_ = found
            return _ERRORS[kind](message, why=why, next=next_)
        except (ValueError, KeyError):
            return None

    def refuse(self, tip: str, error: GittrackError) -> None:
        """Remember why a tip is refused, so that it is not looked at again."""
        refused = self._part("refused")
        for old in list(refused)[: max(0, len(refused) - _MOST_REFUSED + 1)]:
            del refused[old]
        said = [_JUDGE, type(error).__name__, error.message, error.why, error.next]
        self._set("refused", tip, said)

    # -- notes ---------------------------------------------------------------------------

    def was(self, what: str, name: str) -> bool:
        """Whether something was noted of a name: that a remote was `asked`, or its user `told`."""
        return bool(self._part(what).get(name))

    def note(self, what: str, name: str) -> None:
        """Remember it; of a tip that our ref held, that it was `lost`."""
        self._set(what, name, True)

    def noted(self, what: str) -> list[str]:
        """Everything that this was noted of."""
        return [name for name, is_so in self._part(what).items() if is_so]

    def forget(self, what: str, name: str) -> None:
        """Undo `note`."""
        self._set(what, name, False)

    # -- times ---------------------------------------------------------------------------

    def times(self, what: str, name: str) -> dict[str, float]:
        """Times in seconds that were noted of things of that name."""
        found = self._part(what).get(name)
        if not isinstance(found, dict):
            return {}
        return {key: at for key, at in found.items() if isinstance(at, int | float)}

    def set_times(self, what: str, name: str, times: Mapping[str, float]) -> None:
        """Remember these in their place."""
        self._set(what, name, dict(times))

    # -- the file ------------------------------------------------------------------------

    def _part(self, name: str) -> dict[str, Any]:
        if self._found is None:
            self._found = _read(self._path)
        return self._found.setdefault(name, {})

    def _set(self, name: str, key: str, value: object) -> None:
        part = self._part(name)
        if part.get(key) == value:
            return
        part[key] = value
        temporary = f"{self._path}.{os.getpid()}"
        # A disk that takes nothing costs looking again, nothing else.
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(self._found, file, indent=1, sort_keys=False)
            os.replace(temporary, self._path)


def _read(path: str) -> dict[str, dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(found, Mapping):
        return {}
    return {str(name): dict(part) for name, part in found.items() if isinstance(part, Mapping)}
