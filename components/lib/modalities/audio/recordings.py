"""Audio decoding within limits: bytes of a file, or an array, to a mono waveform of one sampling rate.

libsndfile decodes (wav, flac, ogg, opus, mp3, aiff, au and more), soxr resamples, both in blocks: memory
does not grow with what a header promises. Channels are averaged.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from components.lib.core.errors import DataError

Waveform = npt.NDArray[np.int16]  # (samples,)
Floats = npt.NDArray[np.float32]

MOST = 1 << 28  # values of a recording, over all channels: 0.5 GB as int16 of one
RATES = (4_000, 384_000)  # samples a second
CHANNELS = 32
BLOCK = 1 << 16  # frames that are decoded at a time
FULL = 0.999  # of full scale: a sample that is as loud is cut off, or nearly
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "NIST")
UNKNOWN = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # sizes that a writer puts into a header when it does not know better
DATA = "data:"  # URLs that hold the file themselves


@dataclass(frozen=True)
class Recording:
    """What stands in an audio file, or in a part of it.

    Attributes:
        waveform: mono, at the rate that was asked for.
        rate, channels: as they are in the file.
        encoding: container and sample format, such as "WAV/PCM_16".
        frames: samples of a channel that were read.
        level: root mean square in decibels below full scale: 0 is the loudest.
        clipped: share of the samples at full scale.
        beyond: whether samples lie beyond it, as floats may; they are cut off.
        identity: 16 bytes that equal recordings share, whatever they are encoded by.
    """

    waveform: Waveform
    rate: int
    channels: int
    encoding: str
    frames: int
    level: float
    clipped: float
    beyond: bool
    identity: bytes

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.frames / self.rate


def content(value: Any) -> bytes:
    """A field of a record as the bytes of an audio file.

    Args:
        value: bytes, a `data:` URL, `{"bytes": ..., "path": ...}` or `{"array": ..., "sampling_rate": ...}`,
            as `datasets` has it. An array becomes a WAV file, in 16 bits if it is of whole numbers.

    Raises:
        DataError: if it is something else.
    """
    if isinstance(value, Mapping) and value.get("array") is not None:
        return _array(value["array"], value.get("sampling_rate"))
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if isinstance(value, str) and value.startswith(DATA):
        value = _decoded(value.partition(",")[2])
    if isinstance(value, bytes):
        if not value:
            raise DataError("the recording is empty", found="0 bytes")
        return value
    what = "the recording is not in the record" if value is None else "a value is not a recording"
    expected = "bytes, {bytes, path}, {array, sampling_rate} or a data: URL"
    raise DataError(what, found=type(value).__name__, expected=expected)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("a data: URL is not base64", found=str(error)) from error


def _array(values: Any, rate: Any) -> bytes:
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf" or array.ndim not in (1, 2) or not array.size:
            raise ValueError(f"{array.dtype} of shape {array.shape}")
        if isinstance(rate, bool) or int(rate) != rate or not RATES[0] <= rate <= RATES[1]:
            raise ValueError(f"a sampling rate of {rate!r}")
        if array.dtype.kind in "iu" and (array.min() < -32768 or array.max() > 32767):
            raise ValueError("whole numbers beyond 16 bits")
    except (TypeError, ValueError, OverflowError) as error:
        expected = "{array: numbers, sampling_rate: samples a second}"
        raise DataError("an array is not a recording", found=str(error)[:80], expected=expected) from error
    array = array.T if array.ndim == 2 and array.shape[0] <= CHANNELS < array.shape[1] else array
    return encoded(array.astype(np.int16 if array.dtype.kind in "iu" else np.float32), int(rate))


def encoded(samples: npt.NDArray[Any], rate: int, subtype: str = "") -> bytes:
    """(samples,) or (samples, channels) as a WAV file, in 16 bits or in floats."""
    import soundfile

    file = io.BytesIO()
    kind = subtype or ("PCM_16" if samples.dtype == np.int16 else "FLOAT")
    soundfile.write(file, samples, rate, subtype=kind, format="WAV")
    return file.getvalue()


def decode(data: bytes, rate: int, most: float = math.inf, keep: bool = True) -> Recording:
    """An audio file at a sampling rate; of one that is longer than `most` seconds, its beginning.

    Args:
        rate: samples a second of the waveform; 0: as it is in the file.
        keep: whether the waveform is wanted.

    Raises:
        DataError: if it is broken, cut short, too long, or of a format, rate or number of channels that is
            not read.
    """
    with opened(data) as file:
        wanted = min(file.frames, MOST // file.channels + 1, math.ceil(min(most, 1e9) * file.samplerate))
        found = Reader(file.samplerate, rate or file.samplerate, keep)
        for block in _blocks(file, wanted):
            found.add(block)
        whole = wanted == file.frames and file.format != "MP3"  # whose header does not tell it
        if found.frames < wanted and whole:
            told = f"{found.frames:,} of {wanted:,} samples"
            raise DataError("the recording is cut short", found=told, expected="as many as its header tells")
        if found.frames * file.channels > MOST:
            raise DataError(
                "the recording is too long", found="it goes on", expected=f"at most {MOST:,} values"
            )
        if not found.frames:
            raise DataError("the recording is empty", found="0 samples")
        return found.recording(file.channels, f"{file.format}/{file.subtype}")


def opened(data: bytes) -> Any:
    """Libsndfile's file, of a kind and size that is read."""
    import soundfile

    _check_riff(data)
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        expected = "wav, flac, ogg, opus, mp3, aiff or au"
        raise DataError(
            "the recording cannot be decoded", found=str(error)[-80:], expected=expected
        ) from error
    wrong = ""
    if file.format not in FORMATS:
        wrong = f"a file of {file.format_info}"
    elif not RATES[0] <= file.samplerate <= RATES[1]:
        wrong = f"a sampling rate of {file.samplerate:,} Hz"
    elif not 1 <= file.channels <= CHANNELS:
        wrong = f"{file.channels} channels"
    elif file.frames * file.channels > MOST and file.frames < 1 << 62:
        wrong = f"{file.frames / file.samplerate / 3600:.1f} hours"
    if wrong:
        file.close()
        expected = f"{RATES[0]:,} to {RATES[1]:,} Hz, {CHANNELS} channels, at most {MOST:,} values"
        raise DataError("the recording is of a kind that is not read", found=wrong, expected=expected)
    return file


