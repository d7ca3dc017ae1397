"""`make decide`: the rounds, their error rate, and what is told at the end."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
from argparse import Namespace

import pytest

from components.lib.data.sources import sample
from pipelines import decide
from pipelines.decide import Round
from tests.architecture.imports import ROOT


def task(*gains: tuple[float, float], better: str = "higher", trunk: float = 0.6):
    """A task's verdict: the interval of the trunk's advantage over `linear` at each number of labels."""
    rows = []
    for number, ends in enumerate(gains, 1):
        low, high = ends if better == "higher" else sorted(-end for end in ends)
        difference = {"of": "trunk", "over": "linear", "value": (low + high) / 2, "low": low, "high": high}
        starts = {name: {"value": trunk} for name in ("trunk", "linear")}
        rows.append({"count": 100 * number, "starts": starts, "differences": [difference]})
    return {"name": "topics", "better": better, "labels": rows, "sentence": "Use it."}


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_round_shows_it_where_every_interval_is_above_0(better, turned):
    won, open_ = task((0.01, 0.2), (0.02, 0.1), better=better), task((0.01, 0.2), (-0.02, 0.1), better=better)
    if turned:  # linear - trunk says the same
        for one in (*won["labels"], *open_["labels"]):
            entry = one["differences"][0]
            entry.update(of="linear", over="trunk", low=-entry["high"], high=-entry["low"])
    assert Round(1.0, 60.0, [won]).shown()
    assert not Round(1.0, 60.0, [open_]).shown()
    assert not Round(1.0, 60.0, [won, open_]).shown()
    assert not Round(1.0, 60.0, []).shown()


def test_the_rounds_share_one_error():
    errors = [1 - decide._confidence(before) for before in range(20)]
    assert sum(errors) <= decide.ERROR + 1e-9 and all(error > 0 for error in errors)


def test_the_estimate_follows_the_line_through_the_last_two_rounds():
    rounds = [
        Round(1.0, 90.0, [task((-0.1, 0.1), trunk=0.50)]),
        Round(2.0, 90.0, [task((-0.1, 0.1), trunk=0.53)]),
    ]
    given = Namespace(preset="decide", source="a", labels="b.csv", set=["tasks.topics.train.label=kind"])
    text = "\n".join(decide.told(rounds, given))
    assert "the time is up after 2 rounds" in text and "topics: Use it." in text
    assert "0.530 after 2.0 minutes; with 10 times as many, 0.530 to 0.630 by its trend" in text
    assert "to go on: make run PRESET=decide SOURCE=a LABELS=b.csv" in text
    assert "SET='pretraining.minutes=20 tasks.topics.train.label=kind'" in text
    rounds.append(Round(4.0, 90.0, [task((0.01, 0.1))]))
    assert "decided after 3 rounds" in "\n".join(decide.told(rounds, given))


@pytest.mark.parametrize("words", [["--source", "texts.txt"], ["--pipeline", "finetuning"]])
def test_without_labels_nothing_is_run(words, capsys):
    assert decide.main([*words, "--preset", "smoke"]) == 64
    assert "LABELS=my/labels.csv" in capsys.readouterr().err


def test_no_time_is_told(capsys):
    assert decide.main(["--preset", "smoke", "--minutes", "0"]) == 64
    assert "at least 0.1" in capsys.readouterr().err


@pytest.mark.long
def test_own_texts_and_labels_are_decided_on(tmp_path):
    draw = random.Random(0)
    records = [sample._document(draw) for _ in range(400)]
    texts, labels = tmp_path / "my texts.jsonl", tmp_path / "labels.csv"
    texts.write_text("".join(json.dumps({"text": one["text"]}) + "\n" for one in records))
    rows = (f'"{one["text"]}",{one["label"]}' for one in records[:200])
    labels.write_text("\n".join(["text,label", *rows]) + "\n")
    settings = ["finetuning.label_counts=[0.3,1.0]", "finetuning.seeds=[0]", "pretraining.global_batch=32"]
    settings += ["finetuning.steps=3", "evaluation.replicates=100"]
    places = ["--store", tmp_path / "store", "--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    words = ["--preset", "smoke", "--source", texts, "--labels", labels, "--minutes", "0.4", *places]
    words += [word for one in settings for word in ("--set", one)]
    command = [sys.executable, "-m", "pipelines.decide", *map(str, words)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("store/runs/*/verdict.json")
    sentence = json.loads(path.read_text())["tasks"][0]["sentence"]
    assert " after 1 round" in done.stdout and sentence in done.stdout
    assert f"SOURCE={shlex.quote(str(texts))} LABELS={labels}" in done.stdout
