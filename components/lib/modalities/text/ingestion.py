"""Text: words are counted, rules judge them, MinHash finds near-copies, runs of words find test texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.lib.data.formats import Record, Rejected, column, rejected
from components.lib.modalities import Cleaned, Columns, Indexer, Payload, Words
from components.lib.modalities.text import filters
from components.lib.modalities.text.settings import Ingestion

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


COLUMNS = Columns(
    payload={"text": "string"},
    measures=("words", "characters"),
    totals=("words", "characters"),
    lengths=("words", "characters"),
    signature=128,
)
NATIVE = False
WORDS = Words(
    unit="document",
    identity="its text",
    found="stand in the sources word for word",
    altered="Control characters were removed from",
    spread="Lengths of the documents",
    lengths={name: (f"Length in {name}", f"{name} of a document") for name in COLUMNS.lengths},
)
DROPPED = 80  # characters that are kept of a dropped document
SAMPLE = 600  # characters of a document on the data card


def identity(options: Ingestion, evaluations: bool) -> dict[str, Any]:
    """Raises ConfigErrors for an unknown rule or option."""
    rules = filters.check(options.filters)
    return {
        "filters": [[name, options] for name, options in rules.items()],
        "runs": [options.ngram, options.overlap] if evaluations else [],
    }


def indexed(options: Ingestion, fields: Mapping[str, str]) -> dict[str, Any]:
    """The length of the runs."""
    return {"ngram": options.ngram, "text": fields["text"]}


def shown(options: Ingestion) -> dict[str, Any]:
    """What the card explains."""
    return {"ngram": options.ngram, "overlap": options.overlap}


def payload(record: Record, fields: Mapping[str, str]) -> Payload | Rejected:
    """The text of a record; a list of tokens is joined by blanks."""
    value = column(record, fields["text"], ("text",))
    if isinstance(value, Rejected):
        return value
    if isinstance(value, list) and all(isinstance(token, str) for token in value):
        value = " ".join(value)
    if not isinstance(value, str):
        return rejected(record.where, f"'{fields['text']}' is no text but {type(value).__name__}", value)
    if value.count("\0") * 10 > len(value):
        return rejected(record.where, "binary data: more than 10 % of it are NUL characters", value)
    return (value,)


def cleaner(options: Ingestion, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Keeps the words that it has seen."""
    from components.lib.modalities.text.cleaning import Cleaner

    return Cleaner(options, folders)


def indexer(options: Ingestion) -> Indexer:
    """Runs of words of an evaluation set."""
    from components.lib.modalities.text.cleaning import Collector

    return Collector(options.ngram)


def near_copies(
    ids: npt.NDArray[np.uint64], signatures: npt.NDArray[np.uint16], threshold: float
) -> npt.NDArray[np.bool_]:
    """By the similarity that MinHash estimates."""
    from components.lib.data.deduplication import near_copies

    return near_copies(ids, signatures, threshold)


def excerpt(payload: Payload) -> Payload:
    """Its beginning."""
    return (payload[0][:DROPPED],)


def excerpts(table: pa.Table) -> pa.Array:
    """The beginnings."""
    import pyarrow.compute as pc

    return pc.utf8_slice_codeunits(table["text"], 0, DROPPED)


def sample(row: Mapping[str, Any]) -> str:
    """Its beginning."""
    text: str = row["text"]
    return text[:SAMPLE]


def contaminated(settings: Mapping[str, Any]) -> str:
    """When two texts count as the same."""
    return (
        "A document is left out if it equals an evaluation document, or if the two share "
        f"{settings['overlap']:.0%} of the runs of {settings['ngram']} words of either."
    )


def samples(samples: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Some texts."""
    texts = [(sample["source"], sample["text"]) for sample in samples]
    return {"note": "Chosen by hash, cut at 600 characters.", "texts": texts}
