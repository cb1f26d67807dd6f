"""What errors of other people's libraries say, as it may be shown."""

from __future__ import annotations

from collections.abc import Iterable

from gittrack.store.dvc.config import safe_url


def describe(error: BaseException) -> str:
    """What an error of any library says, in one line."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and getattr(error, "message", None):
        # aiohttp's own text repeats the URL, and with it a password.
        return f"the server answered {status} {error.message}"  # type: ignore[attr-defined]
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    if isinstance(error, FileNotFoundError) and str(error):
        return f"there is no such place: {error}"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def hide(text: str, hidden: Iterable[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, "***")
    return safe_url(text)
