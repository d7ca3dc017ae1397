"""Published weights of every family: states and vectors of packed rows are those of `transformers`."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from components.lib import tasks
from components.lib.modalities.text import trunk
from components.lib.modalities.text.examples import Examples
from components.lib.modalities.text.tokenization import given
from components.lib.models import classifiers, loading
from components.lib.models.branch import load_trunk, pooled
from components.lib.models.text.packing import pack
from components.lib.objectives import causal_lm, masked_lm
from components.lib.storage.store import Store
from components.preflight.public_weights.keeping import obtain
from tests.made import published

LENGTHS = (5, 30, 3, 21, 2)


def segments(vocabulary: int) -> list[list[int]]:
    generator = np.random.default_rng(0)
    return [generator.integers(5, vocabulary, size).tolist() for size in LENGTHS]


def kept(tmp_path, folder):
    manifest, _ = obtain(Store(str(tmp_path / "store")), str(folder) + "/", "text")
    return manifest, Store(str(tmp_path / "store")).open_folder(manifest, "model/")


@pytest.mark.parametrize("kind", published.TEXT)
def test_packed_states_are_those_of_transformers(tmp_path, kind):
    manifest, folder = kept(tmp_path, published.text(tmp_path / "hub", kind))
    ours, theirs = trunk.load(folder).eval(), AutoModel.from_pretrained(tmp_path / "hub").eval()
    texts = segments(22)
    starts = np.cumsum([0, *map(len, texts)])
    packed = pack(np.concatenate(texts), starts, 48, 1)
    assert not packed.whole and len(packed.ids) < len(texts)
    with torch.no_grad():
        flat = ours(packed).flatten(0, 1)[packed.places]
        pooled = ours.pool(ours(packed), packed)
        for number, text in enumerate(texts):
            given = torch.tensor([text])
            expected = theirs(input_ids=given, attention_mask=torch.ones_like(given)).last_hidden_state[0]
            found = flat[starts[number] : starts[number + 1]]
            assert torch.allclose(found, expected, atol=2e-5), (kind, number, (found - expected).abs().max())
            assert torch.allclose(pooled[number], expected.mean(0), atol=2e-5)
    assert manifest.facts["model_type"] == kind


def rows(texts):
    return pack(np.concatenate(texts), np.cumsum([0, *map(len, texts)]), 48, 1)


@pytest.mark.parametrize("kind", [kind for kind in published.TEXT if kind not in published.CAUSAL])
def test_masked_language_modelling_goes_on_with_the_published_head(tmp_path, kind):
    hub = published.text(tmp_path / "hub", kind, AutoModelForMaskedLM)
    manifest, folder = kept(tmp_path, hub)
    assert manifest.facts["head"] and "bidirectional" in manifest.facts["capabilities"]
    ours = trunk.load(folder).eval()
    objective = masked_lm.Objective(masked_lm.Config(), ours).eval()
    theirs = AutoModelForMaskedLM.from_pretrained(hub).eval()
    text = torch.tensor([segments(22)[1]])
    with torch.no_grad():
        hidden = ours(rows([text[0].numpy()]))
        found = torch.nn.functional.linear(objective.transform(hidden), ours.embedding(), objective.bias)
        assert torch.allclose(found, theirs(input_ids=text).logits, atol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", published.CAUSAL)
def test_causal_language_modelling_goes_on_with_the_published_decoder(tmp_path, kind, tied):
    hub = published.text(tmp_path / "hub", kind, AutoModelForCausalLM, tie_word_embeddings=tied)
    _, folder = kept(tmp_path, hub)
    objective = causal_lm.Objective(causal_lm.Config(), trunk.load(folder).eval()).eval()
    theirs = AutoModelForCausalLM.from_pretrained(hub).eval()
    text = segments(22)[1]
    packed, given_ids = rows([text]), torch.tensor([text])

    class Samples:
        def view(self, draw, stream):
            return packed

    with torch.no_grad():
        loss = objective(objective.prepare(Samples(), None))
        expected = theirs(input_ids=given_ids, labels=given_ids).loss
    assert torch.allclose(loss.total / loss.weight, expected, atol=1e-5)
    assert (objective.decoder is None) == tied


@pytest.mark.parametrize("kind", published.TEXT)
def test_a_published_tokenizer_gets_no_new_ids_and_keeps_its_frame(tmp_path, kind):
    raw = (published.text(tmp_path, kind) / "tokenizer.json").read_bytes()
    own = given.Tokenizer.from_str(raw.decode())
    read = given.read(raw, "here", complete=False)
    assert read.size == own.get_vocab_size() and not read.added
    expected = own.encode("the pump fails").ids
    if kind in published.UNFRAMED:  # what ends a text: else an empty one would be no tokens
        expected = [*expected, own.token_to_id("<|endoftext|>")]
    assert read.tokenizer.encode("the pump fails").ids == expected
    before, behind = read.frame
    inner = own.encode("the pump fails", add_special_tokens=False).ids
    assert [*before, *inner, *behind] == expected
    assert set(read.special.values()) <= set(own.get_vocab().values())


@pytest.mark.parametrize("task", ["sequence_classification", "token_classification"])
@pytest.mark.parametrize("kind", published.TEXT)
def test_a_branch_starts_from_the_weights_and_is_kept(tmp_path, kind, task):
    """Also where they have no pooling layer: the classifier's own is then random, and the same for a seed."""
    hub = published.text(tmp_path / "hub", kind, AutoModelForMaskedLM if kind == "bert" else AutoModel)
    _, folder = kept(tmp_path, hub)
    one, plugin = trunk.load(folder), tasks.load(task)
    branch = plugin.model(one.model.config, ["a", "b"])
    classifiers.start_from(branch, one.model)
    theirs, ours = one.model.state_dict(), branch.base_model.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours.keys() & theirs.keys())
    ids = torch.tensor(segments(22)[:1])
    loading.save(branch, tmp_path / "branch")
    with torch.no_grad():
        before, after = (
            model.eval()(input_ids=ids).logits for model in (branch, plugin.load(tmp_path / "branch"))
        )
    assert torch.equal(before, after)


@pytest.mark.parametrize("mode", ["cls_token", "mean_tokens", "lasttoken"])
def test_a_served_trunk_pools_as_its_settings_say(tmp_path, mode):
    hub = published.text(tmp_path / "hub", "bert")
    published.sentence_transformer(hub, mode)
    _, folder = kept(tmp_path, hub)
    one, theirs, texts = trunk.load(folder).eval(), AutoModel.from_pretrained(hub).eval(), segments(22)
    padded = Examples(texts, [0] * len(texts), 0).batch(range(len(texts)))
    with torch.no_grad():
        found = pooled(load_trunk(folder), {"input_ids": padded.ids, "attention_mask": padded.mask})
        packed = one.pool(one(rows(texts)), rows(texts))
        for number, text in enumerate(texts):
            states = theirs(input_ids=torch.tensor([text])).last_hidden_state[0]
            vector = {"cls_token": states[0], "mean_tokens": states.mean(0), "lasttoken": states[-1]}[mode]
            assert torch.allclose(packed[number], vector, atol=2e-5)
            assert torch.allclose(found[number], vector / vector.norm(), atol=2e-5)
