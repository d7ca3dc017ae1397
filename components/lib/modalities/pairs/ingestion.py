"""Ingestion of pairs: images as those of the modality image, captions cleaned and filtered one by one.

A document is an image with its captions, joined by line ends. What has no image, or no caption, is dropped by
the rule `half`; a caption that a rule dislikes is left out, and its image with the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.lib.core import plugins
from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.data.formats import Record, Rejected, rejected
from components.lib.data.partitions import MIXER
from components.lib.modalities import Cleaned, Columns, Indexer, Payload, Settled, Words
from components.lib.modalities.image import ingestion as image
from components.lib.modalities.pairs.captions import captions, joined, split
from components.lib.modalities.pairs.settings import Ingestion
from components.lib.modalities.text import filters
from components.lib.modalities.text.ingestion import text_id
from components.lib.modalities.text.words import Vocabulary

OWN = ("captions", "left_out", "altered", "wording")  # measures that images alone have not
COLUMNS = Columns(
    payload={"image": "binary", "text": "string"},
    measures=(*image.COLUMNS.measures, *OWN),
    totals=("captions",),
    lengths=("width", "height", "captions"),
    kinds=("channels", "bits"),
    signature=image.COLUMNS.signature,
    samples=24,
)
NATIVE = True  # Pillow's decoders
WORDS = Words(
    unit="pair",
    identity="the pixels of its image",
    found="have their image in the sources, pixel for pixel, or their text among the captions",
    altered="Turned upright, or freed of control characters in a caption, were",
    spread="Sizes of the images, and captions of each",
    lengths={**image.WORDS.lengths, "captions": ("Captions", "captions of an image")},
)
EXCERPT, SAMPLE = 80, 120  # characters of captions that are kept of a dropped pair, and on the card
HALF = "half: "
TEXTS = "texts.npy"  # of an index: ids of texts without an image

likeness = image.likeness
settling = image.settling


def identity(options: Ingestion, evaluations: bool) -> dict[str, Any]:
    """The rules of images and of captions; raises ConfigErrors for an unknown rule or option."""
    rules = filters.check(options.filters)
    return {
        **image.identity(options, evaluations),
        "filters": [[name, chosen] for name, chosen in rules.items()],
    }


def indexed(options: Ingestion, fields: Mapping[str, str]) -> dict[str, Any]:
    """The fields of both halves."""
    return {name: fields[name] for name in ("image", "text")}


def shown(options: Ingestion) -> dict[str, Any]:
    """The rules of images."""
    return image.shown(options)


def setting_of(rule: str) -> str:
    """The setting of a quality rule."""
    if rule == "half":
        return "ingestion.image and ingestion.text, the fields of both"
    return f"ingestion.filters.{rule}" if rule in plugins.names(filters.__name__) else image.setting_of(rule)


def payload(record: Record, fields: Mapping[str, str]) -> Payload | Rejected:
    """The bytes of the image's file or b'', and its captions, one a line; one of both at least."""
    data, found = b"", list[str]()
    value, words = (record.fields.get(fields[role]) for role in ("image", "text"))
    try:
        if value is not None:
            data = images.content(value)
        found = captions(words)
    except DataError as error:
        return rejected(record.where, error.reason, "")
    if not data and not found:
        names, there = f"'{fields['image']}' nor '{fields['text']}'", ", ".join(map(str, record.fields))
        return rejected(record.where, f"there is neither {names}; there are {there}", record.fields)
    return data, "\n".join(found)


def halved(payload: Payload) -> bool:
    """Whether it has no image, or no caption."""
    return not all(payload)


