"""Labelled texts as a branch reads them: by the trunk's tokenizer, whose probes are checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from components.lib.core.errors import DataError
from components.lib.modalities.text.normalization import REMOVED, normalised
from components.lib.modalities.text.words import split
from components.lib.models import loading
from components.lib.models.families import FAMILIES

if TYPE_CHECKING:
    from components.lib.data.formats import Record
    from components.lib.modalities.text.settings import Finetuning

UNLIMITED = 10**30  # as `transformers` writes it
CHARACTERS = 100  # of a text, or words of a list, for each token that is read
EXCERPT = 300  # characters of a text in a report


class Reader:
    """Texts, or lists of words, to token ids.

    Attributes:
        length: tokens to which inputs are cut, bos and eos included.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.length = int(tokenizer.model_max_length)

    @classmethod
    def open(cls, folder: Path, options: Finetuning | None = None) -> Self:
        """The tokenizer of a trunk or a branch.

        Args:
            folder: of the model.
            options: those of finetuning, whose length counts; without them, a branch has its own, and a bare
                trunk as many positions as it has.
        """
        from components.lib.models.text import static

        static.register()  # where a branch is served, nothing else has done so
        tokenizer = loading.tokenizer(folder)
        if options is not None:
            tokenizer.model_max_length = options.max_length
        told = folder / "config.json"  # of a branch of several modalities there is but its tokenizer
        config = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
        limits = [config.get(name, UNLIMITED) for name in ("max_position_embeddings", "n_positions")]
        family = FAMILIES.get(config.get("model_type", ""))
        limits[0] -= config["pad_token_id"] + 1 if family and family.offset else 0
        if tokenizer.model_max_length >= UNLIMITED:  # nobody has said: as published weights are used
            limits.append(config.get("max_seq_length", UNLIMITED))
        tokenizer.model_max_length = min(tokenizer.model_max_length, *limits)
        return cls(tokenizer)

    def check(self, facts: Mapping[str, Any], where: str) -> None:
        """Raises IntegrityError if the probes of the tokens' facts come out other than then."""
        from components.lib.modalities.text.tokens import check_probes

        check_probes(self.tokenizer, dict(facts))

    def value(self, record: Record, name: str, tell: Callable[[str], None], role: str = "") -> Any:
        """A text, or a list of words, normalised as the corpus is; the task says whether it can use it."""
        given = record.required(name)
        words = given if isinstance(given, list) else [given]
        if any(isinstance(word, str) and REMOVED.search(word) for word in words):
            tell("control characters and halves of characters were removed from texts")
        clean = [normalised(word) if isinstance(word, str) else word for word in words]
        return clean if isinstance(given, list) else clean[0]

    def identity(self, inputs: Mapping[str, Any]) -> str:
        """32 hex digits of the characters; runs of white space count as one blank, as in the corpus."""
        plain = {
            role: " ".join(value.split()) if isinstance(value, str) else value
            for role, value in inputs.items()
        }
        values = next(iter(plain.values())) if len(plain) == 1 else sorted(plain.items())
        return hashlib.sha256(repr(values).encode()).hexdigest()[:32]

    def extent(self, inputs: Mapping[str, Any]) -> int:
        """Words of all texts of an example; characters in scripts without blanks."""
        values = list(inputs.values())
        return sum(len(one) if isinstance(one, list) else len(split(str(one))) for one in values)

    def encode(self, texts: Sequence[Any], **options: Any) -> tuple[Any, list[bool]]:
        """The tokenizer's encoding, cut to the length; and which of the texts were longer.

        It would look at all of a text, and take 300 bytes a character: what is far beyond is cut off before.
        """
        most = self.length * CHARACTERS
        near = [
            text[:most] if isinstance(text, str) else [word[:most] for word in text[:most]] for text in texts
        ]
        encoded = self.tokenizer(
            near, truncation=True, max_length=self.length, return_attention_mask=False, **options
        )
        pairs = zip(encoded.encodings or (), near, texts, strict=True)
        return encoded, [bool(one.overflowing) or len(a) < len(b) for one, a, b in pairs]

    def tensors(self, texts: Sequence[Any]) -> dict[str, Any]:
        """Arguments of a pass of the trunk."""
        from components.lib.modalities.text.examples import Examples

        ids = self.encode(texts)[0]["input_ids"]
        batch = Examples(ids, [0] * len(ids), self.tokenizer.pad_token_id).batch(range(len(ids)))
        return {"input_ids": batch.ids, "attention_mask": batch.mask}

    def served(self, values: Sequence[Any], role: str = "") -> list[str]:
        """What a server was sent, normalised; raises DataError for what is not text, or is empty."""
        texts = [normalised(value) if isinstance(value, str) else value for value in values]
        for value, text in zip(values, texts, strict=True):
            if not isinstance(value, str):
                raise DataError("an input is not text", found=repr(value)[:80], expected="a text")
            if not text:
                raise DataError("an input is an empty text", found=repr(value[:80]))
        return texts

    def excerpt(self, value: Any) -> dict[str, str]:
        """How a report shows an input: its beginning, on one line."""
        line = " ".join(value.split() if isinstance(value, str) else map(str, value))
        return {"text": line if len(line) <= EXCERPT else f"{line[:EXCERPT]}\u2026"}

    def save(self, folder: Path) -> None:
        """Adds the tokenizer's files to a branch."""
        self.tokenizer.save_pretrained(folder)
