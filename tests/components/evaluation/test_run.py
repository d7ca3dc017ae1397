import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from components.evaluation.config import Config
from components.evaluation.run import run
from components.lib.core.errors import DataError
from components.lib.registry.registered_models import Registry
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests import verdicts
from tests.components.evaluation import branches
from tests.pages import read

KINDS = ("sequence_classification", "token_classification")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def evaluate(
    context: Context, branch: Manifest, folder: Path, **options: Any
) -> tuple[Manifest, dict[str, float]]:
    folder.mkdir(exist_ok=True)
    branch.write(folder / "branch.json")
    config = Config("demo-weather", replicates=200, **options)
    paths = {"evaluation": folder / "evaluation.json", "card": folder / "card.html"}
    headline = run(config, context, branch=folder / "branch.json", **paths)
    return artifacts.read(folder / "evaluation.json"), headline


@pytest.mark.parametrize("kind", KINDS)
def test_a_branch_is_scored_with_intervals(kind, tmp_path, capsys):
    store = Store(str(tmp_path / "store"))
    branch = branches.commit(store, kind)
    made, headline = evaluate(Context(store), branch, tmp_path / "a")
    facts = made.facts
    assert made.key.inputs == {"branch": branch.reference}
    assert made.names() == ["evaluation.json", "examples.json", "outcomes.parquet", "replicates.npy"]
    assert facts["reproduced"] == 1.0  # the weights give the outcomes that finetuning recorded
    assert facts["champion"] is None and facts["difference"] is None and facts["champion_metrics"] is None
    for name, entry in facts["metrics"].items():
        assert entry["low"] <= entry["value"] <= entry["high"] and headline[name] == entry["value"]
    constant = facts["constant"]
    assert constant["answer"] in ([""] if kind == KINDS[1] else facts["classes"])
    gap = facts["metrics"][facts["primary"]]["value"] - constant["value"]
    assert constant["difference"]["value"] == pytest.approx(gap, abs=1e-5)
    assert constant["better"] == (constant["difference"]["low"] > 0)
    compared = facts["comparison"]
    assert [row["count"] for row in compared["labels"]] == branches.LABELS
    gap = compared["labels"][-1]["differences"][0]
    assert (gap["of"], gap["over"]) == ("trunk", "linear") and headline["gain_over_linear"] == gap["value"]
    assert compared["stopped"][0] == {"start": "linear", "labels": 20, "by": {"solved": 3}, "steps": 0}
    (task,) = verdicts.checked(json.loads(store.objects.read("runs/local/verdict.weather.json")))
    assert task["name"] == "weather" and task["metric"] == facts["primary"]
    costs = task["labels"][0]["starts"]
    seconds = {start: cost["cpu_seconds"] for start, cost in costs.items()}
    assert seconds == {
        "trunk": 61.5,
        "linear": 1.5,
        "random": 1.5,
    }  # of random weights no pre-training is known
    assert costs["linear"]["milliseconds"] == 0.1 and costs["linear"]["megabytes"] == 0.01
    assert task["sentence"] in capsys.readouterr().out
    outcomes = pq.read_table(store.open(made, "outcomes.parquet"))
    assert outcomes.column("system").unique().to_pylist() == ["challenger"] and len(outcomes) == 120
    written = json.loads(store.open(made, "evaluation.json").read_bytes())
    assert {name: written[name] for name in facts} == facts


@pytest.mark.parametrize("kind", KINDS)
def test_three_examples_and_one_run_of_each_start_can_tell_nothing(kind, tmp_path):
    context = Context(Store(str(tmp_path / "store")))
    made, _ = evaluate(context, branches.commit(context.store, kind, n=3, grid=([20], [0])), tmp_path / "a")
    compared = made.facts["comparison"]
    assert compared["sentence"].startswith(
        "Cannot tell which start is best with 20 labels: 3 test examples and 1"
    )
    for one in compared["labels"][0]["differences"]:
        assert one["low"] < 0 < one["high"] and one["detectable"] > 0.5
    for entry in made.facts["metrics"].values():
        assert entry["value"] is None or entry["high"] - entry["low"] > 0.5
    assert read((tmp_path / "a" / "card.html").read_text(encoding="utf-8")).headings


