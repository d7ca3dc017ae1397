"""Text generation by a causal language model: more text like the examples, or answers to prompts.

Where prompt and answer are one column, whole texts are learnt; of two columns, answers are, with the loss on
them alone (instruction tuning: Wei et al., ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from components.lib.core.errors import DataError
from components.lib.data.classes import Unlabelled
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.text.continuations import Continuations, continuations, framed, prompt_ids
from components.lib.modalities.text.examples import IGNORED, Padded
from components.lib.modalities.text.normalization import normalised
from components.lib.modalities.text.novelty import longest_copies, repetition
from components.lib.modalities.text.sampling import sampled
from components.lib.models import classifiers
from components.lib.models.inference import batches
from components.lib.models.text.prediction import predict
from components.lib.tasks import Reading

NEEDS = ("text", "tokens", "causal")
OFFERS = ()
ROLES = {"prompt": "text", "answer": "text"}
CORPUS = ("answer",)
METRICS = {
    "perplexity_per_byte": {"better": "lower", "low": 1.0, "high": None, "title": "perplexity per byte"},
    "bits_per_byte": {"better": "lower", "low": 0.0, "high": None, "title": "bits per byte"},
    "accuracy": {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy of tokens"},
}
PRIMARY = "perplexity_per_byte"
FEWEST = 0
USE = "text-generation"
OUTPUTS = (("text", "string"), ("tokens", "long"))
PARAMS = {  # of sampling, where it is served: what is usual, and the bounds
    "temperature": (0.8, 0.0, 5.0),
    "top_p": (0.95, 0.01, 1.0),
    "max_new_tokens": (48, 1, 512),
    "seed": (0, 0, 2147483647),
}
ANSWERS, TEXTS = "answer", "text"  # what a branch has learnt to write, as its only class names it
SHOWN = 24  # tokens of a whole text that a report shows as its prompt

Array = np.ndarray[Any, np.dtype[Any]]
load = partial(classifiers.load, AutoModelForCausalLM)


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], str]:
    """A prompt and what is to be written, checked; raises DataError with the reason."""
    prompt, text = values["prompt"], values["answer"]
    if not isinstance(prompt, str) or not prompt.strip():
        raise DataError("the prompt is not text, or is empty", found=repr(prompt)[:80])
    if text is None:
        raise Unlabelled("there is no text to be written", found="None")
    if not isinstance(text, str) or not normalised(text):
        raise DataError("what is to be written is not text, or is empty", found=repr(text)[:80])
    return {"prompt": prompt}, normalised(text)


def classes(labels: Iterable[str]) -> list[str]:
    """There are none."""
    return []


def with_unknown(names: list[str], labels: Iterable[str]) -> list[str]:
    """There are none."""
    return []


def encode(
    reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[str], names: list[str]
) -> Continuations:
    """Token ids of prompts and texts in windows."""
    return continuations(reader, inputs["prompt"], labels)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForCausalLM` of the trunk's architecture, with random weights."""
    return classifiers.build(AutoModelForCausalLM, config, [TEXTS])


def begin(model: Any, samples: Continuations) -> None:
    """The branch says whether it answers prompts or goes on with texts."""
    name = ANSWERS if samples.instructed else TEXTS
    model.config.id2label, model.config.label2id = {0: name}, {name: 0}


class Objective(Supervised):
    """Cross-entropy on the next token, of what is to be written alone."""

    def prepare(self, samples: Continuations, draw: Draw) -> Padded:
        """A window of each example."""
        return samples.drawn(draw)

    def forward(self, batch: Padded) -> Loss:
        """The loss, summed over tokens."""
        logits, targets = _predicted(self.model, batch)
        total, hits = predict(logits, targets)
        return Loss(total, batch.weight, {"accuracy": hits})