def _check_riff(data: bytes) -> None:
    """Raises DataError for a WAV file whose data are fewer than it says: libsndfile passes over that."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])[0]
        if name == b"data":
            if size not in UNKNOWN and size > len(data) - at - 8:
                found, expected = f"{len(data) - at - 8:,} bytes of samples", f"{size:,}, as its header says"
                raise DataError("the recording is cut short", found=found, expected=expected)
            return
        at += 8 + size + size % 2
    raise DataError("the recording has no samples", found="no data chunk", expected="a whole WAV file")


def _blocks(file: Any, wanted: int) -> Iterator[Floats]:
    """(frames, channels) at a time."""
    left = wanted
    while left > 0:
        try:
            block = file.read(min(BLOCK, left), dtype="float32", always_2d=True)
        except (RuntimeError, OSError) as error:
            raise DataError("the recording cannot be decoded", found=str(error)[-80:]) from error
        if not len(block):
            return
        left -= len(block)
        yield block


class Reader:
    """Averages channels, resamples and measures, block after block."""

    def __init__(self, rate: int, wanted: int, keep: bool) -> None:
        import soxr

        self._stream = None
        if keep and rate != wanted:
            self._stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
        self._keep, self._rate = keep, rate
        self._parts: list[Waveform] = []
        self._digest = blake2b(rate.to_bytes(4, "little"), digest_size=16)
        self._squares, self._full, self._beyond, self.frames = 0.0, 0, False, 0

    def add(self, block: Floats) -> None:
        """Takes (frames, channels); raises DataError if a value is not a number."""
        if not np.isfinite(block).all():
            raise DataError("a sample of the recording is not a number", found="nan or infinite")
        self._beyond |= bool(np.abs(block).max(initial=0) > 1)
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        self.frames += len(mono)
        self._squares += float(np.square(mono, dtype=np.float64).sum())
        self._full += int((np.abs(mono) >= FULL).sum())
        whole = quantised(mono)
        self._digest.update(whole.tobytes())
        if self._stream is not None:
            self._parts.append(quantised(self._stream.resample_chunk(np.ascontiguousarray(mono))))
        elif self._keep:
            self._parts.append(whole)

    def recording(self, channels: int, encoding: str) -> Recording:
        """What was added."""
        if self._stream is not None:
            self._parts.append(quantised(self._stream.resample_chunk(np.empty(0, np.float32), last=True)))
        power = max(self._squares / self.frames, 1e-10)
        return Recording(
            waveform=np.concatenate([np.empty(0, np.int16), *self._parts]),
            rate=self._rate,
            channels=channels,
            encoding=encoding,
            frames=self.frames,
            level=-10 * math.log10(power),
            clipped=self._full / self.frames,
            beyond=self._beyond,
            identity=self._digest.digest(),
        )


def quantised(samples: Floats) -> Waveform:
    """Floats from -1 to 1 in 16 bits, as libsndfile has them; others are cut off."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
