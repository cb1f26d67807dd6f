"""Sound of a user as the bytes of a WAV file."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from gittrack.capture.foreign import is_a, type_name
from gittrack.core.wav import encode_wav
from gittrack.errors import InvalidValueError

#: No recording has more; an array of more has its axes the other way round.
_MOST_CHANNELS = 64
#: What known formats begin with.
_BEGINNINGS = (
    (b"RIFF", "wav"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3"),
    (b"\xff\xfb", "mp3"), (b"\xff\xf3", "mp3"), (b"\xff\xf2", "mp3"),
)  # fmt: skip


class Sound(NamedTuple):
    """The bytes of a sound file, and what had to be changed, in words."""

    data: bytes
    changed: str = ""


def suffix_of(data: bytes) -> str:
    """`wav` for the bytes of such a file; "" if they are of no known format."""
    return next((suffix for start, suffix in _BEGINNINGS if data.startswith(start)), "")


def encode(audio: Any, sample_rate: object) -> Sound:
    """An array of numpy as a WAV file of 16 bits a sample.

    Args:
        audio: shape (n,) or (n, channels); floats in [-1, 1] (what is outside is cut off), or
            integers of 8 (unsigned), 16 or 32 bits over their whole range.
        sample_rate: samples a second, in Hz.
    Raises:
        InvalidValueError: of another type or shape, or without a rate.
    """
    if not is_a(audio, "numpy", "ndarray"):
        raise InvalidValueError(
            f"log_audio: audio is of type {type_name(audio)}",
            why="sound is a numpy array, the path of a sound file, or its bytes",
            next="of a torch.Tensor pass audio.numpy().T",
        )
    rate = getattr(sample_rate, "item", lambda: sample_rate)()
    if not isinstance(rate, int) or not 0 < rate < 1 << 31:
        raise InvalidValueError(
            f"log_audio: sample_rate is {sample_rate!r}",
            why="an array says nothing about how fast it is to be played",
            next="log_audio(audio, 'speech.wav', sample_rate=16_000)",
        )
    shape = audio.shape
    if len(shape) not in (1, 2) or 0 in shape or (len(shape) == 2 and shape[1] > _MOST_CHANNELS):
        raise InvalidValueError(
            f"log_audio: audio has the shape {shape}",
            why="sound has the shape (n,) or (n, channels)",
            next="of an array of (channels, n) pass audio.T",
        )
    samples, changed = _to_int16(audio)
    channels = shape[1] if len(shape) == 2 else 1
    if sys.byteorder == "big":
        samples = samples.byteswap()
    return Sound(encode_wav(samples.tobytes(), channels, rate), changed)


def _to_int16(audio: Any) -> tuple[Any, str]:
    kind, size = audio.dtype.kind, audio.dtype.itemsize
    if kind == "f":
        audio = audio.astype("float64")
        bad = audio != audio
        changed = "values that are NaN are silence" if bad.any() else ""
        audio = (~bad).choose([0.0, audio]) if changed else audio
        if audio.min() < -1 or audio.max() > 1:
            changed = changed or "values outside of [-1, 1] were cut off"
        return (audio.clip(-1, 1) * 32767).round().astype("int16"), changed
    if (kind, size) == ("i", 2):
        return audio.astype("int16"), ""
    if (kind, size) == ("i", 4):
        return (audio.astype("int32") >> 16).astype("int16"), ""
    if (kind, size) == ("u", 1):
        return ((audio.astype("int16") - 128) << 8).astype("int16"), ""
    raise InvalidValueError(
        f"log_audio: audio holds {audio.dtype}",
        why="samples are floats in [-1, 1], or integers of 8 (unsigned), 16 or 32 bits",
        next="audio.astype('float32') / peak",
    )