def test_the_confusion_matrix_counts_the_outcomes(tmp_path):
    store = Store(str(tmp_path / "store"))
    made, _ = evaluate(Context(store), branches.commit(store, KINDS[0]), tmp_path / "a")
    table = pq.read_table(store.open(made, "outcomes.parquet")).to_pydict()
    confusion = np.array(made.facts["confusion"])
    assert confusion.sum() == 120 and np.trace(confusion) == sum(
        a == b for a, b in zip(table["label"], table["prediction"], strict=True)
    )
    assert made.facts["metrics"]["accuracy"]["value"] == pytest.approx(np.trace(confusion) / 120, abs=1e-6)
    assert confusion[2].sum() == table["label"].count(2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_is_self_contained_and_shows_the_data_as_text(kind, tmp_path):
    store = Store(str(tmp_path / "store"))
    evaluate(Context(store), branches.commit(store, kind), tmp_path / "a")
    page = read((tmp_path / "a" / "card.html").read_text(encoding="utf-8"))
    assert page.headings[:2] == ["Evaluation of weather", "Starts"]
    assert "Starts" in page.headings and "<b>TF-IDF" in page.texts
    assert ("Confusion" in page.headings) == (kind == "sequence_classification")
    if kind == "sequence_classification":
        assert "Surest errors" in page.headings and "<script>alert(1)</script>" in page.text


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    digests = set()
    for name in ("a", "b"):
        store = Store(str(tmp_path / name))
        branch = branches.commit(store, KINDS[0])
        made, _ = evaluate(Context(store), branch, tmp_path / f"{name}-out")
        digests.add(made.digest)
    assert len(digests) == 1


def test_a_rerun_is_reused_without_anything_heavy(tmp_path):
    store = Store(str(tmp_path / "store"))
    first, headline = evaluate(Context(store), branches.commit(store, KINDS[0]), tmp_path / "a")
    script = (
        "import sys; from pathlib import Path\n"
        "from components.evaluation.config import Config; from components.evaluation.run import run\n"
        "from components.lib.storage.stage import Context; from components.lib.storage.store import Store\n"
        f"folder = Path({str(tmp_path / 'a')!r})\n"
        f"context = Context(Store({str(tmp_path / 'store')!r}))\n"
        "values = run(Config('demo-weather', replicates=200), context, branch=folder / 'branch.json',"
        " evaluation=folder / 'again.json', card=folder / 'again.html')\n"
        "heavy = {'torch', 'transformers', 'scipy', 'pyarrow', 'numpy', 'mlflow'} & set(sys.modules)\n"
        "assert context.outputs[0]['reused'] and not heavy, heavy\n"
        f"assert values == {headline!r}\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
    assert artifacts.read(tmp_path / "a" / "again.json") == first
    assert (tmp_path / "a" / "again.html").read_bytes() == (tmp_path / "a" / "card.html").read_bytes()


def test_outcomes_that_do_not_cover_the_examples_are_refused(tmp_path):
    store = Store(str(tmp_path / "store"))
    branch = branches.commit(store, KINDS[0], spoil=True)
    with pytest.raises(DataError, match="not scored on every frozen example") as raised:
        evaluate(Context(store), branch, tmp_path / "a")
    assert "119 rows" in raised.value.found and "120 examples" in raised.value.expected


def test_no_examples_are_refused(tmp_path):
    store = Store(str(tmp_path / "store"))
    with pytest.raises(DataError, match="no examples"):
        evaluate(Context(store), branches.empty(store), tmp_path / "a")


@pytest.mark.parametrize("kind", KINDS)
def test_the_champion_is_scored_in_the_same_job_on_the_same_examples(kind, tracked, tmp_path):
    old, new = (branches.commit(tracked.store, kind, seed=seed) for seed in (1, 2))
    branches.register(tracked, old, "demo-weather")
    made, _ = evaluate(tracked, new, tmp_path / "a")
    assert made.key.inputs == {"branch": new.reference, "champion": old.reference}
    assert made.facts["champion"] == {"name": "demo-weather", "version": "1", "reference": old.reference}
    alone, _ = evaluate(Context(tracked.store), old, tmp_path / "b")
    assert made.facts["champion_metrics"] == alone.facts["metrics"]
    primary = made.facts["primary"]
    gap = made.facts["metrics"][primary]["value"] - made.facts["champion_metrics"][primary]["value"]
    assert made.facts["difference"][primary]["value"] == pytest.approx(gap, abs=2e-6)
    outcomes = pq.read_table(tracked.store.open(made, "outcomes.parquet")).to_pydict()
    by_system = [
        [e for s, e in zip(outcomes["system"], outcomes["example"], strict=True) if s == system]
        for system in ("challenger", "champion")
    ]
    assert by_system[0] == by_system[1] == list(range(120))
    text = (tmp_path / "a" / "card.html").read_text(encoding="utf-8")
    assert "champion (version 1)" in read(text).text

    same, _ = evaluate(tracked, old, tmp_path / "c")  # the champion itself: nothing to compare with
    assert same.key.inputs == {"branch": old.reference} and same.facts["champion"] is None


def test_the_anchor_is_scored_too_and_once_if_it_is_the_champion(tracked, tmp_path):
    first, second, new = (branches.commit(tracked.store, KINDS[0], seed=seed) for seed in (1, 2, 3))
    registry = Registry(tracked.tracking_uri)
    branches.register(tracked, first, "demo-weather")
    registry.set_alias(registry.find("demo-weather", "champion"), "anchor")
    same, _ = evaluate(tracked, second, tmp_path / "a")
    branches.register(tracked, second, "demo-weather")
    made, _ = evaluate(tracked, new, tmp_path / "b")
    for found, systems in ((same, 2), (made, 3)):
        rows = pq.read_table(tracked.store.open(found, "outcomes.parquet")).to_pylist()
        right = Counter(row["system"] for row in rows if row["label"] == row["prediction"])
        assert len(right) == systems
        expected = right["challenger"] - right["anchor" if systems == 3 else "champion"]
        gaps = found.facts["anchor_gaps"]
        total = sum(value * count for value, count in zip(gaps["values"], gaps["counts"], strict=True))
        assert total == expected and sum(gaps["counts"]) == 120
        assert found.facts["anchor"]["reference"] == first.reference == found.key.inputs["anchor"]


def test_a_champion_that_left_the_store_comes_from_the_registry(tracked, tmp_path):
    old, new = (branches.commit(tracked.store, KINDS[0], seed=seed) for seed in (1, 2))
    expected, _ = evaluate(Context(tracked.store), old, tmp_path / "a")
    branches.register(tracked, old, "demo-weather")
    for key in list(tracked.store.objects.keys(f"finetuning/{old.key.digest}/")):
        tracked.store.objects.delete(key)
    made, _ = evaluate(tracked, new, tmp_path / "b")
    assert made.facts["champion_metrics"] == expected.facts["metrics"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_champion_of_fewer_classes_is_wrong_about_the_new_one(kind, tracked, tmp_path):
    names = branches.classes(kind)
    old = branches.commit(tracked.store, kind, seed=1, names=names[:2])
    branches.register(tracked, old, "demo-weather")
    made, _ = evaluate(tracked, branches.commit(tracked.store, kind, seed=2), tmp_path / "a")
    table = pq.read_table(tracked.store.open(made, "outcomes.parquet")).to_pylist()
    rows = [row for row in table if row["system"] == "champion"]
    if kind == "sequence_classification":
        new = [row for row in rows if row["label"] == 2]
        assert new and all(row["prediction"] < 2 for row in new)
        accuracy = sum(row["label"] == row["prediction"] for row in rows) / len(rows)
        assert made.facts["champion_metrics"]["accuracy"]["value"] == pytest.approx(accuracy, abs=1e-6)
    else:
        assert all(row["correct"] < row["tokens"] for row in rows)  # I-place stands in every example


def test_decoration_costs_no_evaluation(tmp_path, monkeypatch):
    """A failure in what is only shown is a notice; the outcome is that of any other run."""
    from components.lib.modalities.text.labelled import Reader

    monkeypatch.setattr(Reader, "excerpt", lambda self, value: 1 / 0)
    context = Context(Store(str(tmp_path / "store")))
    made, _ = evaluate(context, branches.commit(context.store, KINDS[0]), tmp_path / "a")
    assert made.facts["metrics"] and "surest errors could not be drawn" in "".join(context.notices)
