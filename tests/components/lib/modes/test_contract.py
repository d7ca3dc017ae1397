"""Every mode on every task that offers what it needs: branches learn, are saved and load as they were."""

import numpy as np
import pytest
import torch

from components.lib import tasks
from components.lib.core import plugins
from components.lib.core.settings import from_dict
from components.lib.engine.randomness import Draw
from components.lib.engine.transfer import moved
from components.lib.models.classifiers import fingerprint
from components.lib.modes import Fit
from tests import made
from tests.accelerator import DEVICE, ON_CARD

FOLDER = "components.lib.modes"
NAMES = plugins.names(FOLDER)
CASES = [
    (name, *branch)
    for name in NAMES
    for branch in made.branches()
    if (not ON_CARD or branch[1:] in made.usual(tasks.load(branch[0]).NEEDS))
    and set(plugins.load(FOLDER, name).NEEDS) <= set(tasks.load(branch[0]).OFFERS)
    and getattr(tasks.load(branch[0]), "TRAINS", True)
]


class Trainer:
    """A few steps of AdamW, where the model is: what finetuning has the engine do."""

    def __init__(self, one: made.Branch) -> None:
        self.one, self.called = one, 0

    def __call__(self, model):
        self.called += 1
        objective = self.one.plugin.Objective(model)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, fused=True)
        draw = Draw(np.arange(8), np.zeros(8, np.int64), 0)
        rows = []
        for step in range(3):
            loss = objective(moved(objective.prepare(self.one.samples, draw), DEVICE))
            (loss.total / loss.weight).backward()
            optimizer.step()
            optimizer.zero_grad()
            rows.append({"step": step + 1.0, "loss": loss.total.item() / loss.weight})
        return rows


def learns(part) -> bool:
    return any(weight.requires_grad for weight in part.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_what_it_declares(name):
    declared = plugins.declared(FOLDER, name)
    assert declared.summary and declared.config is not None and from_dict(declared.config, {})
    assert {type(declared.constants[flag]) for flag in ("STEPS", "MOVES")} == {bool}
    assert [case for case in CASES if case[0] == name], "no task offers what it needs"


@pytest.mark.parametrize(("name", "task", "modality", "architecture"), CASES)
def test_what_is_learnt_is_a_plain_branch(name, task, modality, architecture, tmp_path):
    """The trunk moves if the mode says so; scored where it is, kept, and the same when it is loaded again."""
    mode, found = plugins.load(FOLDER, name), []
    for _ in range(2):
        one = made.branch(task, modality, architecture)
        train, before = Trainer(one), fingerprint(one.model)
        parts = {key: fingerprint(part) for key, part in one.model.base_model.named_modules()}
        layout = list(one.model.state_dict())
        fit = Fit(one.plugin, one.model.to(DEVICE), one.samples, mode.Config(), 0, train)
        branch, history = mode.learn(fit)
        assert train.called == mode.STEPS and len(history) == 3 * mode.STEPS
        assert (fingerprint(branch.base_model) != parts[""]) == mode.MOVES and fingerprint(branch) != before
        assert not mode.STEPS or list(branch.state_dict()) == layout
        if "layers" in vars(mode.Config()):  # of what does not learn, running statistics stay too
            kept = [key for key, part in branch.base_model.named_modules() if not learns(part)]
            assert all(fingerprint(branch.base_model.get_submodule(key)) == parts[key] for key in kept)
        found.append(one.plugin.outcomes(branch, one.samples, one.names))
    loaded = one.plugin.load(one.save(branch, tmp_path / "model")).to(DEVICE)
    found.append(one.plugin.outcomes(loaded, one.samples, one.names))
    for column, values in found[0].items():
        for other in found[1:]:
            assert [np.asarray(v).tolist() for v in values] == [np.asarray(v).tolist() for v in other[column]]
