"""A run of ingestion on made-up files, and what it left in its store."""

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from components.ingestion.config import configured
from components.ingestion.run import run
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store


def write(folder: Path, files: dict[str, list[str]]) -> Path:
    """One file a name, one document a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


class Ingestion:
    """Runs ingestion against one store and reads its corpora."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(str(folder / "store"))

    def __call__(self, *sources: object, modality: str = "text", **settings: object) -> Manifest:
        lines = {"format_options": {"txt": {"unit": "line"}}, "workers": 1, "validation": 0.2}
        given = {"modality": modality, "sources": [str(source) for source in sources], **lines, **settings}
        context, outputs = Context(self.store), (self.folder / "corpus.json", self.folder / "card.html")
        manifest = run(configured(given), context, corpus=outputs[0], card=outputs[1])
        self.reused, self.notices = context.outputs[-1]["reused"], context.notices
        return manifest

    def table(self, manifest: Manifest, prefix: str) -> pa.Table:
        paths = [self.store.open(manifest, name) for name in manifest.names(prefix, ".parquet")]
        return pa.concat_tables([parquet.read_table(path, page_checksum_verification=True) for path in paths])

    def texts(self, manifest: Manifest) -> list[str]:
        return [text for s in ("train", "validation") for text in self.table(manifest, s)["text"].to_pylist()]

    def dropped(self, manifest: Manifest) -> list[dict[str, str]]:
        return list(self.table(manifest, "dropped").to_pylist())
