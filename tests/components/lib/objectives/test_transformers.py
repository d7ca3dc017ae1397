"""Objectives on text against models of `transformers`: the loss and the gradient of every weight, in float64.

The peer has the same weights and reads each text in a row of its own.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertLMHeadModel,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)

from components.lib.core.settings import from_dict
from components.lib.engine.trainable import Loss, WeightedSum
from components.lib.objectives import distillation, masked_lm, next_sentence, replaced_token, tsdae
from tests.made.in_memory import draw, text, trunk

COUNT, LENGTH = 9, 24
MODULES = {
    "distillation": distillation,
    "masked_lm": masked_lm,
    "next_sentence": next_sentence,
    "replaced_token": replaced_token,
    "tsdae": tsdae,
}


def model_of(names: str, **options: Any) -> tuple[Any, WeightedSum]:
    """Samples, and objectives on one BERT, with no weight at 0 or 1."""
    samples = text(architecture="bert", unit="document")
    shared, terms = trunk(samples), {}
    for name in names.split():
        module = MODULES[name]
        larger = (trunk(text(architecture="bert", size="mini"), 1),) if name == "distillation" else ()
        terms[name] = module.Objective(from_dict(module.Config, options.get(name, {})), shared, *larger)
    model = WeightedSum(terms, dict.fromkeys(terms, 1.0)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return samples, model


def rows(packed: Any, *more: Tensor) -> SimpleNamespace:
    """Each segment in a row of its own: ids, types, mask, and values that stand in the packed rows."""
    tables = [packed.ids, torch.zeros_like(packed.ids) if packed.types is None else packed.types, *more]
    found = [torch.full((len(packed), LENGTH), fill) for fill in (0, 0, *(-100 for _ in more))]
    mask = torch.zeros(len(packed), LENGTH, dtype=torch.long)
    for row, (start, stop) in enumerate(zip(packed.starts[:-1], packed.starts[1:], strict=True)):
        places = packed.places[start:stop]
        mask[row, : len(places)] = 1
        for table, values in zip(found, tables, strict=True):
            table[row, : len(places)] = values.flatten()[places]
    inputs = {"input_ids": found[0], "token_type_ids": found[1], "attention_mask": mask}
    return SimpleNamespace(inputs=inputs, more=found[2:], real=mask.bool())


def marked(packed: Any, places: Tensor, values: Tensor) -> Tensor:
    """The packed rows with values at these places and -100 elsewhere."""
    return torch.full_like(packed.ids, -100).flatten().scatter(0, places, values).view_as(packed.ids)


def tied(pairs: dict[nn.Module, nn.Module | nn.Parameter]) -> None:
    """Gives the peer our weights."""
    for theirs, ours in pairs.items():
        if isinstance(ours, nn.Parameter):
            theirs.bias.data.copy_(ours.data)
        else:
            theirs.load_state_dict(ours.state_dict(), strict=False)


def head_of(head: Any, transform: Any) -> dict[nn.Module, nn.Module]:
    head.LayerNorm.eps = transform[2].eps
    return {head.dense: transform[0], head.LayerNorm: transform[2]}


def berts(model: WeightedSum, batches: dict[str, Any]):
    """BERT's objective: both losses of one pass, over the rows that the first batch holds."""
    mlm, nsp = model.terms["masked_lm"], model.terms["next_sentence"]
    peer = BertForPreTraining(mlm.trunk.model.config).double().eval()
    pairs = {peer.bert: mlm.trunk.model, peer.cls.seq_relationship: nsp.head, peer.cls.predictions: mlm.bias}
    pairs |= head_of(peer.cls.predictions.transform, mlm.transform)
    tied(pairs)
    hidden, packed = batches["masked_lm"], next(iter(batches.values())).packed
    assert [batch.packed is None for batch in batches.values()] == [False, True], "the rows are there once"
    told = rows(packed, marked(packed, hidden.places, hidden.targets))
    labels = {"labels": told.more[0], "next_sentence_label": batches["next_sentence"].targets}
    return peer(**told.inputs, **labels).loss, pairs


