"""Every start keeps its contract with every task: it sets the trunk's weights, and leaves the head alone."""

import pytest
import torch

from components.lib.core import plugins
from components.lib.models.classifiers import fingerprint
from tests import made

FOLDER = "components.lib.starts"
NAMES = plugins.names(FOLDER)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_declares(name):
    assert plugins.declared(FOLDER, name).summary


@pytest.mark.parametrize(("task", "modality", "architecture"), made.branches())
@pytest.mark.parametrize("name", NAMES)
def test_a_branch_that_is_prepared_can_be_scored(name, task, modality, architecture):
    one = made.branch(task, modality, architecture)
    given = fingerprint(one.trunk.model)
    inside = {
        f"{place}.{key}"
        for place, it in one.model.named_modules()
        if it is one.model.base_model
        for key in it.state_dict()
    }
    before = {key: value.clone() for key, value in one.model.state_dict().items()}
    plugins.load(FOLDER, name).prepare(one.model, one.trunk)
    changed = {key for key, value in one.model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed <= inside and fingerprint(one.trunk.model) == given
    assert one.plugin.outcomes(one.model, one.samples, one.names)
    if name in ("trunk", "public"):
        weights = one.model.base_model.state_dict()
        assert changed and all(
            torch.equal(one.trunk.model.state_dict()[key], weights[key]) for key in weights
        )
