"""Settings of ingestion; those of a modality stand among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib import executors, modalities
from components.lib.core.errors import ConfigError
from components.lib.core.settings import from_dict, part, setting

SLOWEST = 1 << 20  # bytes of a file that are read in a second at least: archives may hold much of no concern


@dataclass(frozen=True)
class Evaluation:
    """Labelled data that must not stand in the corpus.

    Attributes:
        fields: role of the modality -> name of the field.
    """

    source: str = setting(help="URI of an evaluation set, as in `sources`")
    format: str = setting("auto", "format of its files")
    format_options: dict[str, dict[str, Any]] = setting({}, "options by format; none: those of the sources")
    share: float = setting(1.0, "share of its records that count, chosen by hash", minimum=0, maximum=1)
    group: str = setting("", "field of its groups; with ingestion.group, no document of them is trained on")
    fields: dict[str, str] = part()


@dataclass(frozen=True)
class Config:
    """Raw data in, a clean corpus out.

    Attributes:
        own: the modality's `Ingestion`.
        fields: role of the modality -> name of the field.
    """

    sources: tuple[str, ...] = setting(
        help="URIs of the data: folder/, folder/*.txt, s3://, https://, hf:, pypi:, sample:"
    )
    modality: str = setting(help="kind of data: a folder of components/lib/modalities")
    format: str = setting(
        "auto", "format of the files: auto (by ending), or one of components/lib/data/formats"
    )
    format_options: dict[str, dict[str, Any]] = setting({}, "options by format, e.g. {txt: {unit: line}}")
    encoding: str = setting("auto", "encoding of text files; auto detects it")
    decontaminate: tuple[Evaluation, ...] = setting((), "evaluation sets that are kept out of the corpus")
    validation: float = setting(0.05, "share of documents held out, chosen by hash", minimum=0, maximum=0.5)
    group: str = setting(
        "",
        "field whose documents stay on one side of the split: patient, speaker, thread; @file: the file or "
        "archive that they are in; empty: documents are split one by one",
    )
    quarantine: float = setting(
        0.001,
        "share of records, and of bytes in whole files, that may be unreadable before ingestion fails",
        minimum=0,
        maximum=1,
    )
    shard_bytes: int = setting(64 << 20, "bytes of data of one output shard", minimum=1 << 10)
    since: str = setting("", "reference of a corpus: only sources that it does not hold are taken")
    known: str = setting("", "corpus after which there is nothing to do, set by `skip_unchanged`")
    workers: int = setting(0, "processes that clean; 0: one a core, up to 16", minimum=0, maximum=1024)
    engine: str = setting("processes", "what extracts: a file of components/lib/executors, such as ray")
    address: str = setting("", "of the engine's cluster, host:port; empty: one of this machine")
    timeout: float = setting(
        120.0,
        "seconds in which a process must give the next records of a file, and one more for each MiB of it",
        minimum=1,
        maximum=86_400,
    )
    memory: int = setting(
        4 << 30, "bytes that a process may map to decode a file or a batch", minimum=2 << 30
    )
    sort_memory: int = setting(
        64 << 20,
        "bytes in which duplicates of all documents are found, whatever their number; the rest lies on disk",
        minimum=1 << 20,
    )
    own: Any = part()
    fields: dict[str, str] = part()

    def patience(self, size: int) -> float:
        """Seconds in which a process must give the next records of a file of so many bytes."""
        return self.timeout + size / SLOWEST

    @property
    def near_duplicates(self) -> float:
        """Similarity above which one of two documents is dropped; 0: off, or unknown to the modality."""
        return float(getattr(self.own, "near_duplicates", 0.0))

    def check(self) -> list[ConfigError]:
        """What spans several settings."""
        errors = []
        if not self.sources:
            errors.append(
                ConfigError("no source is named", where="ingestion.sources", fix="name at least one")
            )
        errors += executors.check(self.engine, self.address, "ingestion")
        twice = sorted({uri for uri in self.sources if self.sources.count(uri) > 1})
        if twice:
            errors.append(ConfigError("a source is named twice", where="ingestion.sources", found=twice[0]))
        return errors


def configured(values: Mapping[str, Any], where: str = "ingestion") -> Config:
    """The checked settings for the modality that they name; raises ConfigError."""
    modality = str(values.get("modality", ""))
    parts = {
        "own": modalities.load(modality, "settings").Ingestion,
        "fields": modalities.load(modality).FIELDS,
    }
    return from_dict(Config, values, where, parts)