def electras(model: WeightedSum, batches: dict[str, Any]):
    """ELECTRA's: the generator's mean over hidden tokens, 50 times the trunk's over all, of drawn ids."""
    (ours,), (batch,) = model.terms.values(), batches.values()
    big, own = ours.trunk.model.config, ours.generator.model.config
    sizes = {name: getattr(big, name) for name in ("vocab_size", "hidden_size", "intermediate_size")}
    sizes |= {name: getattr(big, name) for name in ("num_hidden_layers", "num_attention_heads")}
    config = ElectraConfig(**sizes, embedding_size=big.hidden_size)
    judge = ElectraForPreTraining(config).double().eval()
    maker = ElectraForMaskedLM(own).double().eval()
    pairs = {
        judge.electra: ours.trunk.model,
        judge.discriminator_predictions.dense: ours.head[0],
        judge.discriminator_predictions.dense_prediction: ours.head[2],
        maker.electra: ours.generator.model,
        maker.generator_lm_head: ours.bias,
        **head_of(maker.generator_predictions, ours.transform),
    }
    tied(pairs)
    maker.electra.embeddings = judge.electra.embeddings
    maker.generator_lm_head.weight = judge.electra.embeddings.word_embeddings.weight
    packed = batch.packed
    hides = (batch.targets, torch.arange(len(batch.places)))
    told = rows(packed, *(marked(packed, batch.places, values) for values in hides))
    made = maker(**told.inputs, labels=told.more[0])
    hidden = told.more[0] >= 0
    ids, wrong = told.inputs["input_ids"].clone(), torch.zeros_like(hidden)
    shares = made.logits[hidden].softmax(1).cumsum(1)
    chances = batch.chances[told.more[1][hidden]]
    drawn = torch.stack([(row > chance).int().argmax() for row, chance in zip(shares, chances, strict=True)])
    ids[hidden] = drawn
    wrong[hidden] = drawn != told.more[0][hidden]
    assert 0 < wrong.sum() < told.real.sum()
    scores = judge(**{**told.inputs, "input_ids": ids}).logits[
        told.real
    ]  # its own loss rounds labels to fp32
    judged = nn.functional.binary_cross_entropy_with_logits(scores, wrong[told.real].double())
    share = hidden.sum().item() / told.real.sum().item() / ours.config.ratio
    return made.loss * share + ours.config.detection * judged, pairs


def decoder_of(ours: Any, peer: Any) -> dict[nn.Module, Any]:
    """Which modules of BERT's decoder are which of ours; its cross-attention needs no query and no key."""
    pairs: dict[nn.Module, Any] = {peer.embeddings.LayerNorm: ours.norm}
    pairs[peer.embeddings.position_embeddings] = ours.positions
    for theirs, block in zip(peer.encoder.layer, ours.layers, strict=True):
        pairs |= {
            theirs.attention.output.dense: block.attended,
            theirs.attention.output.LayerNorm: block.norms[0],
            theirs.crossattention.self.value: block.told[0],
            theirs.crossattention.output.dense: block.told[1],
            theirs.crossattention.output.LayerNorm: block.norms[1],
            theirs.intermediate.dense: block.feed[0],
            theirs.output.dense: block.feed[2],
            theirs.output.LayerNorm: block.norms[2],
        }
        parts = zip(block.seen.weight.chunk(3), block.seen.bias.chunk(3), strict=True)
        for name, (weight, bias) in zip(("query", "key", "value"), parts, strict=True):
            getattr(theirs.attention.self, name).load_state_dict({"weight": weight, "bias": bias})
    return pairs


