"""Finetuning: a fair study from every start, and the refusal of unusable labels."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from components.finetuning import labelled, tuning, workers
from components.finetuning.study import Study
from components.lib import modalities, tasks
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key
from components.lib.storage.stage import Context
from tests.components.evaluation.scoring import score
from tests.components.finetuning.studies import config, study, table
from tests.made import corpora


def test_every_run_is_scored_on_the_same_frozen_examples(branch):
    context, manifest = branch
    outcomes = pq.read_table(context.store.open(manifest, "outcomes.parquet")).to_pandas()
    examples = pq.read_table(context.store.open(manifest, "examples.parquet"))
    runs = outcomes.groupby(["start", "labels", "seed"])
    assert set(runs.groups) == {
        (s, n, k) for s in ("trunk", "linear", "random") for n in (12, 48) for k in (0, 1)
    }
    for _, rows in runs:
        assert rows["example"].tolist() == list(range(examples.num_rows))
        assert rows["label"].tolist() == outcomes["label"][: examples.num_rows].tolist()
    assert manifest.facts["counts"]["test"] == examples.num_rows == 60


def test_the_branch_is_the_run_it_says_it_is(branch):
    context, manifest = branch
    folder = context.store.open_folder(manifest, "model/")
    examples = pq.read_table(context.store.open(manifest, "examples.parquet"))
    outcomes = pq.read_table(context.store.open(manifest, "outcomes.parquet")).to_pandas()
    selected = outcomes[(outcomes["start"] == "trunk") & (outcomes["labels"] == 48) & (outcomes["seed"] == 0)]
    scored = score(folder, "sequence_classification", examples)
    assert scored["prediction"].tolist() == selected["prediction"].tolist()
    assert np.allclose(scored["confidence"], selected["confidence"], atol=1e-6)
    assert manifest.facts["selected"] == {"labels": 48, "seed": 0}


def test_the_branch_learned_its_task(branch):
    context, manifest = branch
    outcomes = pq.read_table(context.store.open(manifest, "outcomes.parquet")).to_pandas()
    outcomes["correct"] = outcomes["label"] == outcomes["prediction"]
    accuracy = outcomes.groupby(["start", "labels"])["correct"].mean()
    assert accuracy["trunk", 48] > 0.8 > 1 / 3


def test_two_studies_are_equal_byte_for_byte(ground, branch, tmp_path):
    _, manifest = branch
    fresh = tmp_path / "ground"
    shutil.copytree(ground / "store", fresh / "store")
    shutil.rmtree(fresh / "store" / "finetuning")
    (fresh / "registered.json").write_text((ground / "registered.json").read_text())
    _, again = study(fresh, config(ground), tmp_path / "branch.json")
    assert again.digest == manifest.digest


def test_the_second_time_is_reused(ground, branch, tmp_path):
    context, manifest = study(ground, config(ground), tmp_path / "branch.json")
    assert context.outputs[0]["reused"] and manifest.digest == branch[1].digest


@pytest.mark.parametrize("mode", ["full", "partial", "frozen", "knn", "lora"])
def test_every_mode_learns_and_is_scored_again_as_it_was(ground, tmp_path, mode):
    quick = config(ground, mode=mode, label_counts=(90,), seeds=(0,), starts=("trunk",), steps=40)
    context, manifest = study(ground, quick, tmp_path / "branch.json")
    outcomes = pq.read_table(context.store.open(manifest, "outcomes.parquet")).to_pandas()
    assert (outcomes["label"] == outcomes["prediction"]).mean() > 0.8
    examples = pq.read_table(context.store.open(manifest, "examples.parquet"))
    scored = score(context.store.open_folder(manifest, "model/"), quick.kind, examples)
    assert scored["prediction"].tolist() == outcomes["prediction"].tolist()
    assert np.allclose(scored["confidence"], outcomes["confidence"], atol=1e-6)


def test_a_linear_probe_is_scikit_learn_s_logistic_regression(ground, tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    penalty = {"inverse_penalties": (0.1,)}
    quick = config(ground, mode="frozen", label_counts=(60,), seeds=(3,), starts=("trunk",), **penalty)
    context, manifest = study(ground, quick, tmp_path / "branch.json")
    task, folder = tasks.load(quick.kind), context.store.open_folder(manifest, "model/")
    probe, reader = task.load(folder), modalities.load("text", "labelled").Reader.open(folder)
    data = labelled.frozen(quick, task, reader)
    chosen = data.train.take(np.argsort(labelled.subset_keys(data.train.ids, 3), kind="stable")[:60])
    samples = task.encode(reader, chosen.inputs, chosen.labels, data.classes)
    features, classes = (tensor.numpy() for tensor in task.features(probe, samples))
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(features, classes)
    examples = pq.read_table(context.store.open(manifest, "examples.parquet"))
    scored = score(folder, quick.kind, examples)
    inputs = {"text": examples.column("text").to_pylist()}
    test = task.encode(reader, inputs, examples.column("label").to_pylist(), data.classes)
    order = np.concatenate(test.batches(64))
    assert manifest.facts["temperature"] != 1.0
    scores = oracle.decision_function(task.features(probe, test)[0].numpy()) / manifest.facts["temperature"]
    expected = torch.from_numpy(scores).softmax(dim=1).numpy()
    assert np.allclose(expected.max(axis=1), scored["confidence"][order], atol=1e-4)


def groups(path: Path, rows: list[tuple[str, str, str]]) -> dict[str, str]:
    return {"source": table(path, rows, header=("text", "label", "patient")), "group": "patient"}


def test_a_group_is_never_on_both_sides(ground, tmp_path, capsys):
    """Of 180 records of 60 patients, those of the 20 tested patients are not trained on, and it is told."""
    texts = corpora.topics(240, seed=1)
    rows = [(text, topic, f"p{number % 60}") for number, (topic, text) in enumerate(texts)]
    splits = {"train": groups(tmp_path / "a.csv", rows[:180])}
    splits["test"] = groups(tmp_path / "b.csv", [row for row in rows[180:] if int(row[2][1:]) < 20])
    quick = config(ground, **splits, label_counts=(30,), seeds=(0,), steps=1, learning_rates=(1e-3, 1e-4))
    _, manifest = study(ground, quick, tmp_path / "branch.json")
    counts = manifest.facts["counts"]
    assert (counts["test"], counts["train"], counts["train_of_test_groups"]) == (20, 120, 60)
    assert "33.3% of the training records are not trained on" in capsys.readouterr().out


def test_trials_hold_out_whole_groups(ground, tmp_path):
    texts = corpora.topics(240, seed=1)
    rows = [(text, topic, f"p{number % 6}") for number, (topic, text) in enumerate(texts)]
    splits = {"train": groups(tmp_path / "a.csv", rows), "test": {"source": str(ground / "test.csv")}}
    quick = config(ground, **splits, label_counts=(60,), seeds=(0,), learning_rates=(1e-3, 1e-4))
    context = Context(corpora.Store(str(ground / "store")), stage="finetuning", task="topics")
    trunk = context.store.resolve(artifacts.read(ground / "registered.json").key.inputs["trunk"])
    with context.store.draft(Key("finetuning", 0, {"test": "groups"})) as draft:
        one = Study(quick, context, trunk, draft)
    fitter = one.inputs.fitter()
    learned, judged = fitter._split(tuning.trials(quick, one.inputs.starts, one.labels)[0])
    seen = one.inputs.subsets[0][:60]
    assert sorted([*learned, *judged]) == sorted(seen) and 12 <= len(judged) < 36
    assert not {one.inputs.groups[i] for i in judged} & {one.inputs.groups[i] for i in learned}


def test_subsets_are_nested_and_differ_by_seed():
    ids = [artifacts.sha256(str(number).encode())[:32] for number in range(1000)]
    orders = {seed: np.argsort(labelled.subset_keys(ids, seed), kind="stable") for seed in (0, 1)}
    assert set(orders[0][:10]) <= set(orders[0][:50])
    assert len(set(orders[0][:100]) & set(orders[1][:100])) < 40


@pytest.mark.parametrize(
    ("wanted", "expected"), [((10, 50), [10, 50]), ((0.1, 1.0), [20, 200]), ((500, 10), [10, 200])]
)
def test_label_counts_are_numbers_or_shares(ground, wanted, expected):
    assert labelled.counts(config(ground, label_counts=wanted), 200) == expected


def test_rejected_records_within_the_budget_are_kept_with_a_reason(ground, tmp_path):
    rows = [(text, topic) for topic, text in corpora.topics(100, seed=3)]
    rows[7] = (rows[7][0], "")
    rows[8] = ("", rows[8][1])
    source = {"source": table(tmp_path / "some.csv", rows)}
    quick = config(ground, train=source, label_counts=(10,), seeds=(0,), steps=2, reject_budget=0.02)
    context, manifest = study(ground, quick, tmp_path / "branch.json")
    rejected = pq.read_table(context.store.open(manifest, "quarantine.parquet")).to_pylist()
    assert manifest.facts["rejected"] == manifest.facts["counts"]["unlabelled"] == 1 and len(rejected) == 2
    assert all("some.csv" in row["location"] for row in rejected)
    assert sum(" of 100 records " in told for told in manifest.facts["notices"]) == 2
    assert "empty" in rejected[0]["reason"] and "no label" in rejected[1]["reason"]


def test_examples_that_are_tested_are_not_trained_on(ground, tmp_path):
    rows = [(text, topic) for topic, text in corpora.topics(240, seed=1)]
    source = {"source": table(tmp_path / "leaky.csv", rows)}
    quick = config(ground, train=source, label_counts=(10,), seeds=(0,), steps=2)
    _, manifest = study(ground, quick, tmp_path / "branch.json")
    assert manifest.facts["counts"]["train_also_in_test"] == 60
    assert manifest.facts["counts"]["train"] == 180


def test_the_test_split_has_no_part_in_it_and_runs_are_those_of_the_rate(ground, tmp_path, monkeypatch):
    """The same trials whatever is tested; and a run of the study is what it would be with its rate alone."""
    monkeypatch.setattr(workers, "FEW", 100)  # in this process
    rows = [(text, topic) for topic, text in corpora.topics(300, seed=1)]
    others = {"source": table(tmp_path / "others.csv", rows[240:])}
    quick = {"label_counts": (24,), "learning_rates": (0.0, 3e-3)}
    studies = {
        "several": study(ground, config(ground, **quick), tmp_path / "a.json"),
        "other test": study(ground, config(ground, **quick, test=others), tmp_path / "b.json"),
        "one": study(ground, config(ground, **{**quick, "learning_rates": (3e-3,)}), tmp_path / "c.json"),
    }
    read = {name: context.store.open(made, "tuning.jsonl") for name, (context, made) in studies.items()}
    trials = [json.loads(line) for line in read["several"].read_text().splitlines()]
    assert read["several"].read_bytes() == read["other test"].read_bytes()
    assert len(read["one"].read_text().splitlines()) == 2
    assert [(t["start"], t["rate"]) for t in trials if t["chosen"]] == [("trunk", 3e-3), ("random", 3e-3)]
    assert len(trials) == 4 and all(0 <= trial["score"] <= 1 for trial in trials)
    several, one = studies["several"][1], studies["one"][1]
    assert several.facts["starts"] == studies["other test"][1].facts["starts"]  # what linear has chosen, too
    assert several.facts["rates"] == {"random": [[24, 3e-3]], "trunk": [[24, 3e-3]]}
    assert several.file("outcomes.parquet").sha256 == one.file("outcomes.parquet").sha256


def test_a_number_and_its_text_are_one_group(ground, tmp_path):
    """Of files of two formats: 7 of JSON, 7.0 of a computed column and "7" of CSV."""
    texts = [(text, topic) for topic, text in corpora.topics(40, seed=6)]
    lines = [
        {"text": text, "label": topic, "patient": place} for place, (text, topic) in enumerate(texts[:30])
    ]
    lines[7]["patient"] = 7.0
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [(text, topic, str(place)) for place, (text, topic) in enumerate(texts[30:], 3)]
    test = table(tmp_path / "test.csv", rows, header=("text", "label", "patient"))
    splits = {"train": {"source": str(tmp_path / "train.jsonl"), "group": "patient"}}
    splits["test"] = {"source": test, "group": "patient"}
    data = labelled.frozen(config(ground, **splits), tasks.load("sequence_classification"), Plain())
    assert (data.counts["train"], data.counts["train_of_test_groups"]) == (20, 10)


class Plain:
    """Reads texts as they are."""

    def value(self, record, name, tell, role=""):
        return record.required(name)

    def identity(self, inputs):
        return artifacts.sha256(inputs["text"].encode())[:32]
