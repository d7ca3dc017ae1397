"""Modalities: one folder a kind of data, with all that is particular to it, for every stage.

The package of a modality is light (literals alone) and declares

    UNIT, DOCUMENT          what a trunk reads ("token"), and what an accepted record is ("document")
    LENGTH                  optional: what `Reader.extent(inputs)` counts
    OFFERS                  capabilities that objectives and tasks may need, whatever the architecture
    ARCHITECTURES           architecture -> the capabilities that it adds
    FIELDS                  role -> default name of the fields that ingestion reads
    READS                   contents that files of its data HOLD (components/lib/data/formats), besides tables
    STARTS                  optional: capabilities, each with a module of its name: prepare(samples, trunk)
                            sets first weights by the corpus itself: `pretraining.start` may name one
    PARTS                   optional: modalities that it is composed of. Each fills the folder of its name in
                            tokens and in a trunk, has the settings of its name in `tokenization` and
                            `pretraining.trunk`, and does the tasks that need nothing but what it offers
    JOINED                  optional: True if annotations beside its files belong to records of the corpus
    SERVED                  optional: roles that a client may send to a bare trunk, each or some of them
    SHARED                  facts of tokens that a trunk and its warm start have in common
    MODEL_TYPES             types of models of `transformers` that it builds and may load
    PUBLISHED               those of published checkpoints to start from -> the capabilities that they add
    TASK                    the kind of a task that names none
    USE                     the task of a bare trunk in the terms of the Hugging Face hub
    LIBRARIES               what a server installs besides torch and transformers
    INPUT                   MLflow type of an input where a model is served: "string"; "double[]" for a list
    EXAMPLE, SNIPPET        an input, or None where it depends on the data; the lines of Python that load a
                            model and give it one

Its modules, each imported by the stage that uses it:

    settings    Ingestion, Tokenization, Pretraining, Finetuning: settings of its own (standard library alone)
    ingestion   COLUMNS, NATIVE, WORDS and the functions of `Ingestion` below
    tokenization    plan(options, executor) -> identity, build(store, corpus, draft)
    preflight   all optional: task(config, dials, where) and warnings(pretraining, dials), errors that only it
                can have; layers(dials); follow(trunk): settings of tokenization to read as a trunk does;
                published(trunk, facts): settings of a trunk that comes from published weights
    checkpoint  adopt(checkpoint, reference) -> settings that are added to a published one's, and facts of it
    samples     open_split(options, store, tokens, split, *older) -> samples, whose `trunk(folder)` may be new
    trunk       Trunk, load(folder); its import registers networks of its own with `transformers`
    labelled    Reader: labelled records to examples, also where a branch is served; value(record, name, tell,
                role) is the input in the columns that the modality understands by a name, for a role
    page        what report and cards say and show of its data
    explanation optional: ROLE, baseline and explained: what speaks for an answer, as that of text says it
    linear      optional: UNITS, of "sample" and "word", and features(unit, store, trunk, folder) -> name ->
                `models.linear.Features`, fitted without labels: what the start `linear` chooses from
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.core.settings import to_dict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from components.lib.data.formats import Record, Rejected
    from components.lib.data.near_duplicates import Likeness
    from components.lib.storage.artifacts import Manifest

Payload = tuple[Any, ...]
# Facts of all documents, notices, and what sets reasons of a block of them by these facts.
Settled = tuple[dict[str, Any], list[str], "Callable[[Any], None]"]
SEVERAL = """import mlflow
from pandas import DataFrame

