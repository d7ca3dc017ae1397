"""What is said in a clip, as text: connectionist temporal classification of characters.

Graves et al., "Connectionist temporal classification", ICML 2006; decoded by the likeliest class of each
frame. WER and CER are those of jiwer, over all examples together.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCTC

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.classes import Unlabelled
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.audio.examples import IGNORED, ClipSet, Padded
from components.lib.models import classifiers
from components.lib.models.inference import batches
from components.lib.tasks import Reading

NEEDS = ("audio", "frames")
OFFERS = ()
ROLES = {"audio": "audio", "text": "text"}
METRICS = {
    "wer": {"better": "lower", "low": 0.0, "high": None, "title": "word error rate (WER)"},
    "cer": {"better": "lower", "low": 0.0, "high": None, "title": "character error rate (CER)"},
    "exact": {"better": "higher", "low": 0.0, "high": 1.0, "title": "transcripts without an error"},
}
PRIMARY = "wer"
FEWEST = 2
USE = "automatic-speech-recognition"
OUTPUTS = (("text", "string"), ("score", "double"))
BLANK, SPACE = "<blank>", "|"  # names of the first class, and of the space
UNKNOWN = "\ufffd"  # of characters that no transcript of the training has: they are wrong, whatever is heard
OPEN = True  # transcripts of the test may have such
COLUMNS = ("word_errors", "words", "character_errors", "characters")

Array = np.ndarray[Any, np.dtype[Any]]
load = partial(classifiers.load, AutoModelForCTC)


@dataclass(frozen=True)
class Config:
    """How transcripts are read."""

    case: bool = setting(False, "upper and lower case are told apart")
    keep: str = setting("'", "signs that are kept, besides letters and digits; others become spaces")


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], str]:
    """A recording and its transcript, normalised; raises DataError with the reason."""
    text, options = values["text"], reading.options or Config()
    if text is None or (isinstance(text, str) and (not text.strip() or text in reading.missing)):
        raise Unlabelled("there is no transcript", found=repr(text)[:80])
    if not isinstance(text, str):
        raise DataError("the transcript is not text", found=repr(text)[:80])
    found = normalised(text, options)
    if not found:
        raise DataError("the transcript has no word", found=repr(text)[:80])
    return {"audio": values["audio"]}, found


def normalised(text: str, options: Config) -> str:
    """Letters, marks, digits and the signs that are kept; single spaces; in lower case unless told."""
    text = unicodedata.normalize("NFC", text if options.case else text.casefold())
    kept = (c if unicodedata.category(c)[0] in "LMN" or c in options.keep else " " for c in text)
    return " ".join("".join(kept).split())


def classes(labels: Iterable[str]) -> list[str]:
    """The blank, the space, what is not known, then every character that occurs."""
    characters = sorted({c for text in labels for c in text if c != " "})
    return [BLANK, SPACE, UNKNOWN, *characters]


def with_unknown(names: list[str], labels: Iterable[str]) -> list[str]:
    """The characters of a branch, then those that only the transcripts know: it never writes them."""
    return names + [name for name in classes(labels) if name not in names]


def encode(reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Any, names: list[str]) -> ClipSet:
    """Waveforms at the trunk's rate, and the classes of their characters."""
    index = {name: number for number, name in enumerate(names)}
    other = index[UNKNOWN]
    targets = [[index.get(SPACE if c == " " else c, other) for c in text] for text in labels]
    return reader.clips(inputs["audio"], targets)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForCTC` of the trunk's architecture, with random weights."""
    config = type(config).from_dict(config.to_dict())
    config.vocab_size, config.pad_token_id = len(names), 0
    config.bos_token_id = config.eos_token_id = None
    return classifiers.build(AutoModelForCTC, config, names)


class Objective(Supervised):
    """Connectionist temporal classification: all ways to say the characters in time, blanks between them."""

    PARTS = ("too_long",)

    def forward(self, batch: Padded) -> Loss:
        """The loss of a character, summed over clips; of a transcript too long for its clip it is 0."""
        inputs = batch.arguments()
        logits = self.model(**inputs).logits.float()
        frames = _frames(self.model, batch.lengths)
        real = batch.targets != IGNORED
        lengths = real.sum(dim=1)
        with torch.autocast(logits.device.type, enabled=False):
            losses = nn.functional.ctc_loss(
                logits.log_softmax(dim=2).transpose(0, 1),
                batch.targets.masked_fill(~real, 0),
                frames,
                lengths,
                reduction="none",
                zero_infinity=True,
            )
        return Loss(
            (losses / lengths.clamp(min=1)).sum(), batch.weight, {"too_long": (lengths > frames).sum()}
        )


def _frames(model: Any, lengths: Tensor) -> Tensor:
    """(n,) places of the network for so many samples."""
    found: Tensor = model._get_feat_extract_output_lengths(lengths)
    return found.clamp(min=1)


@torch.no_grad()
def outcomes(model: nn.Module, samples: ClipSet, names: list[str], size: int = 16) -> dict[str, Array]:
    """Per clip: errors of words and of characters, and how many there are."""
    table = np.zeros((len(samples), len(COLUMNS)), np.int64)
    for place, text, _ in _heard(model, samples, size):
        said = "".join(" " if names[kind] == SPACE else names[kind] for kind in samples.targets[place])
        table[place] = errors(said, text)
    return {name: table[:, number] for number, name in enumerate(COLUMNS)}


def errors(said: str, heard: str) -> tuple[int, int, int, int]:
    """Edits from what is heard to what was said, in words and in characters, and the numbers of both."""
    import jiwer

    words, letters = jiwer.process_words(said, heard), jiwer.process_characters(said, heard)
    found = []
    for one in (words, letters):
        missed = one.substitutions + one.deletions
        found += [int(missed + one.insertions), int(missed + one.hits)]
    return found[0], found[1], found[2], found[3]


def _heard(model: Any, samples: ClipSet, size: int) -> Iterable[tuple[int, str, float]]:
    """Place of a clip, its text by the likeliest class of each frame, and the mean probability of those."""
    names = classifiers.names(model)
    for places, batch in batches(model, samples, size):
        chances = model(**batch.arguments()).logits.double().softmax(dim=2)
        best, kinds = (found.cpu().numpy() for found in chances.max(dim=2))
        for row, count in enumerate(_frames(model, batch.lengths).tolist()):
            path = kinds[row, :count]
            path = path[np.diff(path, prepend=-1) != 0]
            text = "".join(" " if names[kind] == SPACE else names[kind] for kind in path if kind)
            yield int(places[row]), " ".join(text.split()), float(best[row, :count].mean())


@torch.no_grad()
def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """What is said in each clip, and how sure that is."""
    samples = reader.clips(inputs["audio"], [[0]] * len(inputs["audio"]))
    rows: list[dict[str, Any]] = [{}] * len(samples)
    for place, text, score in _heard(model, samples, 16):
        rows[place] = {"text": text, "score": score}
    return rows


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """WER, CER and the share of clips without an error, for each of r weightings of n examples.

    Args:
        outcomes: columns of (n,).
        weights: (r, n), such as the counts of bootstrap replicates.
    """
    exact = outcomes["character_errors"] == 0
    sums = {name: weights @ outcomes[name].astype(np.float64) for name in COLUMNS}
    return {
        "wer": sums["word_errors"] / sums["words"],
        "cer": sums["character_errors"] / sums["characters"],
        "exact": weights @ exact / weights.sum(axis=1),
    }
