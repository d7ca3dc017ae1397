"""Settings of ingestion that every modality has; its own stand in its file of `modalities`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting


@dataclass(frozen=True)
class Evaluation:
    """Labelled data that must not stand in the corpus."""

    source: str = setting(help="URI of an evaluation set, as in `sources`")
    format: str = setting("auto", "format of its files")
    format_options: dict[str, dict[str, Any]] = setting({}, "options by format; none: those of the sources")
    share: float = setting(1.0, "share of its records that count, chosen by hash", minimum=0, maximum=1)


@dataclass(frozen=True)
class Config:
    """Raw data in, a clean corpus out."""

    sources: tuple[str, ...] = setting(
        help="URIs of the data: folder/, folder/*.txt, s3://, https://, hf:, pypi:, sample:"
    )
    modality: str = setting("text", "kind of data: a file of components/ingestion/modalities")
    format: str = setting(
        "auto", "format of the files: auto (by ending), or one of components/lib/data/formats"
    )
    format_options: dict[str, dict[str, Any]] = setting({}, "options by format, e.g. {txt: {unit: line}}")
    encoding: str = setting("auto", "encoding of text files; auto detects it")
    near_duplicates: float = setting(
        0.0, "similarity above which one of two documents is dropped; 0: off", minimum=0, maximum=1
    )
    decontaminate: tuple[Evaluation, ...] = setting((), "evaluation sets that are kept out of the corpus")
    validation: float = setting(0.05, "share of documents held out, chosen by hash", minimum=0, maximum=0.5)
    quarantine: float = setting(
        0.001,
        "share of records, and of bytes in whole files, that may be unreadable before ingestion fails",
        minimum=0,
        maximum=1,
    )
    shard_bytes: int = setting(64 << 20, "bytes of data of one output shard", minimum=1 << 10)
    since: str = setting("", "reference of a corpus: only sources that it does not hold are taken")
    known: str = setting("", "reference of a corpus with which a run ends early, set by `skip_unchanged`")
    workers: int = setting(0, "processes that clean; 0: one a core, up to 16", minimum=0, maximum=1024)

    timeout: float = setting(
        120.0,
        "seconds in which a process must give the next records of a file, and one more for each MiB of it",
        minimum=1,
        maximum=86_400,
    )
    memory: int = setting(
        4 << 30, "bytes that a process may map to decode a file or a batch", minimum=2 << 30
    )

    def check(self) -> list[ConfigError]:
        """What spans several settings."""
        errors = []
        if not self.sources:
            errors.append(
                ConfigError("no source is named", where="ingestion.sources", fix="name at least one")
            )
        twice = sorted({uri for uri in self.sources if self.sources.count(uri) > 1})
        if twice:
            errors.append(ConfigError("a source is named twice", where="ingestion.sources", found=twice[0]))
        return errors
