"""Pairs of texts, and BERT's objective against `transformers`' own: loss and gradient of every weight in float64."""

import numpy as np
import pytest
import torch
from transformers import BertForPreTraining

from components.lib.core.errors import DataError
from components.lib.engine.trainable import WeightedSum
from components.lib.objectives import masked_lm, next_sentence
from tests.made.in_memory import SPECIAL, documents, draw, text, trunk

BOS, EOS = SPECIAL["bos"], SPECIAL["eos"]


def bert(kind: str = "next_sentence", first: str = "masked_lm"):
    """Samples, and BERT's two objectives on one trunk."""
    samples = text(architecture="bert", unit="document")
    shared = trunk(samples)
    terms = {
        "masked_lm": masked_lm.Objective(masked_lm.Config(), shared),
        "next_sentence": next_sentence.Objective(next_sentence.Config(kind), shared),
    }
    names = sorted(terms, key=lambda name: name != first)
    return samples, WeightedSum({name: terms[name] for name in names}, dict.fromkeys(names, 1.0))


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


@pytest.mark.parametrize("first", ["masked_lm", "next_sentence"])
def test_berts_objective_is_that_of_transformers(first):
    samples, model = bert(first=first)
    model.double().eval()
    ours, nsp = model.terms["masked_lm"], model.terms["next_sentence"]
    reference = BertForPreTraining(ours.trunk.model.config).double().eval()
    head = reference.cls.predictions
    head.transform.LayerNorm.eps = ours.transform[2].eps
    modules = {
        reference.bert: ours.trunk.model,
        head.transform.dense: ours.transform[0],
        head.transform.LayerNorm: ours.transform[2],
        reference.cls.seq_relationship: nsp.head,
    }
    for theirs, mine in modules.items():
        theirs.load_state_dict(mine.state_dict())
    batches = dict(zip(model.terms, model.prepare(samples, draw(9)), strict=True))
    hidden, pairs = batches["masked_lm"], batches["next_sentence"]
    packed = batches[first].packed
    assert [batch.packed is None for batch in batches.values()] == [False, True], "the rows are there once"
    labels = torch.full_like(packed.ids, -100).flatten()
    labels[hidden.places] = hidden.targets
    rows = {name: torch.zeros(9, 24, dtype=torch.long) for name in ("ids", "types", "mask")}
    rows["labels"] = torch.full((9, 24), -100)
    for row, (start, stop) in enumerate(zip(packed.starts[:-1], packed.starts[1:], strict=True)):
        places, size = packed.places[start:stop], int(stop - start)
        for name, values in (("ids", packed.ids), ("types", packed.types), ("labels", labels)):
            rows[name][row, :size] = values.flatten()[places]
        rows["mask"][row, :size] = 1
    names = ("input_ids", "token_type_ids", "attention_mask", "labels")
    inputs = dict(zip(names, (rows["ids"], rows["types"], rows["mask"], rows["labels"]), strict=True))
    expected = reference(**inputs, next_sentence_label=pairs.targets).loss
    losses = dict(zip(model.terms, model(list(batches.values())), strict=True))
    found = sum(loss.total / loss.weight for loss in losses.values())
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    found.backward(), expected.backward()
    for theirs, mine in modules.items():
        for (name, one), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("kind", ["next_sentence", "sentence_order"])
def test_half_of_the_pairs_are_false_as_the_kind_has_it(kind):
    """A true pair adjoins in one document; a false one does not, or the other way round."""
    texts = [np.arange(5 + 60 * number, 5 + 60 * number + size) for number, size in enumerate([50, 9, 2, 60] * 10)]
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
    samples, model = bert()
    hidden, _ = model.prepare(samples, draw(40))
    assert hidden.targets.min() > max(SPECIAL.values())
