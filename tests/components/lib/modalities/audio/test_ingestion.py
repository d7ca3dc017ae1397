"""Recordings of every sort go through ingestion: kept, dropped by a rule or quarantined, to the record."""

import base64
import io
import json
import tarfile
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from pyarrow import parquet

from components.finetuning.config import Labelled
from components.finetuning.labelled import read
from components.lib import tasks
from components.lib.core.errors import DataError
from components.lib.modalities.audio import recordings
from components.lib.modalities.audio.labelled import Reader
from components.lib.modalities.audio.processor import Processor
from tests.components.lib.modalities.audio.test_recordings import BROKEN, file
from tests.made.ingesting import Ingestion

RATE = 16_000
PATTERN = {"sound": {"pattern": "(?P<label>[a-z]+)_(?P<speaker>[a-z]+)_"}}


def clip(seed, seconds=0.6):
    """Noise in bands that change: no two are alike."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * generator.uniform(200, 5000) * time + i) for i in range(4)]
    gates = [np.repeat(generator.random(6) > 0.4, -(-len(time) // 6))[: len(time)] for _ in tones]
    return 0.1 * sum(t * g for t, g in zip(tones, gates, strict=True)) + 0.003 * generator.standard_normal(
        len(time)
    )


def put(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def ingest(tmp_path, *sources, **settings):
    made = Ingestion(tmp_path)
    settings = {"quarantine": 0.9, "format_options": {}, **settings}
    return made, made(*sources, modality="audio", **settings)


def test_every_record_is_kept_dropped_or_quarantined(tmp_path):
    data = tmp_path / "data"
    for number in range(12):
        put(data, f"{'ab'[number % 2]}/{number}.wav", file(clip(number)))
    copies = {
        "exact.flac": ("FLAC", "PCM_16", 1.0),
        "louder.wav": ("WAV", "PCM_16", 1.9),
        "small.ogg": ("OGG", "VORBIS", 1.0),
    }
    whole = recordings.decode(file(clip(0)), RATE).waveform
    for name, (kind, subtype, gain) in copies.items():
        samples = whole if gain == 1.0 else clip(0) * gain
        put(data, f"a/copy-{name}", file(samples, format=kind, subtype=subtype))
    rules = {
        "short.wav": clip(20, 0.05),
        "long.wav": clip(21, 8),
        "silent.wav": clip(22) * 1e-4,
        "clipped.wav": np.sign(clip(23)),
    }
    for name, samples in rules.items():
        put(data, f"b/{name}", file(samples, subtype="FLOAT" if "silent" in name else "PCM_16"))
    for number, content in enumerate(filter(None, BROKEN.values())):
        put(data, f"broken/{number}.wav", content)
    for name in ("empty.wav", "README.md"):
        put(data, name, b"" if name == "empty.wav" else b"words")
    made, corpus = ingest(tmp_path, data, longest=5.0)
    facts, broken = corpus.facts, len(BROKEN) - 1
    assert facts["read"] == 12 + len(copies) + len(rules) + broken and facts["quarantined"] == broken
    assert facts["read"] == sum(facts["documents"].values()) + sum(facts["dropped"].values()) + broken
    kinds = {
        "exact_duplicate": 1,
        "near_duplicate": 2,
        **dict.fromkeys(("short", "long", "silent", "clipped"), 1),
    }
    assert facts["dropped"] == kinds and facts["rate"] == {"16000": 12}
    reasons = made.table(corpus, "quarantine")["reason"].to_pylist()
    assert len(reasons) == broken and all(
        reason.startswith(("the recording", "a sample")) for reason in reasons
    )
    assert sum(facts["milliseconds"].values()) == 1000 * 12 * 0.6


def test_the_data_card_has_players_and_no_script(tmp_path):
    for number in range(5):
        put(tmp_path / "data", f"<b>/{number}.wav", file(clip(number, 6), 22_050, subtype="PCM_24"))
    ingest(tmp_path, tmp_path / "data")
    card = (tmp_path / "card.html").read_text()
    assert card.count("<audio controls") == 5 and "<script" not in card and "<b>" not in card
    assert "media-src data:" in card and "WAV/PCM_24" in card and "decibels below full scale" in card
    sound = base64.b64decode(card.partition("data:audio/wav;base64,")[2].partition('"')[0])
    assert soundfile.info(io.BytesIO(sound)).duration == pytest.approx(4.0)


def test_speakers_of_file_names_never_cross_the_split(tmp_path):
    with tarfile.open(tmp_path / "clips.tar.gz", "w:gz") as archive:
        for number in range(24):
            data = file(clip(number))
            info = tarfile.TarInfo(f"clips/{'ab'[number % 2]}_{'uvwxyz'[number % 6]}_{number}.wav")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    _, corpus = ingest(
        tmp_path, tmp_path / "clips.tar.gz", group="speaker", format_options=PATTERN, validation=0.3
    )
    assert corpus.facts["documents"]["train"] + corpus.facts["documents"]["validation"] == 24
    assert sum(corpus.facts["groups"].values()) == 6 and set(corpus.facts["label"]) == {"a", "b"}
    with pytest.raises(DataError):  # names that say nothing of a speaker
        ingest(tmp_path / "b", tmp_path / "clips.tar.gz", group="speaker", quarantine=0.0)


def test_a_manifest_beside_recordings_names_parts_speakers_and_transcripts(tmp_path):
    """A row of no file, and a part that is none, are told."""
    rows = ["file_name,start,end,transcript,speaker"]
    for number in range(6):
        put(tmp_path / "data", f"clips/{number}.wav", file(clip(number, 3)))
        rows += [
            f"clips/{number}.wav,0,1.5,one,{'uv'[number % 2]}",
            f"clips/{number}.wav,1.5,,two,{'uv'[number % 2]}",
        ]
    rows += ["clips/0.wav,2,1,none,u", "clips/9.wav,,,gone,u"]
    put(tmp_path / "data", "metadata.csv", "\n".join(rows).encode())
    made, corpus = ingest(tmp_path, tmp_path / "data", group="speaker", validation=0.4, near_duplicates=0)
    assert corpus.facts["read"] == 13 and corpus.facts["quarantined"] == 1
    assert sum(corpus.facts["documents"].values()) == 12 and corpus.facts["groups"] == {
        "train": 1,
        "validation": 1,
    }
    assert set(corpus.facts["milliseconds"].values()) == {9000}
    assert "that are not there" in " ".join(made.notices)
    task = tasks.load("speech_recognition")
    given = Labelled(str(tmp_path / "data"), fields={"audio": "audio", "text": "transcript"})
    reader = Reader(Processor(16_000), 30.0)
    config = SimpleNamespace(missing=(), labels=None, modality="audio", reject_budget=0.5)
    split = read(given, task, reader, config, "train")
    assert sorted(split.labels) == ["one"] * 6 + ["two"] * 6 and len(split.rejected["broken"]) == 1


def test_shards_tables_and_features_of_datasets(tmp_path):
    """WebDataset, parquet as `datasets` writes it, and JSON Lines with parts of recordings."""
    data = tmp_path / "data"
    data.mkdir()
    with tarfile.open(data / "shard.tar", "w") as archive:
        for number in range(4):
            members = {
                "flac": file(clip(number), format="FLAC"),
                "txt": b"a b",
                "cls": b"a",
                "json": b'{"speaker": "u"}',
            }
            for ending, content in members.items():
                info = tarfile.TarInfo(f"{number:03d}.{ending}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    audio = [{"bytes": file(clip(number)), "path": f"{number}.wav"} for number in range(4, 8)]
    feature = {
        "info": {
            "features": {"audio": {"_type": "Audio"}, "label": {"names": ["x", "y"], "_type": "ClassLabel"}}
        }
    }
    table = pa.table({"audio": audio, "label": [0, 1, 0, 1]}).replace_schema_metadata(
        {"huggingface": json.dumps(feature)}
    )
    parquet.write_table(table, data / "train.parquet")
    url = "data:audio/wav;base64," + base64.b64encode(file(clip(9, 6))).decode()
    parts = [(0, 1), (1.5, 3), (4, None), (None, 0.5), (7, 8), (3, 2)]
    rows = [{"audio": url, "start": start, "end": end, "label": "z"} for start, end in parts]
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = [data / "train.parquet", data / "rows.jsonl"]
    _, corpus = ingest(tmp_path, *sources, near_duplicates=0)
    assert corpus.facts["label"] == {"x": 2, "y": 2, "z": 4} and corpus.facts["quarantined"] == 2
    seconds = sum(corpus.facts["milliseconds"].values()) / 1000
    assert seconds == pytest.approx(4 * 0.6 + 1 + 1.5 + 2 + 0.5)
    assert "Cut out of longer recordings were 4 clips" in " ".join(
        (tmp_path / "card.html").read_text().split()
    )
    _, corpus = ingest(tmp_path / "b", data / "shard.tar", format="webdataset")
    assert corpus.facts["label"] == {"a": 4} and corpus.facts["encoding"] == {"FLAC/PCM_16": 4}
