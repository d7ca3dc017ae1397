"""Pairs of texts: which are false, where they are cut, and that others may hide tokens in them."""

import numpy as np
import pytest

from components.lib.core.errors import DataError
from components.lib.objectives import masked_lm, next_sentence
from tests.made.in_memory import SPECIAL, documents, draw, text, trunk

BOS, EOS = SPECIAL["bos"], SPECIAL["eos"]


def pairs_of(packed) -> list[tuple[list[int], list[int]]]:
    """The two texts of each segment, without special tokens."""
    flat, types = (rows.flatten()[packed.places].tolist() for rows in (packed.ids, packed.types))
    found = []
    for start, stop in zip(packed.starts[:-1].tolist(), packed.starts[1:].tolist(), strict=True):
        ids, kinds = flat[start:stop], types[start:stop]
        cut = kinds.index(1)
        assert (ids[0], ids[cut - 1], ids[-1]) == (BOS, EOS, EOS) and set(kinds[cut:]) == {1}
        assert len(ids) <= 24
        found.append((ids[1 : cut - 1], ids[cut:-1]))
    return found


@pytest.mark.parametrize("kind", ["next_sentence", "sentence_order"])
def test_half_of_the_pairs_are_false_as_the_kind_has_it(kind):
    """A true pair adjoins in one document; a false one does not, or the other way round."""
    texts = [
        np.arange(5 + 60 * number, 5 + 60 * number + size) for number, size in enumerate([50, 9, 2, 60] * 10)
    ]
    samples = text(texts, 3000, architecture="bert", unit="document")
    objective = next_sentence.Objective(next_sentence.Config(kind), trunk(samples))
    shares = []
    for epoch in range(8):
        batch = objective.prepare(samples, draw(range(40), epoch))
        for (one, other), false in zip(pairs_of(batch.packed), batch.targets.tolist(), strict=True):
            for part in (one, other):
                assert part == list(range(part[0], part[0] + len(part))), "in order, of one document"
            same = (one[0] - 5) // 60 == (other[0] - 5) // 60
            if not false:
                assert same and other[0] == one[-1] + 1
            else:
                assert (same and one[0] == other[-1] + 1) if kind == "sentence_order" else not same
            shares.append(false)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)


def test_a_pair_is_a_function_of_its_sample_and_cut_where_a_sentence_begins():
    texts = documents(30)
    samples = text(texts, architecture="bert", unit="document")
    starts = samples.shards.starts
    samples.shards.sentences = np.sort(np.concatenate([starts, starts + 3]))
    sizes = [min(len(one), 21) for one in texts]
    whole = pairs_of(samples.pairs(draw(30), swapped=True)[0])
    alone = [pairs_of(samples.pairs(draw([at]), swapped=True)[0])[0] for at in (4, 17)]
    assert alone == [whole[4], whole[17]]
    for document, size, (one, other), false in zip(
        texts, sizes, whole, samples.pairs(draw(30), swapped=True)[1], strict=True
    ):
        if size == len(document) and size > 3:
            assert len(other if false else one) == 3


def test_one_document_alone_has_no_false_pair():
    samples = text([np.arange(5, 55)], architecture="bert")
    with pytest.raises(DataError, match="sentence_order"):
        samples.pairs(draw(2))
    assert len(samples.pairs(draw(2), swapped=True)[0]) == 2


def test_what_is_hidden_in_pairs_is_never_a_special_token():
    samples = text(architecture="bert", unit="document")
    objective = masked_lm.Objective(masked_lm.Config(), trunk(samples))
    hidden = objective.prepare(samples, draw(40), samples.pairs(draw(40))[0])
    assert hidden.targets.min() > max(SPECIAL.values())
