"""The report says where the time of a training went: what a real run measured."""

import pytest

from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.meter import Meter
from components.lib.storage.objects import connect
from components.promotion.training_time import USES, spending
from tests.components.lib.engine.toys import run


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    meter, kept = Meter(peak=1e9), Checkpoints(connect(str(tmp_path_factory.mktemp("store"))), "c", {})
    run(12, checkpoints=kept, checkpoint_every=5, evaluate_every=6, meter=meter).train()
    meter.count(flops=1e5)
    return meter.summary() | {"peak_flops_per_second": 1e9}


def test_every_loss_of_the_meter_has_words(measured):
    named = {name.removesuffix("_seconds") for name in measured if name.endswith("_seconds")}
    assert named - {"scheduled"} <= USES.keys()
    assert {"ideal", "data", "checkpoint", "evaluation", "startup"} <= named


def test_shares_add_up_and_rates_are_shown(measured):
    shown = "".join(map(str, spending(measured, "tokens")))
    lines = shown.partition("<tbody>")[2].partition("</tbody>")[0].replace("<", " <").split()
    shares = [float(word.rpartition(">")[2].removesuffix("%")) for word in lines if "%" in word]
    assert sum(shares) == pytest.approx(100, abs=1)
    for text in (
        "steps at their usual pace", "waiting for checkpoints", "validation", "goodput", "1 GFLOP/s",
        "utilisation", "GB", "padding",
    ):  # fmt: skip
        assert text in shown


def test_a_trunk_that_nobody_measured_has_no_table():
    assert spending({"seconds": 12.0}, "tokens") == []
