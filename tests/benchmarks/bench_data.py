"""Ingestion and tokenization of 100 MB of text: MB a CPU-second, peak memory, and `datasets.map` beside it.

Each step is a process of its own. Its CPU seconds are of the work, without imports, with its children. Its
memory is that of all of its processes together, each page shared out among those that share it (PSS), looked
at all the time; the highest sum that was seen is told.
"""

import json
import os
import resource
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.benchmarks.history import record, sized

SIZE = int(os.environ.get("TRUNKLINE_BENCH_BYTES") or sized(100_000_000, 200_000))
WORDS, VOCABULARY = sized((50_000, 16_000), (500, 400))
LIMIT = 1.5e9
PAUSE = 0.05  # seconds between two looks at the memory


def write(path: Path) -> int:
    """Documents of log-normal lengths over words with Zipf's frequencies, as jsonl; returns bytes of text."""
    generator = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(generator.choice(letters, n)) for n in generator.integers(2, 11, WORDS)])
    shares = 1 / np.arange(1, WORDS + 1)
    cumulated = np.cumsum(shares / shares.sum())
    written = 0
    with path.open("w") as file:
        while written < SIZE:
            length = int(np.clip(generator.lognormal(5.3, 0.9), 20, 20_000))
            places = np.searchsorted(cumulated, generator.random(length)).clip(max=WORDS - 1)
            text = " ".join(words[places]) + "."
            file.write(json.dumps({"text": text}) + "\n")
            written += len(text)
    return written


def ingestion(folder: Path) -> None:
    """Sources to corpus."""
    from components.ingestion.config import configured
    from components.ingestion.run import run

    config = configured({"modality": "text", "sources": [str(folder / "texts.jsonl")]})
    outputs = "corpus.json", "card.html"
    corpus, card = (folder / name for name in outputs)
    _measured(lambda: run(config, _context(folder), corpus=corpus, card=card))


def tokenization(folder: Path, output: str = "tokens.json", **settings: Any) -> None:
    """Corpus to tokenizer and tokens."""
    from components.tokenization.config import configured
    from components.tokenization.run import run

    config = configured({"modality": "text", **(settings or {"kind": "bpe", "vocabulary_size": VOCABULARY})})
    corpus, tokens = folder / "corpus.json", folder / output
    _measured(lambda: run(config, _context(folder), corpus=corpus, tokens=tokens))


def encoding(folder: Path) -> None:
    """Corpus to tokens with the tokenizer that stands."""
    tokenization(folder, "again.json", kind="given", tokenizer=str(_tokenizer(folder) / "tokenizer.json"))


def datasets_map(folder: Path) -> None:
    """The same corpus and tokenizer with `datasets.map`, which writes Arrow."""
    from datasets import load_dataset
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(_tokenizer(folder)))
    shards = (folder / "store").rglob("*-?????.parquet")
    files = sorted(str(path) for path in shards if path.name.startswith(("train-", "validation-")))
    data = load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "cache"))

    def encode(batch: dict[str, list[str]]) -> dict[str, Any]:
        ids = tokenizer(batch["text"], add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return {"input_ids": ids}

    _measured(lambda: data.map(encode, batched=True, remove_columns=data.column_names))


def _context(folder: Path) -> Any:
    from components.lib.storage.stage import Context
    from components.lib.storage.store import Store

    return Context(Store(str(folder / "store")), stage="bench")


def _tokenizer(folder: Path) -> Path:
    return next((folder / "store").rglob("tokenizer.json")).parent


def _cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _measured(work: Any) -> None:
    before = _cpu()
    work()
    print(f"\n{_cpu() - before}")


STEPS = {step.__name__: step for step in (ingestion, tokenization, encoding, datasets_map)}


def measure(step: str, folder: Path) -> tuple[float, float]:
    """CPU seconds and peak bytes of a step in a process of its own."""
    with (folder / f"{step}.out").open("w+") as out:
        command = [sys.executable, "-m", "tests.benchmarks.bench_data", step, str(folder)]
        child, peak = psutil.Popen(command, stdout=out), 0
        while child.poll() is None:
            peak = max(peak, _memory(child))
            time.sleep(PAUSE)
        if child.returncode:
            raise SystemExit(f"{step} ended with {child.returncode}")
        out.seek(0)
        return float(out.read().split()[-1]), float(peak)


def _memory(process: psutil.Process) -> int:
    """Bytes of a process and of all below it, without counting a shared page twice."""
    found = 0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # it has just ended
            found += one.memory_full_info().pss
    return found


def main() -> None:
    """Prints the table and appends a line a step to the history."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write(folder / "texts.jsonl")
        found = {step: measure(step, folder) for step in STEPS}
    print(f"{size / 1e6:.0f} MB of made text")
    for step, (seconds, peak) in found.items():
        verdict = "within" if peak <= LIMIT else "ABOVE"
        rate = size / 1e6 / seconds
        print(f"  {step:<13} {rate:>6.2f} MB/CPU-s, peak {peak / 1e9:.2f} GB ({verdict} 1.5 GB)")
        record("data", {"step": step, "bytes": size, "mb_per_cpu_second": rate, "peak_bytes": peak})
    ratio = found["datasets_map"][0] / found["encoding"][0]
    print(f"  our encoding is {ratio:.2f} times as fast as datasets.map a CPU-second")
    record("data_ratio", {"encoding_to_datasets_map": ratio})


if __name__ == "__main__":
    STEPS[sys.argv[1]](Path(sys.argv[2])) if len(sys.argv) > 1 else main()
