"""Samples of sound as the bytes of a WAV file. Pure."""

from __future__ import annotations

import io


def encode_wav(samples: bytes, channels: int, sample_rate: int) -> bytes:
    """A WAV file of 16 bits a sample.

    Args:
        samples: signed, little-endian; one of each channel, then the next of each.
        channels: at least 1.
        sample_rate: samples of each channel in a second, in Hz.
    Raises:
        ValueError: it does not fit into a WAV file, whose sizes have 32 bits.
    """
    import wave

    if len(samples) > (1 << 32) - 64:
        raise ValueError(f"{len(samples):,} bytes of samples")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples)
    return out.getvalue()
