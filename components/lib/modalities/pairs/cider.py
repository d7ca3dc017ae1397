"""CIDEr-D of captions: Vedantam et al., "CIDEr: consensus-based image description evaluation", CVPR 2015.

How alike a caption and each of its references are, as TF-IDF vectors of runs of one to four words: a run
counts no more often than in the reference, and another length costs. As `pycocoevalcap` computes it, whose
package brings 100 MB of Java for other metrics; values are the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

LONGEST = 4  # words of a run
DEVIATION = 6.0  # in words, of the penalty for another length
SCALE = 10.0

Runs = Counter[tuple[str, ...]]


class Cider:
    """What is known of the references of all images.

    Args:
        references: of each image its captions.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        self._references = [[_runs(text) for text in some] for some in references]
        self._seen = Counter(run for some in self._references for run in set().union(*some))
        self._images = math.log(max(len(references), 1))

    def scores(self, captions: Iterable[str], images: Iterable[int]) -> npt.NDArray[np.float64]:
        """CIDEr-D of each caption against the references of its image, from 0 to 10."""
        pairs = zip(captions, images, strict=True)
        return np.array([self._score(_runs(text), self._references[image]) for text, image in pairs])

    def _score(self, caption: Runs, references: Sequence[Runs]) -> float:
        return SCALE * float(np.mean([self._alike(caption, one) for one in references] or [0.0]))

    def _alike(self, caption: Runs, reference: Runs) -> float:
        """The mean over lengths of runs of the clipped cosine."""
        ours, theirs = self._weights(caption), self._weights(reference)
        found = np.zeros(LONGEST)
        norms = np.zeros((2, LONGEST))
        for row, weights in enumerate((ours, theirs)):
            for run, weight in weights.items():
                norms[row, len(run) - 1] += weight**2
        for run in ours.keys() & theirs.keys():
            found[len(run) - 1] += min(ours[run], theirs[run]) * theirs[run]
        lengths = [sum(count for run, count in one.items() if len(run) == 2) for one in (caption, reference)]
        penalty = math.exp(-((lengths[0] - lengths[1]) ** 2) / (2 * DEVIATION**2))
        product = np.sqrt(norms[0] * norms[1])
        return float((np.divide(found, product, out=np.zeros(LONGEST), where=product > 0) * penalty).mean())

    def _weights(self, runs: Runs) -> dict[tuple[str, ...], float]:
        """Counts times inverse document frequencies."""
        return {
            run: count * (self._images - math.log(max(1.0, self._seen[run]))) for run, count in runs.items()
        }


def _runs(text: str) -> Runs:
    words = text.split()
    return Counter(
        tuple(words[at : at + size]) for size in range(1, LONGEST + 1) for at in range(len(words) - size + 1)
    )
