"""Tokenization of pairs: images at one size, captions as token ids, and how many captions each image has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from components.lib.core.errors import IntegrityError
from components.lib.executors import Executor
from components.lib.modalities import image as images
from components.lib.modalities import text as texts
from components.lib.modalities.image import tokenization as image
from components.lib.modalities.pairs.captions import split
from components.lib.modalities.pairs.settings import Tokenization
from components.lib.modalities.text import tokenization as text
from components.lib.modalities.text.tokenization.corpus_texts import Texts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store

SPLITS = image.SPLITS


def plan(
    options: Tokenization, executor: Executor
) -> tuple[dict[str, Any], Callable[[Store, Manifest, Draft], None]]:
    """What decides the output, and what builds it; raises ConfigError as those of both parts do."""
    parts = {
        "image": image.plan(options.image, executor),
        "text": text.plan(options.text, executor, CaptionTexts),
    }

    def build(store: Store, corpus: Manifest, draft: Draft) -> None:
        drafts = {name: draft.part(name) for name in parts}
        for name, (_, fill) in parts.items():
            fill(store, corpus, drafts[name])
        counts = {split: _counted(store, corpus, split, draft) for split in SPLITS}
        draft.facts = {name: one.facts for name, one in drafts.items()}
        draft.facts["pairs"] = {split: int((found > 0).sum()) for split, found in counts.items()}
        draft.facts["captions"] = {split: int(found.sum()) for split, found in counts.items()}
        shared = {"image": images.SHARED, "text": texts.SHARED}
        draft.facts["towers"] = {
            name: {fact: drafts[name].facts[fact] for fact in facts} for name, facts in shared.items()
        }
        draft.facts["notices"] = [told for one in drafts.values() for told in one.facts.get("notices", ())]
        draft.measured = {name: one.measured for name, one in drafts.items()}

    return {name: identity for name, (identity, _) in parts.items()}, build


def _counted(store: Store, corpus: Manifest, part: str, draft: Draft) -> Any:
    """(images,) captions of each, published as a file; raises IntegrityError if they are not all there."""
    rows = CaptionTexts(store, corpus, part)
    found = np.array([len(split(row)) for _, some in rows.rows() for row in some], np.int32)
    if int(found.sum()) != rows.told:
        what, where = "the corpus is not what its manifest tells", f"{corpus.uri} ({part})"
        raise IntegrityError(what, where=where, found=f"{found.sum()} captions", expected=rows.told)
    name = f"{part}-captions.npy"
    np.save(draft.folder / name, found, allow_pickle=False)
    draft.add(name, len(found))
    return found


@dataclass
class CaptionTexts(Texts):
    """Captions of one split, image after image, each a text of its own."""

    KEPT: ClassVar[bool] = True

    @property
    def told(self) -> int:
        """How many captions the manifest tells of."""
        return int(self.corpus.facts["captions"].get(self.split, 0))

    def rows(self, files: Sequence[str] = ()) -> Iterator[tuple[list[str], list[str]]]:
        """Ids and captions, one a line, of images."""
        yield from super()._rows(files or self.files)

    def _rows(self, files: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
        for ids, joined in self.rows(files):
            found = [(name, caption) for name, row in zip(ids, joined, strict=True) for caption in split(row)]
            yield [name for name, _ in found], [caption for _, caption in found]