def _predicted(model: nn.Module, batch: Padded) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, vocabulary) logits and (tokens,) targets, of the tokens that count."""
    given = {"input_ids": batch.ids, "attention_mask": batch.mask, "use_cache": False}
    wanted = batch.targets[:, 1:]
    counts = wanted != IGNORED
    return model(**given).logits[:, :-1][counts], wanted[counts]


@torch.no_grad()
def outcomes(model: nn.Module, samples: Continuations, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per example: nats that its tokens cost, its bytes, its tokens and how many are the likeliest."""
    rows, _ = samples.windows()
    found = np.zeros((len(rows), 3))
    for places, batch in batches(model, rows, size):
        logits, targets = _predicted(model, batch)
        nats = nn.functional.cross_entropy(logits.float(), targets, reduction="none").double()
        owners = (batch.targets[:, 1:] != IGNORED).nonzero()[:, 0]
        values = torch.stack([nats, torch.ones_like(nats), (logits.argmax(1) == targets).double()], 1)
        sums = values.new_zeros(len(places), 3).index_add(0, owners, values)
        found[places] = sums.cpu().numpy()
    first = np.cumsum(samples.many) - samples.many
    whole = np.add.reduceat(found, first, axis=0)
    return {
        "nats": whole[:, 0] + samples.escaped,
        "bytes": samples.bytes,
        "tokens": whole[:, 1].astype(np.int64),
        "correct": whole[:, 2].astype(np.int64),
    }


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Perplexity and bits by the byte, and accuracy by the token, for each of r weightings (r, n)."""
    weights = weights.astype(np.float64)
    nats, size, tokens, correct = (
        weights @ outcomes[name] for name in ("nats", "bytes", "tokens", "correct")
    )
    return {
        "perplexity_per_byte": np.exp(np.minimum(nats / size, 700)),
        "bits_per_byte": nats / size / np.log(2),
        "accuracy": np.divide(correct, tokens, out=np.full_like(tokens, np.nan), where=tokens > 0),
    }


def constant(outcomes: dict[str, Array], classes: list[str]) -> tuple[str, dict[str, Array]]:
    """Every byte is as likely as any other."""
    nats = outcomes["bytes"] * np.log(256)
    return "any byte", {**outcomes, "nats": nats, "correct": np.zeros_like(outcomes["correct"])}


def answer(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[str]], **params: float
) -> list[dict[str, Any]]:
    """What is written after each prompt, and its tokens.

    Args:
        params: of sampling, as PARAMS names them; more tokens than fit beside half a row of prompt are none.
    """
    chosen = {name: params.get(name, usual) for name, (usual, *_) in PARAMS.items()}
    instructed = classifiers.names(model) == [ANSWERS]
    most = max(1, min(int(chosen["max_new_tokens"]), reader.length - reader.length // 2))
    room = max(2, reader.length - most)
    prompts = [prompt_ids(reader, one, room, instructed=instructed) or [0] for one in inputs["prompt"]]
    tokenizer, end = reader.tokenizer, next(iter(framed(reader.tokenizer).behind), None)
    written = sampled(
        model.eval(),
        prompts,
        most=most,
        temperature=float(chosen["temperature"]),
        top_p=float(chosen["top_p"]),
        seed=int(chosen["seed"]),
        end=end,
        never=tokenizer.all_special_ids,
    )
    return [{"text": tokenizer.decode(ids).strip(), "tokens": len(ids)} for ids in written]


def shown(
    model: Any,
    reader: Any,
    inputs: Mapping[str, Sequence[str]],
    labels: Sequence[str],
    corpus: Iterable[Sequence[str]] = (),
) -> tuple[str, list[str], list[list[Any]]]:
    """What is written at fixed seeds, how far it repeats itself, and the longest run that it copies."""
    prompts = list(inputs["prompt"])
    if classifiers.names(model) != [ANSWERS]:
        cut = [reader.tokenizer(text, add_special_tokens=False)["input_ids"][:SHOWN] for text in prompts]
        prompts = [reader.tokenizer.decode(ids) for ids in cut]
    texts = [
        answer(model, reader, {"prompt": [prompt]}, seed=seed)[0]["text"]
        for seed, prompt in enumerate(prompts)
    ]
    copies = longest_copies(texts, corpus)
    rows: list[list[Any]] = [
        [reader.excerpt(prompt)["text"], text, repetition(text), f"{copy} of {len(text.split())}"]
        for prompt, text, copy in zip(prompts, texts, copies, strict=True)
    ]
    note = (
        f"Seeds from 0, temperature {PARAMS['temperature'][0]:g}, top p {PARAMS['top_p'][0]:g}. "
        "Repeated: share of runs of 4 words that stand in the text before. Copied: words of the longest "
        "run that stands in the corpus of pre-training."
    )
    return note, ["prompt", "written", "repeated", "copied"], rows