def cleaner(options: Ingestion, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Decodes images, and keeps the words that it has seen."""
    return Cleaner(options, folders)


def indexer(options: Ingestion) -> Indexer:
    """Of images, with texts that have none."""
    return Collector(options)


def settle(documents: Any, options: Ingestion, held: Mapping[str, Any]) -> Settled:
    """What images tell, captions that were left out of pairs that stay, and copies with other captions."""
    facts, notices, late = image.settle(documents, options, held)
    left_out = altered = 0

    def keys() -> Iterator[npt.NDArray[np.uint64]]:
        nonlocal left_out, altered
        for block in documents.blocks():
            late(block)
            measures, kept = block.measures, block.kept
            left_out += int(measures["left_out"][kept].sum())
            altered += int(measures["altered"][kept].sum())
            ids, wording = block.ids[kept], measures["wording"][kept].view(np.uint32).astype(np.uint64)
            yield np.column_stack([ids, np.zeros_like(wording)])
            yield np.column_stack([ids[:, 0], ids[:, 1] ^ wording * MIXER, np.ones_like(wording)])

    different = documents.distinct(keys())
    if left_out:
        notices.append(f"{left_out:,} captions of pairs that stay are left out, by the rules of captions")
    if altered:
        notices.append(f"{altered:,} captions were freed of control characters or halves of characters")
    if count := different.get(1, 0) - different.get(0, 0):
        notices.append(f"{count:,} images stand in several records with other captions: the first one stays")
    return facts, notices, late


def excerpt(payload: Payload) -> Payload:
    """The beginning of its captions."""
    return b"", payload[1][:EXCERPT]


def excerpts(table: pa.Table) -> pa.Array:
    """The beginnings of their captions."""
    return pa.compute.utf8_slice_codeunits(table["text"], 0, EXCERPT)


def sample(row: Mapping[str, Any], settled: Mapping[str, Any]) -> str:
    """A small PNG, in base64, after its captions."""
    shown = " / ".join(split(row["text"]))[:SAMPLE]
    return image.sample({"image": row["image"], "label": shown}, settled)


def contaminated(settings: Mapping[str, Any]) -> str:
    """When a pair counts as one of an evaluation set."""
    told = image.contaminated(settings).removesuffix(".")
    return f"{told}; of a set without images, if a caption is one of its texts."


def samples(samples: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A grid of images with their captions."""
    return image.samples(samples)


class Cleaner:
    """Cleans batches of pairs: images by their own cleaner, captions by the rules of texts."""

    def __init__(self, options: Ingestion, evaluations: Sequence[Path]) -> None:
        self._images = image.Cleaner(options, evaluations)
        self._rules = filters.load(filters.check(options.filters))
        self._vocabulary = Vocabulary()
        self._texts = {row.tobytes() for folder in evaluations for row in np.load(folder / TEXTS)}

    def __call__(self, payloads: Sequence[Payload]) -> Cleaned:
        pictured = [place for place, (data, _) in enumerate(payloads) if data]
        found = self._images([(payloads[place][0], "") for place in pictured])
        broken = {pictured[place]: why for place, why in found.broken.items()}
        rows = {place: row for row, place in enumerate(p for p in pictured if p not in broken)}
        places = [place for place in range(len(payloads)) if place not in broken]
        source = np.array([rows.get(place, -1) for place in places], np.int64)
        judged = [self._captions(payloads[place][1]) for place in places]
        words = [joined(kept) for kept, _, _, _ in judged]
        clean = Cleaned(broken=broken, altered=sum(bool(altered) for _, _, altered, _ in judged))
        clean.payloads = [(payloads[place][0], text) for place, text in zip(places, words, strict=True)]
        clean.ids = [
            found.ids[row] if row >= 0 else text_id(payloads[place][1].encode("utf-8", "replace").decode())
            for place, row in zip(places, source.tolist(), strict=True)
        ]
        clean.reasons = [
            self._reason(found.reasons[row] if row >= 0 else f"{HALF}no image", kept, why)
            for row, (kept, _, _, why) in zip(source.tolist(), judged, strict=True)
        ]
        own = [
            [len(kept), out, altered, _wording(text)]
            for (kept, out, altered, _), text in zip(judged, words, strict=True)
        ]
        clean.measures = {name: _at(column, source) for name, column in found.measures.items()}
        clean.measures |= zip(OWN, np.array(own, np.int32).reshape(-1, len(OWN)).T, strict=True)
        assert found.signatures is not None and found.shared is not None
        clean.signatures, clean.shared = _at(found.signatures, source), _at(found.shared, source)
        clean.shared[[self._known(text) for text in words]] = 2
        return clean

    def _captions(self, text: str) -> tuple[list[str], int, int, str]:
        """Those that stay, how many do not, how many were altered, and why one does not."""
        given = split(text)
        clean = captions(given, normal=True)
        batch, kept, why = self._vocabulary.batch(clean), [], ""
        for index, caption in enumerate(clean):
            document = batch.document(index, caption)
            reasons = (f"{name}: {told}" for name, rule in self._rules.items() if (told := rule(document)))
            if reason := next(reasons, ""):
                why = why or reason
            else:
                kept.append(caption)
        return kept, len(clean) - len(kept), sum(one not in clean for one in given), why

    def _reason(self, reason: str, kept: list[str], why: str) -> str:
        return reason or ("" if kept else why or f"{HALF}no caption")

    def _known(self, text: str) -> bool:
        return bool(self._texts) and any(text_id(caption) in self._texts for caption in split(text))


def _wording(text: str) -> int:
    """32 bits of the captions, to tell whether copies of an image have the same ones."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big", signed=True)


def _at(rows: npt.NDArray[Any], source: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The rows at these places; 0 where there is none."""
    found = np.zeros((len(source), *rows.shape[1:]), rows.dtype)
    found[source >= 0] = rows[source[source >= 0]]
    return found


class Collector:
    """Makes the index of an evaluation set: of its images, or of texts that have none."""

    def __init__(self, options: Ingestion) -> None:
        self._images = image.indexer(options)
        self._texts: list[bytes] = []

    def add(self, payload: Payload) -> None:
        """Takes one record."""
        if payload[0]:
            self._images.add((payload[0], ""))
        else:
            self._texts += [text_id(caption) for caption in captions(split(payload[1]), normal=True)]

    def save(self, folder: Path) -> int:
        """Writes both indexes; returns how many images and texts they have."""
        np.save(folder / TEXTS, np.frombuffer(b"".join(self._texts), np.uint8).reshape(-1, 16))
        return self._images.save(folder) + len(self._texts)
