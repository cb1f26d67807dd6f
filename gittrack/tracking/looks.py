"""What a run keeps for people to look at: figures, images, tables, pages, sound.

Wrong use raises; trouble inside a library that draws is a note on the run, which goes on.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gittrack.core import names
from gittrack.errors import GittrackError, InvalidValueError
from gittrack.store.forking import lazy, unforked

if TYPE_CHECKING:
    from gittrack.core.table import Table
    from gittrack.tracking.active import ActiveRun
    from gittrack.tracking.holding import Holding

_T = TypeVar("_T")
_LOW, _HIGH = -(1 << 63), (1 << 63) - 1


class Looks(ABC):
    """The part of `ActiveRun` that records them."""

    # -- figures and images --------------------------------------------------------------

    def log_figure(
        self,
        figure: Any,
        artifact_file: str,
        *,
        save_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep a figure of matplotlib or plotly; the same one is the same file.

        Args:
            figure: of matplotlib, or axes of one; of plotly.
            artifact_file: its suffix says how it is drawn: of matplotlib `.png`, `.svg`, `.pdf` and
                what else it writes; of plotly `.html`, `.json`, or a picture, which needs kaleido.
            save_kwargs: for `savefig`, or `to_html`, `to_json` and `to_image`.
        Raises:
            InvalidValueError: it is no figure, or cannot be drawn as such a file.
            MissingExtraError: kaleido is needed and not installed.
        """
        self._check_open("log_figure")
        names.check_artifact_path(artifact_file)
        with unforked():
            from gittrack.capture.pictures import draw

        suffix = _suffix(artifact_file)
        data = self._made(artifact_file, lambda: draw(figure, suffix, save_kwargs or {}))
        if data is not None:
            self._store(data, artifact_file)

    def log_image(
        self,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Keep an image, under a path of its own or as one of those of a key.

        Args:
            image: an array of numpy: shape (H, W) or (H, W, 1) for grey, (H, W, 3) for RGB,
                (H, W, 4) for RGBA; bool, integers in [0, 255], or floats in [0, 1]. Floats outside
                are scaled, as MLflow does, and the run says so. Or an image of PIL, or a figure of
                matplotlib.
            artifact_file: its path. A suffix other than `.png` needs Pillow.
            key: a name with `/` as it likes; the file is `images/<key>/step-<step>.png`, the step
                in nine digits.
            step: your own int64 order; 0 without it.
            timestamp: ms since the epoch; in the file's name, if given.
        Raises:
            InvalidValueError: it has another type, shape or range, or it is not said where it goes.
            MissingExtraError: Pillow is needed and not installed.
        """
        self._check_open("log_image")
        path = self._path_of("log_image", artifact_file, key, step, timestamp)
        with unforked():
            from gittrack.capture.pictures import encode_image

        suffix = "png" if path is None else _suffix(path)
        what = path or f"images/{key}"
        made = self._made(what, lambda: encode_image(image, suffix))
        if made is None:
            return
        self._tell(what, made.changed)
        if path is None:
            path = self._holding.free_path("images", key or "", step, timestamp, "png")
        self._store(made.data, path)

    # -- sound and pages -----------------------------------------------------------------

    def log_audio(
        self,
        audio: Any,
        artifact_file: str | None = None,
        sample_rate: int | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Keep sound, under a path of its own or as one of those of a key.

        Args:
            audio: an array of numpy, shape (n,) or (n, channels), which becomes a WAV file of 16
                bits a sample: floats in [-1, 1], or integers of 8 (unsigned), 16 or 32 bits over
                their whole range. Or the bytes of a sound file, or the path of one, kept as is.
            artifact_file: its path; `.wav` of an array.
            sample_rate: samples a second, in Hz; needed for an array.
            key, step, timestamp: as in `log_image`: `audio/<key>/step-<step>.wav`.
        Raises:
            InvalidValueError: it has another type or shape, or it is not said where it goes.
        """
        self._check_open("log_audio")
        path = self._path_of("log_audio", artifact_file, key, step, timestamp)
        with unforked():
            from gittrack.capture import sounds

        if isinstance(audio, (str, os.PathLike)):
            name = os.fspath(audio)
            if not os.path.isfile(name):
                raise InvalidValueError(
                    f"log_audio: there is no file {name}",
                    why=f"the current folder is {os.getcwd()}",
                    next="check the path",
                )
            source, suffix, changed = name, _suffix(name), ""
        elif isinstance(audio, (bytes, bytearray, memoryview)):
            data = bytes(audio)
            suffix, changed = sounds.suffix_of(data), ""
            if path is None and not suffix:
                raise InvalidValueError(
                    "log_audio: audio is the bytes of no known kind of sound file",
                    why="they are neither WAV, FLAC, Ogg nor MP3",
                    next="log_audio(audio, 'speech.aac')",
                )
            source = data
        else:
            if path is not None and _suffix(path) != "wav":
                raise InvalidValueError(
                    f"log_audio: artifact_file is {path!r}",
                    why="an array becomes a WAV file",
                    next="a path such as 'speech.wav'",
                )
            source, changed = sounds.encode(audio, sample_rate)
            suffix = "wav"
        self._tell(path or f"audio/{key}", changed)
        if path is None:
            path = self._holding.free_path("audio", key or "", step, timestamp, suffix)
        self._store(source, path)

    def log_html(self, html: Any, artifact_file: str) -> None:
        """Keep a page.

        Args:
            html: text or bytes, or an object that shows itself as HTML in notebooks.
            artifact_file: its path, with `.html`.
        Raises:
            InvalidValueError: it is nothing of that, or the path has no such suffix.
        """
        self._check_open("log_html")
        names.check_artifact_path(artifact_file)
        if _suffix(artifact_file) not in ("html", "htm"):
            raise InvalidValueError(
                f"log_html: artifact_file is {artifact_file!r}",
                why="a page is known by its suffix",
                next="a path such as 'report.html'",
            )
        shown = getattr(html, "_repr_html_", None)
        if callable(shown) and not isinstance(html, type):
            made = self._made(artifact_file, lambda: (shown(),))
            if made is None:
                return
            # An object may decline, by None, to show itself so.
            html = html if made[0] is None else made[0]
        if isinstance(html, str):
            html = html.encode("utf-8", "surrogatepass")
        if not isinstance(html, bytes):
            raise InvalidValueError(
                f"log_html: html is of type {type(html).__name__}",
                why="a page is text, bytes, or an object that shows itself as HTML",
                next="log_artifact for a file",
            )
        self._store(html, artifact_file)

    # -- tables --------------------------------------------------------------------------

    def log_table(self, data: Any, artifact_file: str) -> None:
        """Keep a table; to one that the run has under that path its rows are added.

        Args:
            data: a mapping from column to values, a list of mappings (a row each), or a DataFrame
                of pandas. Columns that only one of both has are empty in the other's rows.
            artifact_file: `.json`, which pandas reads with `orient="split"` and MLflow as its own;
                `.csv`; or `.parquet`, which needs pyarrow.
        Raises:
            InvalidValueError: it is no table, holds what cannot be kept, or the path is taken.
            MissingExtraError: pyarrow is needed and not installed.
        """
        self._check_open("log_table")
        names.check_artifact_path(artifact_file)
        with unforked():
            from gittrack.capture import tables

        suffix = tables.suffix_of(artifact_file)
        table = self._made(artifact_file, lambda: tables.to_table(data))
        if table is None:
            return
        with self._holding.lock:
            try:
                before = self._holding.read(artifact_file)
            except (GittrackError, OSError) as error:
                what = error.message if isinstance(error, GittrackError) else str(error)
                self.note(f"nothing was added to table {artifact_file}: {what}")
                return
            if before is not None:
                table = _appended(before, table, suffix, artifact_file)
            made = self._made(artifact_file, lambda: tables.encode(table, suffix))
            if made is not None:
                self._store(made, artifact_file)

    # -- inside --------------------------------------------------------------------------

    def _path_of(
        self,
        what: str,
        artifact_file: str | None,
        key: str | None,
        step: object,
        timestamp: object,
    ) -> str | None:
        """The path, if it was given; None if there is a key, a step and a time that are legal."""
        if (artifact_file is None) == (key is None) or (
            artifact_file is not None and (step is not None or timestamp is not None)
        ):
            raise InvalidValueError(
                f"{what}: it is not clear where it goes",
                why="it takes either artifact_file, or key with step and timestamp",
                next=f"{what}(..., key='samples', step=10)",
            )
        if artifact_file is not None:
            return names.check_artifact_path(artifact_file)
        names.check_artifact_path(names.check_key("image" if "image" in what else "audio", key))
        for argument, value in (("step", step), ("timestamp", timestamp)):
            if value is not None and _to_int(value) is None:
                raise InvalidValueError(
                    f"{what}: the {argument} of '{key}' is {value!r}",
                    why=f"a {argument} is an integer of 64 bits",
                    next=f"pass an int, or leave {argument} out",
                )
        return None

    def _made(self, path: str, make: Callable[[], _T]) -> _T | None:
        """What it gives; None if a library fails at it, which the run then says."""
        try:
            return make()
        except GittrackError:
            raise
        except Exception as error:
            # Whatever a library raises: the run must go on.
            said = " ".join(str(error).split())[:200]
            self.note(f"artifact {path} was not kept: {type(error).__name__}: {said}")
            return None

    def _tell(self, path: str, changed: str) -> None:
        if changed:
            self.note(f"artifact {path}: {changed}")

    @lazy
    def _holding(self) -> Holding:
        from gittrack.tracking.holding import Holding

        return Holding(cast("ActiveRun", self))

    @abstractmethod
    def _check_open(self, what: str) -> None:
        """Raise if the run has ended."""

    @abstractmethod
    def _store(self, source: str | bytes, name: str) -> None:
        """Keep a file, or bytes, as an artifact."""

    @abstractmethod
    def note(self, text: str) -> None:
        """One warning to the person, and a note on the run."""


def _appended(before: bytes, table: Table, suffix: str, path: str) -> Table:
    with unforked():
        from gittrack.capture import tables
        from gittrack.core.table import append

    try:
        return append(tables.decode(before, suffix), table)
    except ValueError as error:
        raise InvalidValueError(
            f"log_table: the run has an artifact {path} that is no table",
            why=str(error),
            next="choose another artifact_file",
        ) from None


def _suffix(path: str) -> str:
    """The suffix of a path in lower case, without its dot; "" without one."""
    _, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return suffix.lower() if dot else ""


def _to_int(value: Any) -> int | None:
    try:
        number = int(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number == value and _LOW <= number <= _HIGH else None
