"""Corpora for tokenization, as ingestion hands them over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from components.lib.modalities.text.tokenization.plan import Config

from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.tokenization.config import configured

SCRIPTS = {
    "latin": "the quick brown fox jumps over a lazy dog and naïve cafés don't mind 3.14 apples",
    "cyrillic": "съешь же ещё этих мягких французских булок да выпей чаю",
    "greek": "ξεσκεπάζω την ψυχοφθόρα βδελυγμία και γαζέες",
    "devanagari": "हिन्दी में एक वाक्य लिखा है और यह ठीक है",
    "arabic": "نص حكيم له سر قاطع وذو شأن عظيم",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "han": "天地玄黄宇宙洪荒日月盈昃辰宿列张",
    "kana": "いろはにほへと ちりぬるを わかよたれそ カタカナ",
    "thai": "ภาษาไทยไม่มีช่องว่าง ระหว่างคำ",
    "hangul": "키스의 고유조건은 입술끼리 만나야 하고",
}


def documents(count: int = 120, seed: int = 0) -> list[str]:
    """Texts of one script each, words shuffled."""
    generator = np.random.default_rng(seed)
    words = [text.split() for text in SCRIPTS.values()]
    return [" ".join(generator.choice(words[i % len(words)], 30)) + "." for i in range(count)]


def corpus(
    store: Store,
    train: Sequence[str],
    validation: Sequence[str] = (),
    *,
    rows: int = 50,
    told: dict[str, int] | None = None,
) -> Manifest:
    """Commits a corpus in shards of `rows` documents; `told` is what the manifest says of them."""
    splits = {"train": list(train), "validation": list(validation)}
    digest = hashlib.sha256(repr(splits).encode()).hexdigest()
    with store.draft(Key("ingestion", 1, {"made": digest, "rows": rows})) as draft:
        for split, texts in splits.items():
            for number, start in enumerate(range(0, max(1, len(texts)), rows)):
                part = texts[start : start + rows]
                ids = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in part]
                columns = {"id": ids, "text": part, "source": ["made"] * len(part)}
                schema = pa.schema([(name, pa.string()) for name in columns])
                name = f"{split}-{number:05d}.parquet"
                pq.write_table(pa.table(columns, schema=schema), draft.folder / name)
                draft.add(name, len(part))
        draft.facts = {
            "modality": "text",
            "documents": told or {split: len(texts) for split, texts in splits.items()},
        }
        return draft.commit()


def tokenize(folder: Path, source: Manifest, *, store: str = "", **settings: Any) -> tuple[Context, Manifest]:
    """Runs the stage."""
    from components.tokenization.run import run

    context = Context(Store(store or str(folder / "store")), stage="tokenization")
    source.write(folder / "corpus.json")
    config = configured({"modality": "text", "vocabulary_size": 600, **settings})
    return context, run(config, context, corpus=folder / "corpus.json", tokens=folder / "tokens.json")


def word_level(path: Path, words: Sequence[str], unk: str | None = "[UNK]", **extra: Any) -> str:
    """Writes a tokenizer.json of whole words; `extra` goes to its top level."""
    names = [unk, *words] if unk else list(words)
    model: dict[str, Any] = {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(names)}}
    model["unk_token"] = unk or "[UNK]"
    content = {"version": "1.0", "model": model, "pre_tokenizer": {"type": "Whitespace"}, **extra}
    path.write_text(json.dumps(content))
    return str(path)
