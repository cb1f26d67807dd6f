"""Pictures, figures and sound decode to what they were made of, and are the same each time."""

from __future__ import annotations

import io
import json
import wave
from typing import Any

import matplotlib
import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from gittrack.capture import pictures, sounds
from gittrack.core.png import encode_png
from gittrack.core.wav import encode_wav
from gittrack.errors import InvalidValueError, MissingExtraError

matplotlib.use("Agg")


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4]), st.randoms())
def test_png_holds_the_pixels(width: int, height: int, channels: int, random: Any) -> None:
    raw = random.randbytes(width * height * channels)
    found = pixels(encode_png(raw, width, height, channels))
    assert found.shape == ((height, width) if channels == 1 else (height, width, channels))
    assert found.tobytes() == raw


@pytest.mark.parametrize(("width", "height", "channels"), [(2, 2, 2), (0, 4, 1), (2, 1, 1)])
def test_png_of_another_size_is_refused(width: int, height: int, channels: int) -> None:
    with pytest.raises(ValueError):
        encode_png(b"\0\0\0\0", width, height, channels)


@given(st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4]), st.sampled_from([1, 2]))
def test_wav_holds_the_samples(raw: bytes, channels: int) -> None:
    with wave.open(io.BytesIO(encode_wav(raw, channels, 8_000))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (
            channels,
            2,
            8_000,
        )
        assert file.readframes(file.getnframes()) == raw


# -- images ----------------------------------------------------------------------------------


def test_arrays_of_every_type_become_pixels() -> None:
    half = np.array([[0.0, 0.5], [1.0, 0.25]])
    expected = [[0, 128], [255, 64]]
    for dtype in ("float16", "float32", "float64", ">f4"):
        made = pictures.encode_image(half.astype(dtype), "png")
        assert pixels(made.data).tolist() == expected and not made.changed
    for dtype in ("uint8", "int64", "uint16"):
        array = np.array(expected).astype(dtype)
        assert pixels(pictures.encode_image(array, "png").data).tolist() == expected
    mask = pictures.encode_image(half > 0.3, "png")
    assert pixels(mask.data).tolist() == [[0, 255], [255, 0]]
    color = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype="uint8")
    # Views with strides of their own too.
    for view in (color, color[::-1, :, ::-1], color.transpose(1, 0, 2)):
        assert (pixels(pictures.encode_image(view, "png").data) == view).all()
    assert pixels(pictures.encode_image(color[:, :, :1], "jpg").data).shape == (5, 7)


def test_floats_out_of_range_are_scaled_and_that_is_said() -> None:
    made = pictures.encode_image(np.array([[-1.0, 0.0, 1.0]]), "png")
    assert pixels(made.data).tolist() == [[0, 128, 255]]
    assert made.changed == "floats outside of [0, 1] were scaled to it"
    made = pictures.encode_image(np.array([[np.nan, np.inf, 1.0]]), "png")
    assert pixels(made.data).tolist() == [[0, 0, 255]]
    assert made.changed == "pixels that are no finite numbers are black"
    made = pictures.encode_image(np.array([[-1.7e308, 1.7e308]]), "png")
    assert pixels(made.data).tolist() == [[0, 255]]
    assert pixels(pictures.encode_image(np.full((1, 1), 5.0), "png").data).tolist() == [[255]]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 8, 8)), r"shape \(3, 8, 8\)"),
        (np.zeros((8, 8, 2)), r"shape \(8, 8, 2\)"),
        (np.zeros((2, 8, 8, 3)), r"shape \(2, 8, 8, 3\)"),
        (np.zeros(8), r"shape \(8,\)"),
        (np.zeros((0, 8)), r"shape \(0, 8\)"),
        (np.full((2, 2), 256), "integers from 256 to 256"),
        (np.full((2, 2), -1), "integers from -1"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.array([["a"]]), "<U1"),
        ([[0, 1]], "type list"),
        ("picture.png", "type str"),
    ],
)
def test_what_is_no_image_is_named(image: Any, words: str) -> None:
    with pytest.raises(InvalidValueError, match=f"log_image: image .*{words}"):
        pictures.encode_image(image, "png")


