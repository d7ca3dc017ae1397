"""The report says where the time of a training went: what a real run measured."""

import pytest

from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.meter import Meter
from components.lib.storage.objects import connect
from components.promotion.training_time import USES, rates, spending
from tests.components.lib.engine.toys import run


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    meter, kept = Meter(peak=1e9), Checkpoints(connect(str(tmp_path_factory.mktemp("store"))), "c", {})
    run(12, checkpoints=kept, checkpoint_every=5, evaluate_every=6, meter=meter).train()
    meter.count(flops=1e5)
    return meter.summary() | {"peak_flops_per_second": 1e9}


def test_every_loss_of_the_meter_has_words(measured):
    named = {name.removesuffix("_seconds") for name in measured if name.endswith("_seconds")}
    assert named - {"scheduled", "cpu"} <= USES.keys()
    assert {"ideal", "data", "checkpoint", "evaluation", "startup"} <= named


def test_shares_add_up_and_rates_are_shown(measured):
    rows = spending(measured)
    assert sum(float(share.removesuffix("%")) for _, _, share in rows) == pytest.approx(100, abs=1)
    assert {"steps at their usual pace", "waiting for checkpoints", "validation"} <= {row[0] for row in rows}
    shown = rates(measured | {"padding": 0.2}, "tokens")
    assert {"goodput", "share of padding", "model FLOP/s utilisation"} <= shown.keys()
    assert shown["the devices' peak, measured then"] == "1 GFLOP/s"
    assert shown["processor time of all processes"].endswith(" s")
    assert shown["most memory of a process"].endswith(" GB") and "tokens/s, padding included" in shown


def test_what_has_no_padding_is_not_asked_about_it(measured):
    shown = rates(measured | {"padding": 0.0}, "rows")
    assert "rows/s" in shown and not [name for name in shown if "padding" in name]


def test_a_trunk_that_nobody_measured_has_no_table():
    assert spending({"seconds": 12.0}) == []