def tsdaes(model: WeightedSum, batches: dict[str, Any]):
    """TSDAE's: BERT as a decoder, whose cross-attention sees one vector."""
    (ours,), (batch,) = model.terms.values(), batches.values()
    own = ours.trunk.model.config
    sizes = {name: getattr(own, name) for name in ("vocab_size", "hidden_size", "num_attention_heads")}
    sizes |= {"num_hidden_layers": 2, "intermediate_size": 4 * own.hidden_size}
    config = BertConfig(**sizes, is_decoder=True, add_cross_attention=True, attn_implementation="eager")
    peer = BertLMHeadModel(config).double().eval()
    reader = type(ours.trunk.model)(own).double().eval()
    transform = peer.cls.predictions.transform
    transform.transform_act_fn, transform.LayerNorm = nn.Identity(), nn.Identity()
    pairs: dict[nn.Module, Any] = {reader: ours.trunk.model, peer.cls.predictions: ours.bias}
    pairs |= {transform.dense: ours.leave, **decoder_of(ours.decoder, peer.bert)}
    tied(pairs)
    peer.bert.embeddings.token_type_embeddings.weight.data.zero_()
    peer.bert.embeddings.word_embeddings = reader.embeddings.word_embeddings
    peer.cls.predictions.decoder.weight = reader.embeddings.word_embeddings.weight
    short, told = rows(batch.packed), rows(batch.whole, batch.whole.ids)
    vectors = reader(**short.inputs).pooler_output
    made = peer(**told.inputs, encoder_hidden_states=vectors[:, None]).logits[:, :-1]
    return nn.functional.cross_entropy(made.flatten(0, 1), told.more[0][:, 1:].flatten()), pairs


def distilled(model: WeightedSum, batches: dict[str, Any]):
    """DistilBERT's loss of hidden states, or of vectors, against a wider BERT."""
    (ours,), (batch,) = model.terms.values(), batches.values()
    (teacher,) = ours._teachers
    peers = [type(one.model)(one.model.config).double().eval() for one in (ours.trunk, teacher)]
    head = nn.Linear(ours.trunk.width, teacher.width).double()
    pairs = {peers[0]: ours.trunk.model, peers[1]: teacher.model, head: ours.head}
    tied(pairs)
    losses = []
    for view in (batch.first, batch.second):
        told = rows(view)
        answers = [peer(**told.inputs) for peer in peers]
        if ours.config.learns == "states":
            guess, target = (answer.last_hidden_state[told.real] for answer in answers)
        else:
            guess, target = (answer.pooler_output for answer in answers)
        same = torch.ones(len(guess))
        losses += [nn.functional.cosine_embedding_loss(head(guess), target.detach(), same, reduction="none")]
    return torch.cat(losses).mean(), {one: ours for one, ours in pairs.items() if one is not peers[1]}


@pytest.mark.parametrize(
    ("peer", "names", "options"),
    [
        (berts, "masked_lm next_sentence", {}),
        (berts, "next_sentence masked_lm", {"next_sentence": {"kind": "sentence_order"}}),
        (electras, "replaced_token", {}),
        (tsdaes, "tsdae", {"tsdae": {"layers": 2}}),
        (distilled, "distillation", {"distillation": {"learns": "states"}}),
        (distilled, "distillation", {}),
    ],
)
def test_loss_and_gradient_are_those_of_transformers(peer, names, options):
    samples, model = model_of(names, **options)
    batches = dict(zip(model.terms, model.prepare(samples, draw(COUNT)), strict=True))
    losses: list[Loss] = model(list(batches.values()))
    found = torch.stack([loss.total / loss.weight for loss in losses]).sum()
    expected, pairs = peer(model, batches)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    found.backward(), expected.backward()
    compared = 0
    for theirs, ours in pairs.items():
        mine = {"bias": ours} if isinstance(ours, nn.Parameter) else dict(ours.named_parameters())
        for name in mine.keys() & dict(theirs.named_parameters()).keys():
            if (grad := theirs.get_parameter(name).grad) is not None:
                torch.testing.assert_close(mine[name].grad, grad, rtol=1e-7, atol=1e-10)
                compared += 1
    assert compared > 15
