"""Static embeddings: text vectors by the formula, whole documents, views by a cut, the start by LSA."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from components.lib.modalities.text import bags, spectral
from components.lib.modalities.text.examples import Examples
from tests.made.in_memory import SPECIAL, VOCABULARY, documents, draw, text, trunk

PAD = SPECIAL["pad"]


def samples(source=40, **options):
    return text(source, architecture="static", **{"unit": "document", "sequence_length": 4096, **options})


def reference(model, tokens: np.ndarray) -> np.ndarray:
    """The formula, a token after the other, in float64."""
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    total = np.zeros(model.config.hidden_size)
    for token in set(tokens.tolist()) - set(SPECIAL.values()):
        count = (tokens == token).sum()
        scale = (1 + np.log(count)) * weights["idf"][token] * weights["importance"][token]
        total += scale * weights["embeddings.weight"][token]
    width = len(total) ** 0.5
    vector = width * total / np.linalg.norm(total)
    if not model.config.num_hidden_layers:
        return vector
    inner = weights["layers.0.inner.weight"] @ vector + weights["layers.0.inner.bias"]
    inner = torch.nn.functional.gelu(torch.from_numpy(inner)).numpy()
    vector = vector + weights["layers.0.outer.weight"] @ inner + weights["layers.0.outer.bias"]
    return width * vector / np.linalg.norm(vector)


def random_trunk(of):
    made = trunk(of).eval()
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


@torch.no_grad()
@pytest.mark.parametrize("depth", [0, 1])
def test_a_text_vector_is_what_the_formula_says_padded_or_not(depth):
    made = random_trunk(samples(depth=depth))
    texts = [*documents(12), np.array([7]), np.array([6, SPECIAL["unk"], 6])]
    expected = np.stack([reference(made.model, one) for one in texts])
    framed = [[SPECIAL["bos"], *one.tolist(), SPECIAL["eos"]] for one in texts]
    batch = Examples(framed, [0] * len(texts), PAD).batch(range(len(texts)))
    bag = bags.bags(np.concatenate(texts), np.array([len(one) for one in texts]), VOCABULARY)
    for found in (made.model(batch.ids, batch.mask).last_hidden_state, made.model(batch.ids)[0], made(bag)):
        np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=2e-5)


class Recorded(TorchDispatchMode):
    """The operations that were computed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.name())
        return func(*args, **(kwargs or {}))


def test_no_gradient_is_a_scattered_sum():
    """With several threads torch adds those up in any order: a resumed training would be another one."""
    of = samples()
    made, recorded = trunk(of), Recorded()
    with recorded:
        made(of.view(draw(8), "window")).square().mul(torch.linspace(0, 1, made.width)).sum().backward()
    assert "aten::embedding_dense_backward" in recorded.names
    assert not [name for name in recorded.names if "index_put" in name or "scatter" in name]


@torch.no_grad()
def test_a_text_of_unknown_words_alone_is_a_number():
    made = random_trunk(samples())
    found = made.model(torch.tensor([[SPECIAL["unk"], PAD], [PAD, PAD]])).last_hidden_state
    assert torch.isfinite(found).all() and torch.equal(found[0], found[1])


def test_a_long_document_is_read_whole_and_costs_its_distinct_words():
    long = np.random.default_rng(0).integers(5, VOCABULARY, 30_000)
    of = samples([long, *documents(5)], sequence_length=32_768)
    view = of.view(draw([0, 1]), "window")
    assert view.real == len(long) + len(documents(5)[0]) and len(view.ids) <= 2 * VOCABULARY
    short = samples([long, *documents(5)], sequence_length=102).view(draw([0]), "window")
    assert short.real == 100


@pytest.mark.parametrize("architecture", ["static", "modernbert"])
def test_a_cut_in_the_middle_third_gives_each_token_to_one_view(architecture):
    of = text(architecture=architecture, unit="document", sequence_length=128, views="cut")
    chosen, cuts = draw(len(of)), set()
    first, second = of.views(chosen, 2)
    assert sum(part.real for part in (first, second)) == of.length.sum() + 4 * len(of) * (
        architecture != "static"
    )
    longest = int(np.argmax(of.length))
    for epoch in range(30):
        part = of.views(draw([longest], epoch), 2)[0].real - 2 * (architecture != "static")
        cuts.add(part)
        assert of.length[longest] / 3 - 1 <= part <= of.length[longest] * 2 / 3 + 1
    assert len(cuts) > 8
    alone, among = of.views(draw([9]), 2), of.views(draw([3, 9, 2]), 2)
    for one, several in zip(alone, among, strict=True):  # a function of seed, epoch and sample alone
        made = trunk(of).eval()
        with torch.no_grad():
            ours, theirs = (made.pool(made(view), view) for view in (one, several))
        torch.testing.assert_close(ours[0], theirs[1], rtol=1e-5, atol=1e-5)


def test_document_frequencies_are_those_of_scikit_learn():
    of = samples(60)
    texts = [" ".join(f"w{token}" for token in one) for one in documents(60)]
    found = TfidfVectorizer(vocabulary=[f"w{token}" for token in range(VOCABULARY)]).fit(texts)
    special = list(SPECIAL.values())
    expected = np.where(np.isin(np.arange(VOCABULARY), special), 0.0, found.idf_)
    np.testing.assert_allclose(trunk(of).model.idf.numpy(), expected, rtol=1e-6)


@torch.no_grad()
def test_a_spectral_start_is_the_lsa_of_scikit_learn(monkeypatch):
    """Directions of text vectors are those of TruncatedSVD on the texts' TF-IDF, however it is read."""
    monkeypatch.setattr(bags, "READ", 100)
    of = samples(80)
    made = trunk(of)
    spectral.prepare(of, made)
    texts = [" ".join(f"w{token}" for token in one) for one in documents(80)]
    vocabulary = [f"w{token}" for token in range(VOCABULARY)]
    matrix = TfidfVectorizer(vocabulary=vocabulary, sublinear_tf=True).fit_transform(texts)
    expected = TruncatedSVD(made.width, n_iter=4, random_state=0).fit_transform(matrix)
    view = of.view(draw(np.arange(80)), "window")
    found = made(view).double().numpy()
    cosines = (normalize(found) * normalize(expected)).sum(axis=1)
    assert len(of) == 80 and cosines.min() > 0.999


@torch.no_grad()
def test_a_corpus_of_fewer_directions_than_the_width_leaves_the_others_random():
    of = samples(documents(3))
    made = trunk(of)
    spectral.prepare(of, made)
    table = made.model.embeddings.weight
    assert torch.isfinite(table).all() and table[:, 3:].std() > 0 and made.width > 3
