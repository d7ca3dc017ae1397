"""Made-up texts, and corpora and tokens of them in a store, as ingestion and tokenization hand them over."""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


def topics(count: int = 200, seed: int = 0) -> list[tuple[str, str]]:
    """(topic, text): words of the topic among common ones."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        topic = list(TOPICS)[number % len(TOPICS)]
        words = generator.choice(TOPICS[topic] + COMMON, generator.integers(20, 60))
        made.append((topic, " ".join(words)))
    return made


def scripts(count: int = 120, seed: int = 0) -> list[str]:
    """Texts of one script each, words shuffled."""
    generator = np.random.default_rng(seed)
    words = [text.split() for text in SCRIPTS.values()]
    return [" ".join(generator.choice(words[i % len(words)], 30)) + "." for i in range(count)]


def nonsense(count: int, seed: str, length: int = 30) -> list[str]:
    """Texts of made-up words, of which no two share a sentence."""
    generator = random.Random(seed)
    return [" ".join(words(generator, length)) for _ in range(count)]


def words(generator: random.Random, count: int) -> list[str]:
    """Words of one to three syllables."""

    def syllable() -> str:
        return generator.choice("bcdfghjklmnprstvwxz") + generator.choice("aeiou")

    return ["".join(syllable() for _ in range(generator.randint(1, 3))) for _ in range(count)]


def corpus(
    store: Store,
    train: Sequence[str],
    validation: Sequence[str] = (),
    *,
    rows: int = 50,
    told: dict[str, int] | None = None,
) -> Manifest:
    """Commits what ingestion hands over, in shards of `rows` documents.

    Args:
        told: numbers of documents that the manifest tells, if not the true ones.
    """
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
                pq.write_table(pa.table(columns, schema), draft.folder / name, write_page_checksum=True)
                draft.add(name, len(part))
        counts = told or {split: len(texts) for split, texts in splits.items()}
        draft.facts = {"modality": "text", "documents": counts}
        return draft.commit()


def tokens(folder: Path, source: Manifest, *, store: str = "", **settings: Any) -> tuple[Context, Manifest]:
    """Runs tokenization, on a store in `folder` if none is named; writes tokens.json there."""
    from components.tokenization.config import configured
    from components.tokenization.run import run

    context = Context(Store(store or str(folder / "store")), stage="tokenization")
    source.write(folder / "corpus.json")
    config = configured({"modality": "text", "vocabulary_size": 600, **settings})
    return context, run(config, context, corpus=folder / "corpus.json", tokens=folder / "tokens.json")


def topic_tokens(folder: Path, count: int = 200, store: str = "") -> tuple[Context, Path]:
    """Tokens of texts on topics: a context on their store, and the path of their manifest."""
    texts = [text for _, text in topics(count)]
    source = corpus(
        Store(store or str(folder / "store")), texts[: -count // 5], texts[-count // 5 :], rows=count
    )
    context, _ = tokens(folder, source, store=store, kind="wordpiece", vocabulary_size=400)
    return context, folder / "tokens.json"


def word_level(path: Path, words: Sequence[str], unk: str | None = "[UNK]", **extra: Any) -> str:
    """Writes a tokenizer.json of whole words; `extra` goes to its top level."""
    names = [unk, *words] if unk else list(words)
    vocabulary = {word: i for i, word in enumerate(names)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": unk or "[UNK]"}
    content = {"version": "1.0", "model": model, "pre_tokenizer": {"type": "Whitespace"}, **extra}
    path.write_text(json.dumps(content))
    return str(path)