def test_images_of_pil_are_kept_in_their_mode() -> None:
    for mode in ("1", "L", "RGB", "RGBA", "P"):
        image = Image.new(mode, (4, 3), 1)
        with Image.open(io.BytesIO(pictures.encode_image(image, "png").data)) as found:
            assert (found.mode, found.size) == (mode, (4, 3))
    with pytest.raises(InvalidValueError, match=r"\.txt"):
        pictures.encode_image(Image.new("L", (1, 1)), "txt")


# -- figures ---------------------------------------------------------------------------------


def drawn() -> Figure:
    figure = Figure(figsize=(1, 1), dpi=30)
    axes = figure.subplots()
    axes.fill_between([1, 2, 3], [1, 2, 3], hatch="/")
    return figure


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "jpg"])
def test_a_figure_drawn_twice_is_the_same_file(suffix: str) -> None:
    first = pictures.draw(drawn(), suffix, {})
    assert first == pictures.draw(drawn().axes[0], suffix, {})
    assert b"Matplotlib v" not in first


def test_what_savefig_takes_is_passed_on() -> None:
    options = {"dpi": 60, "metadata": {"Title": "curve"}}
    with Image.open(io.BytesIO(pictures.draw(drawn(), "png", options))) as image:
        assert image.size == (60, 60)
        assert image.info["Title"] == "curve" and "Software" not in image.info


def test_figures_of_plotly_are_pages_without_random_ids() -> None:
    figure, again = (go.Figure(go.Scatter(x=[0, 1], y=[2, 3])) for _ in range(2))
    page = pictures.draw(figure, "html", {})
    assert page == pictures.draw(again, "html", {})
    assert b"<html>" in page and len(page) < 100_000
    assert len(pictures.draw(figure, "html", {"include_plotlyjs": True})) > 1_000_000
    assert go.Figure(json.loads(pictures.draw(figure, "json", {}))) == figure


def test_pictures_of_plotly_need_kaleido(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"gittrack\[plotly\]"):
        pictures.draw(go.Figure(), "png", {})


@pytest.mark.parametrize("suffix", ["", "xyz"])
def test_a_kind_that_nobody_draws_is_named(suffix: str) -> None:
    for figure in (drawn(), go.Figure()):
        with pytest.raises(InvalidValueError, match="log_figure: artifact_file"):
            pictures.draw(figure, suffix, {})
    with pytest.raises(InvalidValueError, match=r"figure is of type numpy\.ndarray"):
        pictures.draw(np.zeros((2, 2)), "png", {})


# -- sound -----------------------------------------------------------------------------------


def heard(data: bytes) -> list[list[int]]:
    with wave.open(io.BytesIO(data)) as file:
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return raw.reshape(-1, file.getnchannels()).tolist()


def test_arrays_become_samples_of_16_bits() -> None:
    made = sounds.encode(np.array([0.0, 1.0, -1.0, 0.5]), 8_000)
    assert heard(made.data) == [[0], [32767], [-32767], [16384]] and not made.changed
    stereo = np.array([[1, -1], [300, -300]], dtype="int16")
    for array in (stereo, stereo.astype(">i2"), stereo.T.copy().T):
        assert heard(sounds.encode(array, np.int64(8_000)).data) == stereo.tolist()
    assert heard(sounds.encode(stereo.astype("int32") << 16, 8_000).data) == stereo.tolist()
    assert heard(sounds.encode(np.array([0, 128, 255], "uint8"), 1).data) == [
        [-32768],
        [0],
        [32512],
    ]
    loud = sounds.encode(np.array([2.0, -9.0, np.nan], "float32"), 8_000)
    assert heard(loud.data) == [[32767], [-32767], [0]]
    assert loud.changed


@pytest.mark.parametrize(
    ("audio", "rate", "words"),
    [
        (np.zeros((2, 8_000)), 8_000, r"audio has the shape \(2, 8000\)"),
        (np.zeros((4, 2, 2)), 8_000, "audio has the shape"),
        (np.zeros(0), 8_000, "audio has the shape"),
        (np.zeros(4), None, "sample_rate is None"),
        (np.zeros(4), 0, "sample_rate is 0"),
        (np.zeros(4, complex), 8_000, "audio holds complex128"),
        ([0.0], 8_000, "audio is of type list"),
    ],
)
def test_what_is_no_sound_is_named(audio: Any, rate: Any, words: str) -> None:
    with pytest.raises(InvalidValueError, match=f"log_audio: {words}"):
        sounds.encode(audio, rate)
