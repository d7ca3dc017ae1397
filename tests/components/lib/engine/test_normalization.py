"""Batch norm of the engine is torch's, and no bad batch stays in what it remembers."""

import pytest
import torch
from torch import nn

from components.lib.engine.normalization import sync_batch_norms


def both(momentum):
    torch.manual_seed(0)
    theirs = nn.BatchNorm2d(3, momentum=momentum)
    ours = nn.BatchNorm2d(3, momentum=momentum)
    sync_batch_norms(ours)
    assert type(ours) is not type(theirs)
    return ours, theirs


@pytest.mark.parametrize("momentum", [0.1, None])
def test_in_one_process_it_is_torchs(momentum):
    ours, theirs = both(momentum)
    for step in range(3):
        images = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(step)) * 3 + 1
        torch.testing.assert_close(ours(images), theirs(images))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_a_bad_batch_is_not_remembered(bad):
    ours, _ = both(0.1)
    ours(torch.randn(4, 3, 5, 5))
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    images = torch.randn(4, 3, 5, 5)
    images[0, 1] = bad
    ours(images)
    after = ours.state_dict()
    for name in ("running_mean", "running_var"):
        assert after[name].isfinite().all()
        assert after[name][1] == before[name][1]
        assert after[name][0] != before[name][0]
