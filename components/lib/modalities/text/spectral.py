"""Latent semantic analysis (LSA; Deerwester et al., 1990) as the start of static embeddings.

The word vectors are the right singular vectors of the corpus's TF-IDF matrix, as scikit-learn's TruncatedSVD
finds them; text vectors then are those of LSA. One thread and a fixed seed: the same corpus gives the same
vectors on one machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from components.lib.engine.threads import one_thread
from components.lib.modalities.text.bags import counted, documents

SEEN = 20_000_000  # most tokens of a corpus that are decomposed, of documents spread evenly over it
ITERATIONS = 4  # power iterations of the randomized solver (Halko et al., 2011)


def prepare(samples: Any, trunk: Any) -> None:
    """Gives static embeddings the word vectors of their corpus; directions that it lacks stay random.

    Layers change nothing then, so that text vectors are those of LSA.
    """
    from sklearn.decomposition import TruncatedSVD

    model = trunk.model
    matrix = tf_idf(samples.shards, model.idf.numpy())
    rank = min(trunk.width, min(matrix.shape) - 1)
    if rank < 1:
        return
    with one_thread():
        found = TruncatedSVD(rank, n_iter=ITERATIONS, random_state=0).fit(matrix)
    with torch.no_grad():
        model.embeddings.weight[:, rank:] *= found.components_.std() / model.embeddings.weight.std()
        for layer in model.layers:
            layer.outer.weight.zero_()
        model.embeddings.weight[:, :rank] = torch.from_numpy(np.ascontiguousarray(found.components_.T))


def tf_idf(shards: Any, idf: Any) -> Any:
    """(documents, vocabulary) CSR of (1 + log count) x idf, rows of length 1: scikit-learn's, sublinear."""
    from scipy import sparse
    from sklearn.preprocessing import normalize

    parts = []
    for flat, sizes in documents(shards, SEEN):
        rows, ids, counts = counted(flat, sizes, len(idf))
        values = (1 + np.log(counts)) * idf[ids]
        parts.append(sparse.csr_matrix((values, (rows, ids)), shape=(len(sizes), len(idf))))
    return normalize(sparse.vstack(parts, format="csr"), copy=False)
