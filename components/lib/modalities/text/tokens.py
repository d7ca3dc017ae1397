"""Memory-mapped token shards as one array, and the check that a tokenizer still gives the same ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.lib.core.errors import IntegrityError, InternalError
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

BLANKS = (
    "\u0120",
    "\u010a",
    "\u0109",
    "\u2581",
)  # space, line break and tab of byte-level BPE; Llama's space
Ids = npt.NDArray[np.unsignedinteger[Any]]
Ints = npt.NDArray[np.int64]


class TokenShards:
    """The documents of one split, in the order of the corpus; nothing is read before it is gathered.

    Attributes:
        lengths: (documents,) tokens of each document; special tokens are not among them.
        starts: (documents + 1,) place of each document among all tokens of the split, and the end.
        sentences: places where sentences begin among them, those where documents do included; where
            tokenization looked for none, of documents alone.
        fresh: how many of the documents, the first ones, are of `manifest` and not of `older`.

    Raises:
        IntegrityError: if the shards are not what was committed, or do not fit together.
    """

    def __init__(self, store: Store, manifest: Manifest, split: str, *older: Manifest) -> None:
        self.dtype = np.dtype(manifest.facts["dtype"]).newbyteorder("<")
        self._shards: list[Ids] = []
        offsets, sentences, owners = [], [], list[Manifest]()
        for owner in (manifest, *older):
            for name in owner.names(f"{split}-", ".bin"):
                offsets.append(np.load(store.open(owner, name.replace(".bin", ".offsets.npy"))))
                self._shards.append(_mapped(store.open(owner, name), self.dtype, offsets[-1]))
                owners.append(owner)
                marks = name.replace(".bin", ".sentences.npy")
                found = np.load(store.open(owner, marks)) if marks in owner.names() else offsets[-1][:-1]
                sentences.append(found)
        self._bytes = [shard.view(np.uint8).data for shard in self._shards]
        self.fresh = sum(
            len(part) - 1 for part, owner in zip(offsets, owners, strict=True) if owner is manifest
        )
        empty = np.zeros(0, np.int64)
        self.lengths: Ints = np.concatenate([empty, *map(np.diff, offsets)])
        self.starts: Ints = np.concatenate([[0], np.cumsum(self.lengths)])
        ends = np.cumsum([0, *(part[-1] for part in offsets)])
        self.sentences: Ints = np.concatenate(
            [empty, *(part + end for part, end in zip(sentences, ends[:-1], strict=True))]
        )
        self._places: Ints = np.concatenate([empty, *(part[:-1] for part in offsets)])
        self._bounds: Ints = np.cumsum([len(part) - 1 for part in offsets], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def gather(self, documents: Ints, begins: Ints, lengths: Ints) -> tuple[Ids, Ints]:
        """Windows of documents, one after the other, in one read a shard.

        Args:
            documents: (n,) indices.
            begins: (n,) first token of each window, within its document.
            lengths: (n,) tokens of each window.

        Returns:
            (sum of lengths,) ids, and (n + 1,) where each window starts among them.
        """
        outside = (begins < 0) | (lengths < 0) | (begins + lengths > self.lengths.take(documents))
        if np.count_nonzero(outside):
            found = documents[outside].tolist()
            raise InternalError("a window reaches beyond its document", found=found)
        places = self._places.take(documents) + begins
        if len(lengths) and lengths[0] and not np.count_nonzero(lengths != lengths[0]):
            length = int(lengths[0])
            return self._rows(documents, places, length).view(self.dtype), np.arange(
                len(lengths) + 1
            ) * length
        offsets = np.zeros(len(lengths) + 1, np.int64)
        lengths.cumsum(out=offsets[1:])
        first, last = places * self.dtype.itemsize, (places + lengths) * self.dtype.itemsize
        windows = map(slice, first.tolist(), last.tolist())
        parts: Any = map(getitem, map(self._bytes.__getitem__, self._owners(documents).tolist()), windows)
        ids: Ids = np.frombuffer(b"".join(parts), self.dtype)
        return ids, offsets

    def _rows(self, documents: Ints, places: Ints, length: int) -> Any:
        """(n,): windows of one length, as those of chunked text mostly are, by one read a shard."""
        if len(self._shards) == 1:
            return _windows(self._shards[0], length)[places]
        owners = self._owners(documents)
        rows = np.empty(len(places), f"V{length * self.dtype.itemsize}")
        for owner in set(owners.tolist()):
            mine = owners == owner
            rows[mine] = _windows(self._shards[owner], length)[places[mine]]
        return rows

    def _owners(self, documents: Ints) -> Ints:
        """(n,) the shard of each document."""
        return self._bounds.searchsorted(documents, side="right")


def check_probes(tokenizer: Any, facts: dict[str, Any]) -> None:
    """Encodes the probes of the tokens manifest again.

    Libraries change how they load a tokenizer, and ids that differ from those a trunk was trained on do not
    fail: they make it worse in silence.

    Args:
        tokenizer: a folder with `tokenizer.json`, a `tokenizers.Tokenizer`, or one of `transformers`.
        facts: of the tokens manifest.

    Raises:
        IntegrityError: naming the first text whose ids differ, or whose frame of bos and eos does.
    """
    if isinstance(tokenizer, str | Path):
        tokenizer = load(Path(tokenizer))
    before, behind = frame(facts)
    for text, ids in facts["probes"]:
        for found, expected in (
            (_encode(tokenizer, text, framed=False), ids),
            (_encode(tokenizer, text, framed=True), [*before, *ids, *behind]),
        ):
            if found != expected:
                what = "the tokenizer is not the one that made the tokens"
                fix = "use the tokenizer of the tokens manifest and the pinned library versions"
                raise IntegrityError(what, where=f"probe {text!r}", found=found, expected=expected, fix=fix)


def frame(facts: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """The ids before and behind a text, by the facts of tokens: bos and eos unless they say otherwise."""
    before, behind = facts.get("frame") or ([facts["special"][role]] for role in ("bos", "eos"))
    return list(before), list(behind)


def load(folder: Path) -> Any:
    """The `tokenizers.Tokenizer` in a folder; special tokens that stand in text stay text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True  # the library does not keep this in the file
    return tokenizer


