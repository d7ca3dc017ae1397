"""What ingestion does in a way of its own for each kind of data: one file a modality.

The rest of the stage moves payloads that it does not look into: tuples of the columns which a modality
names. A modality declares

    Evaluation, Config                              those of `components.ingestion.config` and its own
    COLUMNS: Columns                                how its documents stand in tables
    NATIVE: bool                                    whether its cleaner decodes, in processes of its own
    identity(config) -> dict                        which of its settings decide what is extracted
    indexed(config) -> dict                         which of them decide the index of an evaluation set
    shown(config) -> dict                           which of them the statistics repeat
    payload(record, fields) -> tuple | Rejected     the data of a record; fields: Config or Evaluation
    cleaner(config, folders) -> list of payloads -> Cleaned
    indexer(config) -> Indexer                      of an evaluation set; the cleaner reads its folder
    near_copies(ids, signatures, threshold) -> mask
    excerpt(payload) -> payload                     what is kept of a dropped document
    excerpts(table) -> strings                      what is told of it
    WORDS: Words, sample(row), samples(samples), contaminated(settings)     for the data card

`Config` is read where nothing but the standard library is installed, so that everything else is imported
by the functions that need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.lib.core import plugins
from components.lib.core.settings import from_dict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Payload = tuple[Any, ...]


def load(name: str) -> Any:
    """The file of a modality; raises ConfigError that lists those that exist."""
    return plugins.load(__name__, name)


def configured(values: Mapping[str, Any], where: str = "ingestion") -> Any:
    """The checked settings of ingestion for the modality that they name."""
    return from_dict(load(str(values.get("modality", "text"))).Config, values, where)


@dataclass(frozen=True)
class Columns:
    """How documents of a modality stand in tables.

    Attributes:
        payload: column -> Arrow type of the data themselves.
        measures: whole numbers that are known of every document.
        totals: measures that are summed up.
        lengths: measures whose spread is drawn.
        kinds: columns of either sort whose values are counted.
        signature: 16-bit words of a signature.
        samples: documents that the data card shows.
    """

    payload: Mapping[str, str]
    measures: tuple[str, ...]
    totals: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    signature: int = 0
    samples: int = 5


@dataclass(frozen=True)
class Words:
    """What the data card calls things.

    Attributes:
        unit: what a document is.
        identity: what of it decides its split.
        found: what is counted of an evaluation set.
        altered: what was repaired, up to the number of documents.
        spread: heading of the charts of lengths.
        lengths: measure -> heading and axis of its chart.
    """

    unit: str
    identity: str
    found: str
    altered: str
    spread: str
    lengths: Mapping[str, tuple[str, str]]


@dataclass
class Cleaned:
    """A batch after cleaning: one entry for each document that could be read, in the order given.

    Attributes:
        reasons: '' if the document is kept, else 'rule: what was found'.
        measures: name -> (documents,) numbers.
        shared: 0, or 1 if it overlaps with an evaluation document, or 2 if it equals one.
        signatures: (documents, words) or None if none are wanted.
        altered: how many documents were repaired.
        broken: place in the batch -> why it could not be read.
    """

    payloads: list[Payload] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    measures: dict[str, npt.NDArray[np.int32]] = field(default_factory=dict)
    shared: npt.NDArray[np.int8] | None = None
    signatures: npt.NDArray[np.uint16] | None = None
    altered: int = 0
    broken: dict[int, str] = field(default_factory=dict)


class Indexer(Protocol):
    """Collects an evaluation set and writes what the cleaner compares with."""

    def add(self, payload: Payload) -> None:
        """Takes one document; raises DataError if it cannot be read."""
        ...

    def save(self, folder: Path) -> int:
        """Writes the index, with the identities in ids.npy; returns how many documents it has."""
        ...
