"""Pictures and figures of a user as the bytes of a file.

Same picture, same bytes, as far as the library that draws allows it: without dates, versions and
random ids.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

from gittrack.capture.foreign import is_a, type_name
from gittrack.core.png import encode_png
from gittrack.errors import InvalidValueError, MissingExtraError

#: Of each format of matplotlib's, what tells when or by which version it was drawn.
_UNDATED: Mapping[str, Mapping[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
}
_PLOTLY_IMAGES = ("jpeg", "jpg", "pdf", "png", "svg", "webp")
#: Text in ids of an SVG; matplotlib draws them at random without one.
_SALT = "gittrack"


class Picture(NamedTuple):
    """The bytes of a picture, and what had to be changed, in words."""

    data: bytes
    changed: str = ""


# -- images ----------------------------------------------------------------------------------


def encode_image(image: Any, suffix: str) -> Picture:
    """An image as a file of the kind of the suffix.

    Args:
        image: of PIL, a figure of matplotlib, or an array of numpy: shape (H, W) or (H, W, 1) for
            grey, (H, W, 3) for RGB, (H, W, 4) for RGBA; bool, integers in [0, 255] or floats in
            [0, 1]. Floats outside are scaled so that the smallest is 0 and the greatest 1.
        suffix: `png`; another one needs Pillow.
    Raises:
        InvalidValueError: it has another type, shape or range.
        MissingExtraError: Pillow is needed and not installed.
    """
    if find_figure(image) is not None:
        return Picture(draw(image, suffix, {}))
    if is_a(image, "PIL", "Image"):
        return Picture(_save(image, suffix))
    if not is_a(image, "numpy", "ndarray"):
        raise InvalidValueError(
            f"log_image: image is of type {type_name(image)}",
            why="an image is a numpy array, an image of PIL or a figure of matplotlib",
            next="of a torch.Tensor pass image.permute(1, 2, 0).numpy(); of a file log_artifact",
        )
    if is_a(image, "numpy", "MaskedArray"):
        image = image.filled(0)
    shape = image.shape
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or 0 in shape or channels not in (1, 3, 4):
        first = len(shape) == 3 and shape[0] in (1, 3, 4)
        raise InvalidValueError(
            f"log_image: image has the shape {shape}",
            why="an image has the shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)",
            next="pass image.transpose(1, 2, 0)" if first else "log several images one by one",
        )
    pixels, changed = _to_bytes(image)
    if suffix == "png":
        rows, filters = _filtered(pixels.reshape(shape[0], shape[1] * channels), channels)
        return Picture(encode_png(rows, shape[1], shape[0], channels, filters), changed)
    return Picture(_save(_to_pil(pixels, suffix), suffix), changed)


def _to_bytes(image: Any) -> tuple[Any, str]:
    """The pixels as integers of 8 bits, and what was changed for that."""
    kind = image.dtype.kind
    if kind == "b":
        return image.astype("uint8") * 255, ""
    if kind in "iu":
        low, high = image.min(), image.max()
        if low < 0 or high > 255:
            raise InvalidValueError(
                f"log_image: image holds integers from {low} to {high}",
                why="an integer is the value of a channel, from 0 to 255",
                next="pass (image / image.max()) for floats in [0, 1]",
            )
        return image.astype("uint8"), ""
    if kind != "f":
        raise InvalidValueError(
            f"log_image: image holds {image.dtype}",
            why="an image is of bool, integers in [0, 255] or floats in [0, 1]",
            next="image.astype('float32')",
        )
    image = image.astype("float64")
    good = abs(image) < float("inf")
    changed = ""
    if not good.all():
        changed = "pixels that are no finite numbers are black"
        image = good.choose([0.0, image])
    low, high = image.min(), image.max()
    if low < 0 or high > 1:
        scaled = "floats outside of [0, 1] were scaled to it"
        changed = f"{changed}; {scaled}" if changed else scaled
        # Halves first: the difference of two large floats may have no float.
        image = (image / 2 - low / 2) / (high / 2 - low / 2) if high > low else image.clip(0, 1)
    return (image * 255 + 0.5).astype("uint8"), changed


def _filtered(rows: Any, channels: int) -> tuple[bytes, bytes]:
    """The bytes of rows by the filter that leaves least of each, and the filters.

    A photograph takes a third less so. Source: PNG specification, 12.7, minimum sum of absolute
    differences.
    """
    left, above = rows.copy(), rows.copy()
    left[:, channels:] -= rows[:, :-channels]
    above[1:] -= rows[:-1]
    best, least, filters = rows, _left_over(rows), rows[:, 0] * 0
    for number, made in ((1, left), (2, above)):
        rest = _left_over(made)
        is_less = rest < least
        best = (is_less[:, None] * 1).choose([best, made])
        filters[is_less] = number
        least = is_less.choose([least, rest])
    return best.tobytes(), filters.tobytes()


def _left_over(rows: Any) -> Any:
    return abs(rows.view("int8").astype("int16")).sum(axis=1)


def _to_pil(pixels: Any, suffix: str) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError(
            f"an array cannot be written as .{suffix}",
            why="Pillow is not installed; without it arrays become .png",
            next="pip install 'gittrack[images]'",
        ) from None
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels)


def _save(image: Any, suffix: str) -> bytes:
    from PIL import Image

    kind = Image.registered_extensions().get(f".{suffix}")
    if kind is None or kind not in Image.SAVE:
        raise no_such_format("log_image", suffix, "Pillow")
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


# -- figures ---------------------------------------------------------------------------------


def find_figure(value: Any) -> Any:
    """A figure of matplotlib: the value, or the one that it is part of, as axes are; or None."""
    if is_a(value, "matplotlib", "Figure"):
        return value
    if is_a(value, "matplotlib", "Axes") or is_a(value, "seaborn", "Grid", "FacetGrid"):
        found = value.figure
        # Axes may be those of a part of a figure, which cannot be drawn by itself.
        return found.figure if is_a(found, "matplotlib", "SubFigure") else found
    return None


def draw(figure: Any, suffix: str, save_kwargs: Mapping[str, Any]) -> bytes:
    """A figure of matplotlib or plotly as a file of the kind of the suffix.

    Raises:
        InvalidValueError: it is no figure, or there is no such kind.
        MissingExtraError: plotly needs kaleido for that kind.
    """
    found = find_figure(figure)
    if found is not None:
        return _draw_matplotlib(found, suffix, save_kwargs)
    if is_a(figure, "plotly", "BaseFigure", "Figure"):
        return _draw_plotly(figure, suffix, save_kwargs)
    raise InvalidValueError(
        f"log_figure: figure is of type {type_name(figure)}",
        why="a figure is one of matplotlib or plotly",
        next="log_image for pixels, log_html for a page, log_artifact for a file",
    )


def _draw_matplotlib(figure: Any, suffix: str, save_kwargs: Mapping[str, Any]) -> bytes:
    from matplotlib import rc_context

    kind = str(save_kwargs.get("format", suffix)).lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise no_such_format("log_figure", kind, "matplotlib")
    options = {"format": kind, **save_kwargs}
    if kind in _UNDATED:
        options["metadata"] = {**_UNDATED[kind], **(save_kwargs.get("metadata") or {})}
    out = io.BytesIO()
    if kind in ("svg", "svgz"):
        with rc_context({"svg.hashsalt": _SALT}):
            figure.savefig(out, **options)
    else:
        figure.savefig(out, **options)
    return out.getvalue()


def _draw_plotly(figure: Any, suffix: str, save_kwargs: Mapping[str, Any]) -> bytes:
    if suffix == "json":
        return str(figure.to_json(**save_kwargs)).encode()
    if suffix in ("html", "htm"):
        # Its own id is a random one.
        name = hashlib.sha256(figure.to_json().encode()).hexdigest()[:32]
        options = {"include_plotlyjs": "cdn", "div_id": name, **save_kwargs}
        options.pop("auto_open", None)
        return str(figure.to_html(**options)).encode()
    if suffix not in _PLOTLY_IMAGES:
        raise no_such_format("log_figure", suffix, "plotly")
    from importlib.util import find_spec

    if find_spec("kaleido") is None:
        raise MissingExtraError(
            f"a figure of plotly cannot be drawn as .{suffix}",
            why="plotly draws pictures with kaleido, which is not installed",
            next="pip install 'gittrack[plotly]', or log it as .html",
        )
    return bytes(figure.to_image(**{"format": suffix, **save_kwargs}))


def no_such_format(what: str, suffix: str, library: str) -> InvalidValueError:
    """The error that a library writes no files of a kind."""
    said = f"of the kind .{suffix}" if suffix else "without a suffix"
    return InvalidValueError(
        f"{what}: artifact_file names a file {said}",
        why=f"{library} writes none",
        next="a path such as 'plots/roc.png'",
    )
