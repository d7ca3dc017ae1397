"""A stage with nothing to do writes that to every output, and does nothing else."""

import importlib
import json

import pytest
from kfp import dsl

from components.lib.storage import artifacts
from components.lib.storage.store import Store

REASON = "the data is unchanged"
INTERFACES = {  # stage -> its component, inputs, outputs, pages
    "tokenization": ("tokenize", ["corpus"], ["tokens"], []),
    "pretraining": ("pretrain", ["tokens"], ["trunk", "metrics"], []),
    "registration": ("register", ["trunk"], ["registered"], ["link"]),
    "finetuning": ("finetune", ["registered"], ["branch"], []),
    "evaluation": ("evaluate", ["branch"], ["evaluation", "metrics"], ["card"]),
    "promotion": ("promote", ["registered", "evaluations"], ["decision"], ["report", "link"]),
}


@pytest.mark.parametrize("by", ["an input", "the settings"])
@pytest.mark.parametrize("stage", INTERFACES)
def test_nothing_to_do_is_passed_on(stage, by, tmp_path, capsys):
    name, inputs, outputs, pages = INTERFACES[stage]
    component = getattr(importlib.import_module(f"components.{stage}.component"), name)
    settings = {"store": str(tmp_path / "store"), "run": {"run_id": "r1", "tracking_uri": "", "details": {}}}
    settings |= {"passed_on": REASON} if by == "the settings" else {}
    files = {one: dsl.Artifact(one, str(tmp_path / one)) for one in [*inputs, *outputs, *pages]}
    for one in inputs if by == "an input" else ():
        artifacts.pass_on(REASON, tmp_path / one)
    if "metrics" in outputs:
        files["metrics"] = dsl.Metrics("metrics", str(tmp_path / "metrics"))
    if "evaluations" in inputs:
        files["evaluations"] = [files["evaluations"]]
    tasks = stage in ("finetuning", "evaluation")
    given = {"task": {"name": "", stage: settings}} if tasks else {"settings": settings}
    component.python_func(**given, **files)
    assert f"{stage}: passed on: {REASON}" in capsys.readouterr().out
    for one in set(outputs) - {"metrics"}:
        assert artifacts.passed_on(tmp_path / one) == REASON
    for one in pages:
        assert REASON in (tmp_path / one).read_text()
    store = Store(settings["store"])
    keys = [key.removeprefix("runs/") for key in store.objects.keys("")]
    last = ["index.html", "r1/exit.json"] if stage == "promotion" else []  # which always ends a run
    assert keys == sorted([f"r1/{stage}.json", *last])
    record = json.loads(store.objects.read(f"runs/r1/{stage}.json"))
    assert (record["status"], record["passed_on"]) == ("succeeded", REASON)