def initial(folder: Path, size: int) -> npt.NDArray[np.bool_]:
    """(size,) which ids begin a word, by the marks of the tokenizer in a folder; special tokens do.

    WordPiece marks what continues one (##); byte-level BPE and Unigram what stands behind white space: a word
    and its punctuation are then one.
    """
    tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
    model, found = tokenizer["model"], np.ones(size, bool)
    pieces = model["vocab"]
    pairs = pieces.items() if isinstance(pieces, dict) else ((one[0], at) for at, one in enumerate(pieces))
    behind = {"BPE": BLANKS, "Unigram": ("\u2581",)}.get(model["type"])
    prefix = model.get("continuing_subword_prefix") or "##"
    for piece, at in pairs:
        if behind is not None:
            found[at] = piece.startswith(behind)
        elif model["type"] == "WordPiece":
            found[at] = not piece.startswith(prefix)
    found[[one["id"] for one in tokenizer["added_tokens"]]] = True
    return found


def _encode(tokenizer: Any, text: str, *, framed: bool) -> list[int]:
    if callable(tokenizer):
        return list(tokenizer(text, add_special_tokens=framed, verbose=False)["input_ids"])
    return list(tokenizer.encode(text, add_special_tokens=framed).ids)


def _mapped(path: Path, dtype: np.dtype[Any], offsets: Ints) -> Ids:
    size = path.stat().st_size
    if offsets[0] != 0 or offsets[-1] * dtype.itemsize != size or (np.diff(offsets) < 0).any():
        what = "the offsets of a token shard do not fit it"
        expected = f"{int(offsets[-1]) * dtype.itemsize} bytes"
        raise IntegrityError(what, where=str(path), found=f"{size} bytes", expected=expected)
    return np.asarray(np.memmap(path, dtype, mode="r")) if size else np.zeros(0, dtype)


def _windows(shard: Ids, length: int) -> Any:
    """Every window of a shard as one item of a view: numpy gathers such items by copies of memory."""
    shape, kind = len(shard) - length + 1, f"V{length * shard.itemsize}"
    return np.ndarray(shape, kind, shard.data, strides=shard.itemsize)
