"""Labelled pairs as a branch reads them: images and texts, each by the reader of its own modality."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from components.lib.core.errors import DataError
from components.lib.modalities.image.labelled import Reader as Images
from components.lib.modalities.pairs.settings import Finetuning
from components.lib.modalities.text.labelled import Reader as Texts

if TYPE_CHECKING:
    from components.lib.data.formats import Record

PROMPTS = "prompts.json"
IMAGE, TEXT = "image", "text"


class Reader:
    """An image, or a text, for a role of that name.

    Attributes:
        images, texts: the readers of both towers.
        prompts: how a class is spoken of, `{}` being its name.
    """

    def __init__(self, images: Images, texts: Texts, prompts: Sequence[str]) -> None:
        self.images, self.texts, self.prompts = images, texts, tuple(prompts)

    @classmethod
    def open(cls, folder: Path, options: Finetuning | None = None) -> Self:
        """Those of a trunk or a branch, which knows its prompts."""
        kept = folder / PROMPTS
        prompts = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else Finetuning().prompts
        images = Images.open(folder / IMAGE)
        texts = Texts.open(folder / TEXT, options)  # type: ignore[arg-type]  # both have a max_length
        return cls(images, texts, options.prompts if options else prompts)

    def check(self, facts: Mapping[str, Any], where: str) -> None:
        """Raises IntegrityError if the probes of a part come out other than then."""
        self.images.check(facts[IMAGE], where)
        self.texts.check(facts[TEXT], where)

    def value(self, record: Record, name: str, tell: Callable[[str], None], role: str = IMAGE) -> Any:
        """What the part of this role reads; raises DataError if it cannot."""
        return (self.texts if role == TEXT else self.images).value(record, name, tell)

    def identity(self, inputs: Mapping[str, Any]) -> str:
        """32 hex digits of the image, and of the text if there are both."""
        parts = [self.images.identity({IMAGE: inputs[IMAGE]})] if IMAGE in inputs else []
        parts += [self.texts.identity({TEXT: inputs[TEXT]})] if TEXT in inputs else []
        return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()[:32]

    def prompted(self, names: Sequence[str]) -> list[str]:
        """(names x prompts) texts that speak of classes: those of the first class, then of the next."""
        return [prompt.format(name) for name in names for prompt in self.prompts]

    def encoded(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in their frame."""
        ids: list[list[int]] = self.texts.encode(texts)[0]["input_ids"] if texts else []
        return ids

    def tensors(self, values: Any) -> dict[str, Any]:
        """Arguments of a pass of the dual encoder; `values` are images, or role -> values or Nones."""
        import torch

        given = values if isinstance(values, Mapping) else {IMAGE: values}
        columns: list[Any] = [given.get(IMAGE), given.get(TEXT)]
        count = len(next(column for column in columns if column is not None))
        pictures, words = ([None] * count if column is None else column for column in columns)
        seen = [place for place, value in enumerate(pictures) if value is not None]
        read = [place for place in range(count) if pictures[place] is None]
        for place in read:
            if words[place] is None:
                raise DataError("a row has neither an image nor a text", where=f"input {place + 1}")
        found: dict[str, Any] = {}
        parts: list[tuple[Any, ...]] = [(self.images, pictures, seen), (self.texts, words, read)]
        for part, column, places in parts:
            found |= part.tensors([column[place] for place in places]) if places else {}
        return found | ({"places": torch.tensor(seen)} if read and seen else {})

    def served(self, values: Sequence[Any], role: str = IMAGE) -> list[Any]:
        """What a server was sent for a role; None where a row has none; raises DataError."""
        part: Any = self.texts if role == TEXT else self.images
        return [None if _absent(value) else part.served([value])[0] for value in values]

    def excerpt(self, value: Any) -> dict[str, str]:
        """How a report shows an input."""
        found: dict[str, str] = (self.images if isinstance(value, bytes) else self.texts).excerpt(value)
        return found

    def save(self, folder: Path) -> None:
        """Adds the files of both readers to a branch, and the prompts."""
        for name, reader in ((IMAGE, self.images), (TEXT, self.texts)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            reader.save(folder / name)
        (folder / PROMPTS).write_text(json.dumps(self.prompts, ensure_ascii=False) + "\n", encoding="utf-8")


def _absent(value: Any) -> bool:
    """Whether a row of a table has nothing in a column: None, or pandas' NaN."""
    return value is None or (isinstance(value, float) and value != value)
