"""What is known of all documents while it is decided which of them stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

KEPT, COPY, NEAR, CONTAMINATED = "", "exact_duplicate", "near_duplicate", "contaminated"


@dataclass
class Documents:
    """What is known of all documents, in the corpus' order; the payloads stay on disk.

    Attributes:
        ids: (n, 2) of 64 bits.
        reasons: (n,) why a document is dropped, 'rule: what was found'; '' if it is kept.
        measures: name -> (n,) numbers.
        shared: (n,) 1 if it overlaps with an evaluation document, 2 if it equals one.
        signatures: (n, words) of 16 bits.
        validation: (n,) whether it is held out.
    """

    ids: npt.NDArray[np.uint64]
    reasons: npt.NDArray[np.object_]
    measures: dict[str, npt.NDArray[np.int32]]
    shared: npt.NDArray[np.int8]
    signatures: npt.NDArray[np.uint16]
    validation: npt.NDArray[np.bool_]

    @classmethod
    def empty(cls, count: int, measures: Sequence[str], words: int) -> Documents:
        """Room for `count` documents with signatures of `words` words."""
        numbers = {name: np.zeros(count, np.int32) for name in measures}
        ids, reasons = np.zeros((count, 2), np.uint64), np.full(count, KEPT, object)
        signatures, shared = np.zeros((count, words), np.uint16), np.zeros(count, np.int8)
        return cls(ids, reasons, numbers, shared, signatures, np.zeros(count, bool))

    def from_row(self, start: int) -> Documents:
        """Those from `start` on."""
        arrays = {name: values[start:] for name, values in vars(self).items() if name != "measures"}
        return Documents(measures={name: one[start:] for name, one in self.measures.items()}, **arrays)

    def put(self, places: npt.NDArray[np.int64], table: pa.Table) -> None:
        """Sets what a pack knows of the documents at `places`."""
        self.ids[places] = _fixed(table["id"], np.dtype(">u8"))
        self.reasons[places] = table["reason"].to_numpy()
        self.shared[places] = table["shared"].to_numpy()
        for name, numbers in self.measures.items():
            numbers[places] = table[name].to_numpy()
        if self.signatures.shape[1]:
            self.signatures[places] = _fixed(table["signature"], np.dtype("<u2"))


def _fixed(column: pa.ChunkedArray, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A column of fixed-size binaries as (rows, numbers)."""
    array = column.combine_chunks()
    width = array.type.byte_width
    data = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width :][: len(array) * width]
    return data.view(dtype).reshape(len(array), width // dtype.itemsize)
