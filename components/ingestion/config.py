"""Settings of ingestion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.lib.config import setting
from components.lib.errors import ConfigError


@dataclass(frozen=True)
class Evaluation:
    """Labelled data that must not stand in the corpus."""

    source: str = setting(help="URI of an evaluation set, as in `sources`")
    format: str = setting("auto", "format of its files")
    text: str = setting("text", "its field of text, or of tokens")


@dataclass(frozen=True)
class Config:
    """Raw data in, a clean corpus out."""

    sources: tuple[str, ...] = setting(
        help="URIs of the data: folder/, folder/*.txt, s3://, https://, hf:, pypi:, sample:"
    )
    format: str = setting("auto", "format of the files: auto (by ending), txt, jsonl, csv, parquet, tab")
    format_options: dict[str, dict[str, Any]] = setting({}, "options by format, e.g. {txt: {unit: line}}")
    encoding: str = setting("auto", "encoding of text files; auto detects it")
    text: str = setting("text", "field that holds the text")
    filters: dict[str, dict[str, Any]] = setting(
        {"length": {}, "letters": {}, "repetition": {}, "symbols": {}},
        "quality rules and their options; they are asked in the order of their names",
    )
    near_duplicates: float = setting(
        0.8,
        "Jaccard similarity of 5-word shingles above which one text is dropped; 0: off",
        minimum=0,
        maximum=1,
    )
    decontaminate: tuple[Evaluation, ...] = setting(
        (), "evaluation sets whose text is kept out of the corpus"
    )
    ngram: int = setting(
        13, "words of a run that counts as shared with an evaluation set", minimum=2, maximum=64
    )
    overlap: float = setting(
        0.5,
        "share of a document's runs, or of an evaluation document's, from which on it is contaminated",
        minimum=0,
        maximum=1,
    )
    validation: float = setting(0.05, "share of documents held out, chosen by hash", minimum=0, maximum=0.5)
    quarantine: float = setting(
        0.001, "share of records that may be unreadable before ingestion fails", minimum=0, maximum=1
    )
    shard_bytes: int = setting(64 << 20, "bytes of text of one output shard", minimum=1 << 10)
    workers: int = setting(0, "processes that clean text; 0: one a core, up to 16", minimum=0, maximum=1024)

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
