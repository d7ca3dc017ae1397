"""Finetuning to convergence: what ended each run, and what it cost, by real training."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.components.finetuning.studies import config, read_lines, study, table
from tests.made import corpora


def test_every_run_says_how_it_was_trained_and_what_it_cost(branch):
    context, manifest = branch
    rows, tried = read_lines(context, manifest, "runs.jsonl"), read_lines(context, manifest, "tuning.jsonl")
    losses = read_lines(context, manifest, "history.jsonl")
    assert len(rows) == 12 and [row["start"] for row in rows[:3]] == ["trunk", "linear", "random"]
    for row in rows:
        tag = {name: row[name] for name in ("start", "labels", "seed")}
        steps = [loss["step"] for loss in losses if tag.items() <= loss.items()]
        if row["start"] == "linear":
            assert (row["rate"], row["steps"], row["stopped"], steps) == (None, 0, "solved", [])
            continue
        (choice,) = (
            one
            for one in tried
            if one["chosen"] and (one["start"], one["labels"]) == (row["start"], row["labels"])
        )
        assert (row["rate"], row["steps"]) == (choice["rate"], choice["steps"]) and max(steps) == row[
            "steps"
        ] <= 30
        assert row["stopped"] == ("bound" if row["steps"] == 30 else "early")
    charged = manifest.measured["runs"]
    assert [{k: v for k, v in one.items() if k != "cpu_seconds"} for one in charged] == [
        {name: row[name] for name in ("start", "labels", "seed")} for row in rows
    ]
    assert all(one["cpu_seconds"] > 0 for one in charged)
    costs = manifest.measured["starts"]
    assert set(costs) == {"trunk", "linear", "random"} and manifest.facts["starts_left_out"] == {}
    assert all(cost["milliseconds"] > 0 and cost["megabytes"] > 0 and cost["note"] for cost in costs.values())
    assert costs["trunk"]["parameters"] == costs["random"]["parameters"] > costs["linear"]["parameters"] > 0
    assert costs["random"]["pretraining_cpu_seconds"] == 0 < costs["linear"]["pretraining_cpu_seconds"]
    weights = manifest.file("model/model.safetensors").bytes / 1e6
    assert costs["trunk"]["megabytes"] == pytest.approx(weights, rel=0.02)
    assert {k: v["parameters"] for k, v in manifest.facts["starts"].items()} == {
        k: v["parameters"] for k, v in costs.items()
    }


def test_training_ends_where_held_out_labels_are_predicted_best(ground, tmp_path):
    """Of labels half of which are wrong, more steps learn the wrong ones; the first steps are kept."""
    draw = np.random.default_rng(0)
    rows = [(text, topic) for topic, text in corpora.topics(180, seed=5)]
    names = sorted({topic for _, topic in rows})
    noisy = [(text, draw.choice(names) if draw.random() < 0.5 else topic) for text, topic in rows]
    given = {"train": {"source": table(tmp_path / "noisy.csv", noisy)}, "label_counts": (90,), "steps": 100}
    learnt = {}
    for bound in (100, 4):
        quick = config(ground, **{**given, "steps": bound}, starts=("trunk",))
        context, manifest = study(ground, quick, tmp_path / f"{bound}.json")
        runs, outcomes = (
            read_lines(context, manifest, "runs.jsonl"),
            context.store.open(manifest, "outcomes.parquet"),
        )
        columns = pq.read_table(outcomes).to_pandas()
        learnt[bound] = (
            {(run["steps"], run["stopped"]) for run in runs},
            (columns["label"] == columns["prediction"]).mean(),
        )
    ((steps, stopped),) = learnt[100][0]
    assert stopped == "early" and steps < 60 and learnt[100][1] > 0.8
    assert learnt[4][0] == {(4, "bound")}
