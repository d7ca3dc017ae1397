"""A small corpus and its tokens, made by the real stages, for the stages behind them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store

TOPICS = {
    "sea": "wave harbour sail tide anchor mast keel gull reef storm deck rope".split(),
    "bread": "flour oven yeast crust dough salt knead loaf rise bake crumb rye".split(),
    "stars": "orbit comet lens planet dust nova dish signal probe moon ring sky".split(),
}
COMMON = "the a of and in it was on for with as at".split()


def documents(count: int = 200, seed: int = 0) -> list[tuple[str, str]]:
    """(topic, text): words of the topic among common ones."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        topic = list(TOPICS)[number % len(TOPICS)]
        words = generator.choice(TOPICS[topic] + COMMON, generator.integers(20, 60))
        made.append((topic, " ".join(words)))
    return made


def corpus(store: Store, count: int = 200) -> Manifest:
    """What ingestion hands over."""
    texts = [text for _, text in documents(count)]
    with store.draft(Key("ingestion", 1, {"count": count})) as draft:
        for split, chosen in (("train", texts[: -count // 5]), ("validation", texts[-count // 5 :])):
            ids = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in chosen]
            table = pa.table({"id": ids, "text": chosen, "source": ["made"] * len(chosen)})
            pq.write_table(table, draft.folder / f"{split}-00000.parquet", write_page_checksum=True)
            draft.add(f"{split}-00000.parquet", len(chosen))
        draft.facts = {
            "modality": "text",
            "documents": {"train": count - count // 5, "validation": count // 5},
        }
        return draft.commit()


def tokens(folder: Path, count: int = 200, store: str = "") -> tuple[Context, Path]:
    """A context on a store, in `folder` if none is named, and the path of the tokens manifest in it."""
    from components.tokenization.config import configured
    from components.tokenization.run import run

    context = Context(Store(store or str(folder / "store")), stage="test")
    corpus(context.store, count).write(folder / "corpus.json")
    config = configured({"modality": "text", "kind": "wordpiece", "vocabulary_size": 400})
    run(config, context, corpus=folder / "corpus.json", tokens=folder / "tokens.json")
    return context, folder / "tokens.json"
