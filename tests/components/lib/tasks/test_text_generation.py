"""Text generation: perplexity by the byte against transformers' own loss, targets, sampling, copies."""

import math

import numpy as np
import pytest
import torch
from transformers import TopPLogitsWarper

from components.lib.core.errors import DataError
from components.lib.modalities.text.continuations import continuations, prompt_ids
from components.lib.modalities.text.examples import IGNORED
from components.lib.modalities.text.novelty import longest_copies, repetition
from components.lib.modalities.text.sampling import _chosen, sampled
from components.lib.registry.serving import Server
from components.lib.tasks import text_generation
from tests import made

TEXTS = ["The planet and its star.", "Soil, mulch and a hedge \u00e9t\u00e9.", "garlic " * 8]


@pytest.fixture(scope="module")
def branch() -> made.Branch:
    one = made.branch("text_generation", "text", "gpt2")
    one.model.eval()
    return one


def test_perplexity_is_by_the_byte_and_its_nats_are_those_of_transformers(branch):
    samples = text_generation.encode(branch.reader, {"prompt": TEXTS}, TEXTS, [])
    found = text_generation.outcomes(branch.model, samples, [])
    unknown = branch.reader.tokenizer.unk_token_id
    for place, ids in enumerate(samples.rows.ids):
        whole = torch.tensor([ids])
        with torch.no_grad():
            loss = branch.model(input_ids=whole, labels=whole).loss.item() * (len(ids) - 1)
        lost = found["nats"][place] - loss
        assert (lost > 1) == (unknown in ids)
        assert lost / math.log(256) == pytest.approx(round(lost / math.log(256)), abs=1e-4)
        assert found["tokens"][place] == len(ids) - 1 and found["bytes"][place] == len(TEXTS[place].encode())
    values = text_generation.metrics(found, np.ones((1, 3)), [])
    assert values["perplexity_per_byte"][0] == pytest.approx(
        math.exp(found["nats"].sum() / found["bytes"].sum())
    )
    assert values["bits_per_byte"][0] == pytest.approx(math.log2(values["perplexity_per_byte"][0]))


@pytest.mark.parametrize("length", [4, 9, 16, 512])
def test_every_token_of_an_answer_counts_once_and_no_token_of_its_prompt(branch, length):
    reader = type(branch.reader)(branch.reader.tokenizer)
    reader.length = length
    samples = continuations(reader, ["a question", TEXTS[2]], TEXTS[:2])
    assert samples.instructed and max(map(len, samples.rows.ids)) <= length
    for place, text in enumerate(TEXTS[:2]):
        rows = range(samples.first[place], samples.first[place] + samples.many[place])
        counted = [t for row in rows for t in samples.rows.targets[row] if t != IGNORED]
        ids = reader.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert counted == [*ids, reader.tokenizer.eos_token_id]
        assert all(samples.rows.targets[row][0] == IGNORED for row in rows)


def test_a_row_samples_as_the_nucleus_of_transformers(branch):
    torch.manual_seed(0)
    logits = torch.randn(5, 40).double()
    kept = TopPLogitsWarper(0.7)(None, logits / 0.9).softmax(1)
    for draw in np.linspace(0, 0.999, 40):
        tokens = _chosen(logits, 0.9, 0.7, float(draw))
        order = kept.argsort(dim=1, descending=True, stable=True)
        sums = kept.gather(1, order).cumsum(1)
        expected = [order[row, int((sums[row] <= draw).sum())] for row in range(5)]
        assert tokens.tolist() == [int(one) for one in expected]
    assert _chosen(logits, 0.0, 0.5, 0.9).tolist() == logits.argmax(1).tolist()


def test_a_text_depends_on_its_prompt_and_seed_and_has_its_bound(branch):
    prompts = [prompt_ids(branch.reader, text, 40, instructed=False) for text in TEXTS]
    options = {"most": 12, "temperature": 1.0, "top_p": 0.9, "end": None, "never": (0, 1)}
    together = sampled(branch.model, prompts, seed=3, **options)
    assert together == [sampled(branch.model, [one], seed=3, **options)[0] for one in prompts]
    assert together != sampled(branch.model, prompts, seed=4, **options)
    assert {len(one) for one in together} == {12} and not {0, 1} & {t for one in together for t in one}
    greedy = sampled(branch.model, prompts[:1], seed=0, **{**options, "temperature": 0.0})
    with torch.no_grad():
        own = branch.model.generate(
            torch.tensor(prompts[:1]),
            max_new_tokens=12,
            do_sample=False,
            suppress_tokens=[0, 1],
            eos_token_id=None,
        )
    assert greedy[0] == own[0, len(prompts[0]) :].tolist()
    ended = sampled(branch.model, prompts, seed=3, **{**options, "end": together[0][4]})
    assert ended[0] == together[0][: together[0].index(together[0][4])]


def test_parameters_of_a_server_are_bounded(branch):
    server = Server()
    server.task = text_generation
    assert server._known({"seed": 3, "other": 1, "top_p": None}) == {"seed": 3}
    for name, value in {"max_new_tokens": 513, "temperature": -1, "top_p": 0}.items():
        with pytest.raises(DataError, match="out of bounds"):
            server._known({name: value})
    (answer,) = text_generation.answer(
        branch.model, branch.reader, {"prompt": ["a"]}, max_new_tokens=5, seed=1
    )
    assert 0 < answer["tokens"] <= 5


def test_repetition_and_the_longest_copy():
    assert repetition("a b c d e") == 0 == repetition("a b") and repetition("a b c d " * 2) == pytest.approx(
        1 / 5
    )
    corpus = [["One two three, four five."], ["six seven", "three four five six seven eight"]]
    texts = ["zero Two three four five six", "none at all", "x seven eight x", "one two three four five"]
    assert longest_copies(texts, corpus) == [4, 0, 2, 5]
