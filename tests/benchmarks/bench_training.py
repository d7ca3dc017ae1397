"""Masked language modelling: our engine against `transformers.Trainer`, turn by turn in one process.

All sides train a BERT of 4.4 million weights (4 layers, width 256, feed-forward 512, 8,000 tokens), one
epoch a turn over the same segments, with the same segments a step, threads and precision, and fused AdamW;
once with BERT's 15 % of the tokens hidden, which is what the peer's collator hides as it comes, and once
with the 30 % of our presets. The peer runs twice: as it comes (batches padded to their longest), and at its
best (batches of like lengths); no logging, checkpoints or workers. What counts is real tokens a second:
padding is not work done.

    python -m tests.benchmarks.bench_training
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np
import torch

from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.precision import resolve
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.text.samples import Text, Trunk
from components.lib.modalities.text.settings import Pretraining
from components.lib.objectives import masked_lm
from tests.benchmarks.history import record
from tests.components.lib.objectives.texts import SPECIAL, Documents

LENGTH, VOCABULARY, BATCH, STEPS, ROUNDS = 128, 8_000, 32, 16, 5
HIDDEN = (0.15, 0.3)  # shares of the tokens


def segments(count: int = BATCH * STEPS) -> list[np.ndarray]:
    """Texts of natural lengths: log-normal, median 60 tokens, cut at 126; frequencies by Zipf's law."""
    generator = np.random.default_rng(0)
    sizes = np.clip(generator.lognormal(np.log(60), 0.8, count), 4, LENGTH - 2).astype(int)
    ranks = np.clip(generator.zipf(1.2, sizes.sum()), 1, VOCABULARY - 6) + 4
    return np.split(ranks, np.cumsum(sizes)[:-1])


def trunk(samples: Text) -> Trunk:
    """The model that all sides train, with the same weights each time."""
    from transformers import AutoModel

    config = samples.trunk().model.config
    config.intermediate_size = 512
    torch.manual_seed(0)
    return Trunk(AutoModel.from_config(config))


def ours(samples: Text, precision: str, hidden: float) -> Any:
    """A function that trains for some steps and returns (real tokens, seconds)."""
    objective = masked_lm.Objective(masked_lm.Config(ratio=hidden), trunk(samples))
    model = WeightedSum({"masked_lm": objective}, {"masked_lm": 1.0})

    def turn() -> tuple[int, float]:
        plan = Plan(Schedule("linear", 1e-3, STEPS, 0.1), precision=precision, quiet=True, report_every=10**9)
        run = Run(model, samples, Order(len(samples), BATCH, 0), plan, World(0, 1, torch.device("cpu")))
        start = time.perf_counter()
        run.train()
        return int(run.meter.counts["real"]), time.perf_counter() - start

    return turn


def theirs(texts: list[np.ndarray], precision: str, folder: str, sampling: str, hidden: float) -> Any:
    """The same with `Trainer` and `DataCollatorForLanguageModeling`."""
    from transformers import BertForMaskedLM, DataCollatorForLanguageModeling, Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    torch.manual_seed(0)
    model = BertForMaskedLM(_config(texts))
    rows = [{"input_ids": [SPECIAL["bos"], *text.tolist(), SPECIAL["eos"]]} for text in texts]
    arguments = TrainingArguments(
        folder, per_device_train_batch_size=BATCH, max_steps=STEPS, learning_rate=1e-3, report_to="none",
        optim="adamw_torch_fused", save_strategy="no", logging_strategy="no", bf16=precision == "bf16",
        disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
        train_sampling_strategy=sampling,
    )  # fmt: skip
    collator = DataCollatorForLanguageModeling(_tokenizer(), mlm_probability=hidden)
    seen = [0]

    def counted(examples: list[dict[str, Any]]) -> Any:
        seen[0] += sum(len(example["input_ids"]) for example in examples)
        return collator(examples)

    def turn() -> tuple[int, float]:
        seen[0] = 0
        trainer = Trainer(model, arguments, data_collator=counted, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        return seen[0], seconds

    return turn


def _config(texts: list[np.ndarray]) -> Any:
    config = trunk(samples(texts)).model.config
    config._attn_implementation = "eager"  # faster than sdpa here: its best
    return config


def samples(texts: list[np.ndarray]) -> Text:
    config = Pretraining(architecture="bert", size="mini", sequence_length=LENGTH)
    return Text(config, Documents(texts), {"special": SPECIAL, "vocab_size": VOCABULARY})


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"[{name.upper()}]": number for name, number in SPECIAL.items()}
    words |= {f"w{number}": number for number in range(5, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", mask_token="[MASK]")


def main() -> None:
    """Prints the table and appends a line to the history."""
    precision = resolve("auto", torch.device("cpu"))
    texts = segments()
    weights = sum(weight.numel() for weight in trunk(samples(texts)).parameters())
    print(f"{weights:,} weights, {BATCH} segments a step, {torch.get_num_threads()} threads, {precision}")
    for hidden in HIDDEN:
        with tempfile.TemporaryDirectory() as folder:
            sides = {
                "trunkline": ours(samples(texts), precision, hidden),
                "trainer": theirs(texts, precision, folder, "random", hidden),
                "trainer, by length": theirs(texts, precision, folder, "group_by_length", hidden),
            }
            rates = compare(sides, ROUNDS)
        print(f"{hidden:.0%} of the tokens hidden")
        for name, values in rates.items():
            ratios = sorted(a / b for a, b in zip(rates["trunkline"], values, strict=True))
            middle, best = ratios[len(ratios) // 2], max(values)
            print(f"  {name:<18} {best:>8,.0f} real tokens/s; ours: {middle:.2f} times that {_span(ratios)}")
            figures = {"side": name, "tokens_per_second": best, "ours_to_it": middle, "hidden": hidden}
            about = {"weights": weights, "precision": precision, "threads": torch.get_num_threads()}
            record("masked_lm_training", {**figures, **about})


def compare(sides: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Real tokens a second of each side and round; the sides take turns, so that noise meets all of them."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, turn in sides.items():
            tokens, seconds = turn()
            if number:  # the first warms up
                rates[name].append(tokens / seconds)
    return rates


def _span(ratios: list[float]) -> str:
    return f"(median of {len(ratios)} turns, {ratios[0]:.2f} to {ratios[-1]:.2f})"


if __name__ == "__main__":
    main()
