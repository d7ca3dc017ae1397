"""Made-up documents, and a run of ingestion on them."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from components.ingestion.config import configured
from components.ingestion.run import run
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store

CONSONANTS = "bcdfghjklmnprstvwxz"


def words(draw: random.Random, count: int) -> list[str]:
    return [
        "".join(draw.choice(CONSONANTS) + draw.choice("aeiou") for _ in range(draw.randint(1, 3)))
        for _ in range(count)
    ]


def texts(count: int, seed: str, length: int = 30) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(words(draw, length)) for _ in range(count)]


def write(folder: Path, files: dict[str, list[str]]) -> Path:
    """One file a name, one document a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


class Ingestion:
    """Runs ingestion against one store and reads its corpora."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.store = Store(str(tmp_path / "store"))

    def __call__(self, *sources: object, **settings: object) -> Manifest:
        values = {
            "sources": [str(source) for source in sources],
            "format_options": {"txt": {"unit": "line"}},
            "modality": "text",
            "workers": 1,
            "validation": 0.2,
        }
        config = configured({**values, **settings})
        context = Context(self.store)
        manifest = run(config, context, corpus=self.folder / "corpus.json", card=self.folder / "card.html")
        self.reused, self.notices = context.outputs[-1]["reused"], context.notices
        return manifest

    def table(self, manifest: Manifest, prefix: str) -> pa.Table:
        paths = [self.store.open(manifest, name) for name in manifest.names(prefix, ".parquet")]
        return pa.concat_tables([parquet.read_table(path, page_checksum_verification=True) for path in paths])

    def texts(self, manifest: Manifest) -> list[str]:
        return [
            text
            for split in ("train", "validation")
            for text in self.table(manifest, split)["text"].to_pylist()
        ]

    def dropped(self, manifest: Manifest) -> list[dict[str, str]]:
        return self.table(manifest, "dropped").to_pylist()
