"""Audio files of every sort: read as they are, or refused by name; nothing in between."""

import base64
import io
import struct

import numpy as np
import pytest
import soundfile
import soxr

from components.lib.core.errors import DataError
from components.lib.modalities.audio import parts, recordings

RATE = 16_000
TONE = 0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE)
ENCODINGS = [
    *(
        ("WAV", kind)
        for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "MS_ADPCM")
    ),
    *(("FLAC", kind) for kind in ("PCM_16", "PCM_24")),
    *(("OGG", kind) for kind in ("VORBIS", "OPUS")),
    *(("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("AU", "ULAW"), ("CAF", "ALAC_16")),
]


def file(samples=TONE, rate=RATE, format="WAV", subtype="PCM_16"):
    made = io.BytesIO()
    soundfile.write(made, samples, rate, format=format, subtype=subtype)
    return made.getvalue()


@pytest.mark.parametrize(("format", "subtype"), ENCODINGS)
def test_sample_formats(format, subtype):
    found = recordings.decode(file(format=format, subtype=subtype), RATE)
    assert found.encoding == f"{format}/{subtype}" and found.channels == 1 and not found.beyond
    assert found.level == pytest.approx(-20 * np.log10(0.4 / np.sqrt(2)), abs=0.5)
    middle = slice(2000, 6000)  # encoders by loss blur the ends
    error = found.waveform[middle] / 32768 - TONE[middle]
    if format == "MP3" or subtype == "MS_ADPCM":  # which begins a little later, or has blocks
        assert abs(len(found.waveform) - len(TONE)) < 2500
    else:
        assert len(found.waveform) == len(TONE) and np.abs(error).max() < 0.05


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_rates_become_one_as_soxr_has_it(rate):
    time = np.arange(3 * rate) / rate
    tone = np.rint(12_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    found = recordings.decode(file(tone, rate), RATE)
    assert found.rate == rate and found.seconds == pytest.approx(3.0)
    expected = soxr.resample(tone.astype(np.float32) / 32768, rate, RATE, "HQ") * 32768
    assert abs(len(found.waveform) - len(expected)) <= 1
    size = min(len(found.waveform), len(expected))
    assert np.abs(found.waveform[:size] - expected[:size]).max() < 4  # in blocks, of 32,768


def test_channels_are_averaged_and_equal_samples_have_one_identity():
    one, two = file(TONE), file(np.stack([TONE, np.zeros_like(TONE)], axis=1))
    assert recordings.decode(two, RATE).channels == 2
    half = np.abs(recordings.decode(two, RATE).waveform - recordings.decode(one, RATE).waveform / 2)
    assert half.max() <= 1
    same = {
        recordings.decode(file(np.rint(TONE * 32768).astype(np.int16), format=f, subtype=s), RATE).identity
        for f, s in (("WAV", "PCM_16"), ("FLAC", "PCM_16"))
    }
    assert len(same) == 1
    assert recordings.decode(one, 8_000).identity == recordings.decode(one, RATE).identity
    assert recordings.decode(file(TONE * 0.9), RATE).identity not in same
    assert recordings.decode(file(TONE, 8_000), RATE).identity not in same


def test_what_is_beyond_full_scale_is_cut_off_and_told():
    found = recordings.decode(file(3 * TONE, subtype="FLOAT"), RATE)
    assert found.beyond and found.waveform.max() == 32767 and found.clipped > 0.1
    assert not recordings.decode(file(TONE / TONE.max(), subtype="FLOAT"), RATE).beyond


def riff(*chunks):
    body = b"".join(name + struct.pack("<I", size) + data for name, size, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def head(rate=RATE, channels=1, bits=16, kind=1):
    width = channels * bits // 8
    return b"fmt ", 16, struct.pack("<HHIIHH", kind, channels, rate, rate * width % 2**32, width, bits)


DATA = np.rint(TONE * 32768).astype("<i2").tobytes()
BROKEN = {
    "nothing": b"",
    "no audio": b"no audio at all",
    "a header alone": riff(head()),
    "no samples": riff(head(), (b"data", 0, b"")),
    "a rate of 0": riff(head(rate=0), (b"data", len(DATA), DATA)),
    "a rate of 100 Hz": riff(head(rate=100), (b"data", len(DATA), DATA)),
    "a rate of 3 GHz": riff(head(rate=3_000_000_000), (b"data", len(DATA), DATA)),
    "no channels": riff(head(channels=0), (b"data", len(DATA), DATA)),
    "200 channels": riff(head(channels=200), (b"data", len(DATA), DATA)),
    "an unknown sample format": riff(head(kind=0x7777), (b"data", len(DATA), DATA)),
    "cut short": riff(head(), (b"data", len(DATA), DATA))[:-3000],
    "a flac cut short": file(format="FLAC")[:-2000],
    "not a number": file(np.where(np.arange(len(TONE)) == 7, np.nan, TONE), subtype="FLOAT"),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "garbled": file(format="FLAC")[:60] + bytes(range(256)) * 20,
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_refused_by_name(name):
    with pytest.raises(DataError) as raised:
        recordings.decode(recordings.content(BROKEN[name]), RATE)
    assert raised.value.what.startswith(("the recording", "a sample of the recording"))


def test_a_bomb_by_duration_is_refused_before_it_is_decoded(monkeypatch):
    """Six minutes of silence are 40 kB of FLAC: bounded by what it says, and by what comes."""
    silence = file(np.zeros(6 * 60 * RATE, np.int16), format="FLAC")
    assert len(silence) < 60_000
    monkeypatch.setattr(recordings, "MOST", 5 * 60 * RATE)
    with pytest.raises(DataError, match="kind that is not read") as raised:
        recordings.decode(silence, RATE)
    assert "hours" in raised.value.found


def test_a_writer_that_did_not_know_the_length_is_believed():
    for size in (0xFFFFFFFF, 0):
        streamed = riff(head(), (b"data", size, DATA))
        try:
            assert recordings.decode(streamed, RATE).frames == len(TONE)
        except DataError as error:
            assert size == 0 and "empty" in error.what  # told, not lost


def test_fields_of_a_record():
    data = file()
    url = "data:audio/wav;base64," + base64.b64encode(data).decode()
    assert (
        recordings.content(data)
        == recordings.content({"bytes": data, "path": "x.wav"})
        == recordings.content(url)
        == data
    )
    array = {"array": [0, 1, -1] * 100, "sampling_rate": 8000}
    assert recordings.decode(recordings.content(array), 0).waveform[:3].tolist() == [0, 1, -1]
    floats = {"array": (TONE / 2).tolist(), "sampling_rate": 8000, "path": None}
    assert recordings.decode(recordings.content(floats), 0).encoding == "WAV/FLOAT"
    for odd in (
        None,
        3,
        "x.wav",
        "data:audio/wav;base64,!",
        b"",
        {"array": [], "sampling_rate": 8000},
        {"array": ["a"], "sampling_rate": 8000},
        {"array": [1], "sampling_rate": 0},
        {"array": [1]},
        {"array": [10**9], "sampling_rate": 8000},
        {"bytes": None, "path": "x.wav"},
    ):
        with pytest.raises(DataError):
            recordings.content(odd)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "ULAW", "FLOAT"])
def test_a_part_is_cut_out_without_loss(subtype):
    whole = recordings.decode(file(subtype=subtype), RATE)
    part = recordings.decode(parts.cut(file(subtype=subtype), 0.1, 0.3), RATE)
    assert np.array_equal(part.waveform, whole.waveform[1600:4800])
    for start, end in ((0.6, 0.7), (0.3, 0.3), (-1.0, 0.2)):
        with pytest.raises(DataError, match="no such part"):
            parts.cut(file(), start, end)
