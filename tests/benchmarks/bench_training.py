"""Masked language modelling, and BERT's two losses: our engine against `transformers.Trainer`, turn by turn.

All sides train a BERT of 4.4 million weights (4 layers, width 256, feed-forward 512, 8,000 tokens), one
epoch a turn over the same segments, with the same segments a step, threads and precision, and fused AdamW;
once with BERT's 15 % of the tokens hidden, which is what the peer's collator hides as it comes, and once
with the 30 % of our presets. Then BERT's own objective, with next sentence prediction on pairs of texts:
ours draws new pairs each time, the peer has the same ones. The peer runs twice: as it comes (batches padded
to their longest), and at its best (batches of like lengths); no logging, checkpoints or workers. What counts
is real tokens a second: padding is not work done.

    python -m tests.benchmarks.bench_training
"""

import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from components.lib.engine.optimization import Schedule
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.text.samples import Text
from components.lib.modalities.text.trunk import Trunk
from components.lib.objectives import masked_lm, next_sentence
from tests.benchmarks.history import record, sized
from tests.benchmarks.turns import PRECISION, run_of, spread, turns
from tests.made.in_memory import SPECIAL, draw, text

LENGTH, VOCABULARY = 128, sized(8_000, 200)
BATCH, STEPS, ROUNDS = sized((32, 16, 5), (4, 2, 1))


def segments(count: int = BATCH * STEPS) -> list[np.ndarray]:
    """Texts of natural lengths: log-normal, median 60 tokens, cut at 126; frequencies by Zipf's law."""
    generator = np.random.default_rng(0)
    sizes = np.clip(generator.lognormal(np.log(60), 0.8, count), 4, LENGTH - 2).astype(int)
    ranks = np.clip(generator.zipf(1.2, sizes.sum()), 1, VOCABULARY - 6) + 4
    return np.split(ranks, np.cumsum(sizes)[:-1])


def samples(texts: list[np.ndarray]) -> Text:
    """What our side draws from."""
    return text(texts, VOCABULARY, architecture="bert", size="mini", sequence_length=LENGTH)


def trunk(texts: Text) -> Trunk:
    """The model that all sides train, with the same weights each time."""
    from transformers import AutoModel

    config = texts.trunk().model.config
    config.intermediate_size = 512
    torch.manual_seed(0)
    return Trunk(AutoModel.from_config(config))


def model_of(texts: Text, hidden: float = 0.3, *, pairs: bool = False) -> WeightedSum:
    """The trunk with its objective, or BERT's two."""
    shared = trunk(texts)
    terms = {"masked_lm": masked_lm.Objective(masked_lm.Config(ratio=hidden), shared)}
    if pairs:
        terms["next_sentence"] = next_sentence.Objective(next_sentence.Config(), shared)
    return WeightedSum(terms, dict.fromkeys(terms, 1.0))


def ours(texts: Text, hidden: float, pairs: bool) -> Callable[[], float]:
    """Trains for an epoch, and answers real tokens a second."""
    model = model_of(texts, hidden, pairs=pairs)

    def turn() -> float:
        run = run_of(model, texts, Schedule("linear", 1e-3, STEPS, 0.1), BATCH)
        start = time.perf_counter()
        run.train()
        return float(run.meter.counts["real"] / (time.perf_counter() - start))

    return turn


def rows_of(texts: list[np.ndarray], pairs: bool) -> list[dict[str, Any]]:
    """The examples of the peer's data set."""
    if not pairs:
        return [{"input_ids": [SPECIAL["bos"], *one.tolist(), SPECIAL["eos"]]} for one in texts]
    packed, false = samples(texts).pairs(draw(len(texts)))
    ids, types = (table.flatten()[packed.places].tolist() for table in (packed.ids, packed.types))
    parts = zip(packed.starts[:-1].tolist(), packed.starts[1:].tolist(), false.tolist(), strict=True)
    return [
        {"input_ids": ids[low:high], "token_type_ids": types[low:high], "next_sentence_label": label}
        for low, high, label in parts
    ]


def theirs(
    texts: list[np.ndarray], folder: str, sampling: str, hidden: float, pairs: bool
) -> Callable[[], float]:
    """The same with `Trainer` and `DataCollatorForLanguageModeling`."""
    from transformers import (
        BertForMaskedLM,
        BertForPreTraining,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainingArguments,
    )
    from transformers.trainer_callback import PrinterCallback

    config = trunk(samples(texts)).model.config
    config._attn_implementation = "eager"  # faster than sdpa here: its best
    torch.manual_seed(0)
    model: Any = (BertForPreTraining if pairs else BertForMaskedLM)(config)
    rows = rows_of(texts, pairs)
    quiet = {"report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    kind = {"optim": "adamw_torch_fused", "bf16": PRECISION == "bf16", "train_sampling_strategy": sampling}
    host = {"use_cpu": True, "dataloader_pin_memory": False, "per_device_train_batch_size": BATCH}
    arguments = TrainingArguments(folder, max_steps=STEPS, learning_rate=1e-3, **quiet, **kind, **host)
    collator = DataCollatorForLanguageModeling(_tokenizer(), mlm_probability=hidden)
    seen = [0]

    def counted(examples: list[dict[str, Any]]) -> Any:
        seen[0] += sum(len(example["input_ids"]) for example in examples)
        return collator(examples)

    def turn() -> float:
        seen[0] = 0
        trainer = Trainer(model, arguments, data_collator=counted, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter()
        trainer.train()
        return seen[0] / (time.perf_counter() - start)

    return turn


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"[{name.upper()}]": number for name, number in SPECIAL.items()}
    words |= {f"w{number}": number for number in range(5, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", mask_token="[MASK]")


def main() -> None:
    """Prints the table and appends a line a side to the history."""
    texts, threads = segments(), torch.get_num_threads()
    weights = sum(weight.numel() for weight in trunk(samples(texts)).parameters())
    print(f"{weights:,} weights, {BATCH} segments a step, {threads} threads, {PRECISION}")
    for hidden, pairs in ((0.15, False), (0.3, False), (0.15, True)):
        with tempfile.TemporaryDirectory() as folder:
            sides = {
                "trunkline": ours(samples(texts), hidden, pairs),
                "trainer": theirs(texts, folder, "random", hidden, pairs),
                "trainer, by length": theirs(texts, folder, "group_by_length", hidden, pairs),
            }
            rates = turns(sides, ROUNDS)
        print(f"{hidden:.0%} of the tokens hidden{', and next sentence prediction' if pairs else ''}")
        for name, values in rates.items():
            ratio, best = spread(rates["trunkline"] / values), float(values.max())
            told = "{ratio:.2f} times that (median of turns, {low:.2f} to {high:.2f})".format(**ratio)
            print(f"  {name:<18} {best:>8,.0f} real tokens/s; ours: {told}")
            figures = {
                "side": name,
                "tokens_per_second": best,
                "ours_to_it": ratio["ratio"],
                "hidden": hidden,
            }
            about = {"weights": weights, "precision": PRECISION, "threads": threads}
            record("bert_training" if pairs else "masked_lm_training", {**figures, **about})


if __name__ == "__main__":
    main()