model = mlflow.pyfunc.load_model("{uri}")
record = {record}
model.predict(DataFrame([record]))
"""


def names() -> list[str]:
    """The modalities that there are."""
    return plugins.names(__name__)


def load(name: str, part: str = "") -> Any:
    """A modality, or one of its modules; raises ConfigError that lists the modalities that exist."""
    if not name:
        fix = f"name it once, as `modality` beside the sections; known: {', '.join(names())}"
        raise ConfigError("the kind of data is not named", where="modality", fix=fix)
    return plugins.load(__name__, name, part)


def snippet(name: str, model: str, alias: str = "challenger", inputs: Sequence[str] = ()) -> str:
    """Lines of Python that load a registered model and ask it; its newest version, promoted or not.

    Args:
        inputs: the roles of its task that are inputs.
    """
    uri, declared = f"models:/{model}@{alias}", load(name)
    if len(inputs) < 2:
        return str(declared.SNIPPET.format(uri=uri))
    return SEVERAL.format(uri=uri, record=dict.fromkeys(inputs, declared.EXAMPLE or "..."))


def preflight(name: str) -> Any:
    """The module `preflight` of a modality, or None."""
    return load(name, "preflight") if plugins.offers(__name__, name, "preflight") else None


def dials(name: str, trunk: Mapping[str, Any]) -> dict[str, Any]:
    """The settings `pretraining.trunk` of a modality, with their defaults; those of a part are a mapping."""
    usual = to_dict(load(name, "settings").Pretraining())
    own = {part: dials(part, trunk.get(part) or {}) for part in parts(name)}
    return {**usual, **trunk, **own}


def offers(name: str, trunk: Mapping[str, Any]) -> set[str]:
    """The capabilities of a modality with the settings `pretraining.trunk`."""
    modality = load(name)
    architecture = dials(name, trunk).get("architecture", "")
    return {*modality.OFFERS, *modality.ARCHITECTURES.get(architecture, ())}


def parts(name: str) -> tuple[str, ...]:
    """The modalities that a modality is composed of; () if it is none of others."""
    known = name in plugins.names(__name__)  # else its own check tells it
    return tuple(getattr(load(name), "PARTS", ())) if known else ()


def reads(name: str, needs: Sequence[str]) -> str:
    """The modality of the branches of a task on trunks of `name`: the part that does what the task needs.

    It is `name` itself if no part does, or a part alone cannot.
    """
    for part in parts(name):
        architectures = load(part).ARCHITECTURES or {"": ()}
        if any(set(needs) <= {*load(part).OFFERS, *added} for added in architectures.values()):
            return part
    return name


def folder(name: str, part: str) -> str:
    """Where in a trunk's folder of `name` the trunk is whose modality is `part`."""
    return "" if part == name else f"{part}/"


def tokens(manifest: Manifest, part: str) -> Manifest:
    """What tokens hold of a modality: all, or what they keep for a part."""
    return manifest if manifest.facts.get("modality", part) == part else manifest.part(part)


def starts(name: str) -> tuple[str, ...]:
    """The starts of pre-training that a modality makes of the corpus itself."""
    return tuple(getattr(load(name), "STARTS", ()))


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
        identity: what of it decides that two are equal, and its split unless documents have groups.
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


class Ingestion(Protocol):
    """What a modality's module `ingestion` holds; `options` are those of its `settings.Ingestion`.

    Three functions are optional: halved(payload), whether it lacks so much that a rule will drop it, and it
    need not name a group; settle(documents, options, held) -> `Settled`, which sees all documents before
    copies are dropped, as often as it likes, in blocks (`documents`: components/ingestion/selection.Settling;
    `held`: facts of the corpus that is continued); and settling(options), which settings decide it.

    The stage moves payloads that it does not look into: tuples of the columns which COLUMNS names.
    """

    COLUMNS: Columns
    NATIVE: bool  # whether its cleaner runs decoders that may crash, so that it needs a sandbox
    WORDS: Words

    def identity(self, options: Any, evaluations: bool) -> dict[str, Any]:
        """Which settings decide what is extracted; whether documents are compared with evaluation sets."""
        ...

    def indexed(self, options: Any, fields: Mapping[str, str]) -> dict[str, Any]:
        """Which settings, and which of the fields, decide the index of an evaluation set."""
        ...

    def shown(self, options: Any) -> dict[str, Any]:
        """Which settings the statistics repeat."""
        ...

    def setting_of(self, rule: str) -> str:
        """Only where the cleaner has quality rules: the setting of one."""
        ...

    def payload(self, record: Record, fields: Mapping[str, str]) -> Payload | Rejected:
        """The data of a record; `fields` are role -> name, for the roles of FIELDS."""
        ...

    def cleaner(self, options: Any, evaluations: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
        """Cleans batches, in a worker process; `evaluations` are folders of indexes."""
        ...

    def indexer(self, options: Any) -> Indexer:
        """Of an evaluation set."""
        ...

    def likeness(self, threshold: float) -> Likeness:
        """Only where the settings have `near_duplicates`: how signatures tell documents that are alike."""
        ...

    def excerpt(self, payload: Payload) -> Payload:
        """What is kept of a dropped document."""
        ...

    def excerpts(self, table: pa.Table) -> pa.Array:
        """What is told of dropped documents: strings."""
        ...

    def sample(self, row: Mapping[str, Any], settled: Mapping[str, Any]) -> str:
        """A document for the data card, as text; `settled` are the facts of `settle`."""
        ...

    def samples(self, samples: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """How they are shown: a `note`, `texts` (source, text) or `pictures` (PNG in base64, caption)."""
        ...

    def contaminated(self, settings: Mapping[str, Any]) -> str:
        """When two documents count as the same, in a sentence."""
        ...
