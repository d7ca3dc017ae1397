"""Ingestion of audio: decoding within limits, quality rules, identity of samples, near duplicates."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.lib.core.errors import DataError
from components.lib.data import correlation
from components.lib.data.evaluation_index import Collector, Tested
from components.lib.data.formats import Record, Rejected, column, rejected
from components.lib.data.images import Pixels
from components.lib.data.near_duplicates import Likeness
from components.lib.modalities import Cleaned, Columns, Indexer, Payload, Settled, Words
from components.lib.modalities.audio import parts, recordings, spectrogram
from components.lib.modalities.audio.recordings import Recording
from components.lib.modalities.audio.settings import Ingestion

COLUMNS = Columns(
    payload={"audio": "binary", "label": "string", "part": "string", "encoding": "string"},
    measures=("milliseconds", "rate", "channels", "level", "flags"),
    totals=("milliseconds",),
    lengths=("milliseconds", "level"),
    kinds=("rate", "channels", "encoding", "label"),
    signature=correlation.SIZE,
    samples=12,
)
NATIVE = True  # libsndfile's decoders
WORDS = Words(
    unit="clip",
    identity="its samples",
    found="stand in the sources, sample for sample",
    altered="Cut out of longer recordings were",
    spread="How long and how loud the clips are",
    lengths={
        "milliseconds": ("Length in milliseconds", "milliseconds of a clip"),
        "level": ("Level below full scale", "decibels below full scale: 0 is the loudest"),
    },
)
SHOWN = 4.0  # seconds of a clip that the data card plays
RATE = 16_000  # samples a second of what it plays, and of fingerprints
BEYOND = 1  # a flag: floats beyond full scale are cut off


def identity(options: Ingestion, evaluations: bool) -> dict[str, Any]:
    """The rules."""
    return {**shown(options), "alike": options.near_duplicates if evaluations else 0}


def indexed(options: Ingestion, fields: Mapping[str, str]) -> dict[str, Any]:
    """The recording alone: its class decides nothing."""
    return {name: fields[name] for name in ("audio", "start", "end")}


def shown(options: Ingestion) -> dict[str, Any]:
    """The rules."""
    return {name: getattr(options, name) for name in ("shortest", "longest", "silent", "clipped")}


def setting_of(rule: str) -> str:
    """The setting of a quality rule."""
    return {"short": "ingestion.shortest", "long": "ingestion.longest"}.get(rule, f"ingestion.{rule}")


def payload(record: Record, fields: Mapping[str, str]) -> Payload | Rejected:
    """The bytes of the recording's file, its class or '', and which part of it is meant."""
    value = column(record, fields["audio"], ("audio", "label"))
    if isinstance(value, Rejected):
        return value
    try:
        data, part = recordings.content(value), parts.part(record, fields)
    except DataError as error:
        return rejected(record.where, error.reason, "")
    label = record.fields.get(fields["label"], "")
    return data, str(label) if isinstance(label, str | int) else "", part, ""


def cleaner(options: Ingestion, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Decodes every clip."""
    return Cleaner(options, folders)


def indexer(options: Ingestion) -> Indexer:
    """Identities and fingerprints of an evaluation set."""
    return Collector(_known)


def likeness(threshold: float) -> Likeness:
    """By correlation of small spectrograms."""
    return correlation.likeness(threshold)


def settle(documents: Any, options: Ingestion, held: Mapping[str, Any]) -> Settled:
    """What is told of rates, channels and floats of the whole corpus; drops nothing."""
    several = beyond = 0
    for block in documents.blocks():
        several += int((block.measures["channels"] > 1).sum())
        beyond += int((block.measures["flags"] & BEYOND > 0).sum())
    told = {
        "several channels: their mean is read": several,
        "samples beyond full scale: they are cut off": beyond,
    }
    return {}, [f"{count:,} clips have {what}" for what, count in told.items() if count], lambda block: None


def excerpt(payload: Payload) -> Payload:
    """Its class and its encoding."""
    return b"", *payload[1:]


def excerpts(table: pa.Table) -> pa.Array:
    """Their classes."""
    return table["label"]


def sample(row: Mapping[str, Any], settled: Mapping[str, Any]) -> str:
    """A clip's beginning as a WAV file and its spectrogram as a PNG, both in base64, after its class."""
    clip = recordings.decode(row["audio"], RATE, SHOWN).waveform
    shown = (recordings.encoded(clip, RATE), spectrogram.drawn(clip, RATE))
    return "\n".join([row["label"], *(base64.b64encode(part).decode() for part in shown)])


def samples(samples: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Players with spectrograms."""
    parts = [sample["audio"].rsplit("\n", 2) for sample in samples]
    note = (
        f"Chosen by hash; the first {SHOWN:g} seconds of each. Time runs to the right, low pitches are below."
    )
    return {"note": note, "sounds": [(sound, png, label) for label, sound, png in parts]}


def contaminated(settings: Mapping[str, Any]) -> str:
    """When two clips count as the same."""
    alike = settings["near_duplicates"]
    near = f", or if the two correlate by {alike:g} as small spectrograms" if alike else ""
    return f"A clip is left out if its samples are those of an evaluation clip{near}."


class Cleaner:
    """Decodes batches of clips and compares them with evaluation sets."""

    def __init__(self, options: Ingestion, evaluations: Sequence[Path]) -> None:
        self._options = options
        self._tested = Tested(evaluations)

    def __call__(self, payloads: Sequence[Payload]) -> Cleaned:
        clean = Cleaned()
        rows, small = [], []
        for place, (data, label, part, _) in enumerate(payloads):
            try:
                data, clean.altered = parts.parted(data, part), clean.altered + bool(part)
                found = recordings.decode(data, RATE, self._options.longest + 1)
            except DataError as error:
                clean.broken[place] = error.reason
                continue
            clean.payloads.append((data, label, part, found.encoding))
            clean.ids.append(found.identity)
            clean.reasons.append(self._reason(found))
            flags = BEYOND * found.beyond
            rows.append(
                [round(1000 * found.seconds), found.rate, found.channels, math.ceil(found.level), flags]
            )
            small.append(correlation.shrunk(spectrogram.fingerprint(found.waveform, RATE)))
        columns = np.ascontiguousarray(np.array(rows, np.int32).reshape(-1, len(COLUMNS.measures)).T)
        clean.measures = dict(zip(COLUMNS.measures, columns, strict=True))
        clean.signatures = correlation.signatures(small)
        clean.shared = self._tested.shared(clean.ids, clean.signatures, self._options.near_duplicates)
        return clean

    def _reason(self, found: Recording) -> str:
        """Why a clip is dropped, or ''."""
        options = self._options
        if found.seconds < options.shortest:
            return f"short: {found.seconds:.3g} seconds, fewer than {options.shortest:g}"
        if found.seconds > options.longest:
            return f"long: more than {options.longest:g} seconds"
        if found.level >= options.silent:
            return f"silent: {found.level:.0f} decibels below full scale, at least {options.silent:g}"
        if found.clipped > options.clipped:
            return f"clipped: {found.clipped:.1%} of it are at full scale, more than {options.clipped:.1%}"
        return ""


def _known(payload: Payload) -> tuple[bytes, Pixels]:
    """Identity and small picture of a clip of an evaluation set."""
    found = recordings.decode(parts.parted(payload[0], payload[2]), RATE)
    return found.identity, correlation.shrunk(spectrogram.fingerprint(found.waveform, RATE))
