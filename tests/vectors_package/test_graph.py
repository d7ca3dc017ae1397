"""A user's own package: a modality of which the project knows nothing goes through the whole graph.

Rows of numbers, read from csv and parquet, with a network, an objective and two tasks, of which one has a
metric whose lower is better. Entry points are all that joins it to the project.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import load_file

from components import STAGES
from tests.architecture.imports import ROOT
from tests.pages import read
from tests.vectors_package.installation import environment

pytestmark = pytest.mark.long
COLUMNS = [f"x{number}" for number in range(24)]
TASKS = ("side", "height")


def rows(count, seed):
    """Numbers that follow four hidden ones by a fixed network, with a class and a height that do, too."""
    fixed, generator = np.random.default_rng(0), np.random.default_rng(seed)
    first, second = fixed.standard_normal((4, 32)), fixed.standard_normal((32, len(COLUMNS))) / 4
    hidden = generator.standard_normal((count, 4))
    numbers = np.tanh(hidden @ first) @ second + 0.1 * generator.standard_normal((count, len(COLUMNS)))
    side = np.where(hidden[:, 0] * hidden[:, 1] > 0, "left", "right")
    return numbers, side, 3 + hidden[:, 0] + np.abs(hidden[:, 2])


def table(count, seed):
    """Those rows as columns, with a name and a number that are not features."""
    numbers, side, height = rows(count, seed)
    found = {name: numbers[:, place] for place, name in enumerate(COLUMNS)}
    return {"name": [f"row {seed} {n}" for n in range(count)], **found, "side": side, "height": height}


def write_csv(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, and where runs keep what they make."""
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "rows").mkdir()
    write_csv(folder / "rows" / "some.csv", table(500, 1))
    parquet.write_table(pa.table(table(700, 2)), folder / "rows" / "more.parquet")
    write_csv(folder / "train.csv", table(300, 3))
    write_csv(folder / "test.csv", table(300, 4))
    return folder


@pytest.fixture(scope="module")
def runner(place):
    """Runs a pipeline by the local runner: returns its exit record, and the text of its report."""
    variables = environment(place / "site")

    def run(pipeline, tasks, *settings):
        words = [f"ingestion.sources=['{place / 'rows'}']", f"tasks={json.dumps(tasks)}", *settings]
        for task in tasks:
            words += [f"tasks.{task}.{split}.source={place / f'{split}.csv'}" for split in ("train", "test")]
        command = [sys.executable, "-m", "pipelines.local", "--pipeline", pipeline, "--preset", "vectors"]
        command += ["--store", str(place / "store"), "--tracking-uri", f"sqlite:///{place / 'mlflow.db'}"]
        command += [part for word in words for part in ("--set", word)]
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        name = next(line.split()[-1] for line in done.stdout.splitlines() if line.startswith("Trunkline "))
        folder = place / "store" / "runs" / name
        report = read((folder / "report.html").read_text())
        return json.loads((folder / "exit.json").read_text()), report.text

    return run


def outputs(place, record, stage):
    """Manifests of a stage in a run, by task, each with the folder of its files."""
    found = {}
    for entry in record["stages"]:
        for output in entry["outputs"] if entry["stage"] == stage else []:
            folder = place / "store" / output["reference"].partition("#")[0]
            manifest = json.loads((folder / "manifest.json").read_text())
            found[entry["task"]] = manifest["facts"], place / "store" / manifest["uri"]
    return found


@pytest.fixture(scope="module")
def first(runner):
    return runner("training", TASKS)


@pytest.fixture(scope="module")
def second(runner, first):
    """A branch again, which hardly learns."""
    return runner("finetuning", TASKS[1:], "tasks.height.finetuning.steps=1")


def test_every_stage_takes_the_modality(place, first):
    record, _ = first
    assert record["status"] == "succeeded"
    assert {entry["stage"] for entry in record["stages"]} == set(STAGES) - {"closing"}
    (corpus, _), (tokens, _) = (outputs(place, record, s)[""] for s in ("ingestion", "tokenization"))
    assert corpus["read"] == sum(corpus["documents"].values()) == sum(tokens["rows"].values()) == 1200
    (trunk, _) = outputs(place, record, "pretraining")[""]
    assert trunk["architecture"] == "trunkline_vectors" and trunk["objective"].keys() == {
        "contrastive",
        "vector_autoencoder",
    }
    for facts, _ in outputs(place, record, "evaluation").values():
        assert facts["reproduced"] == 1.0
    assert {result["task"]: result["verdict"] for result in record["results"]} == dict.fromkeys(
        TASKS, "promoted"
    )


def test_the_report_names_units_and_metrics(first):
    _, report = first
    for words in ("Rows as the trunk reads them", "rows kept", "RMSE (lower is better)", "R\u00b2", "rows/s"):
        assert words in report, words
    assert "vector regression, 300 test examples." in report  # without a number of classes
    assert "points of accuracy" in report and "points of RMSE" not in report
    assert "tokens" not in report and "padding" not in report


def test_a_metric_of_which_lower_is_better_is_gated_the_right_way_round(place, first, second):
    record, report = second
    before, after = (outputs(place, one[0], "evaluation")["height"][0] for one in (first, second))
    assert after["metrics"]["rmse"]["value"] > before["metrics"]["rmse"]["low"]
    assert after["champion_metrics"]["rmse"] == before["metrics"]["rmse"]
    assert {result["task"]: result["verdict"] for result in record["results"]} == {"height": "rejected"}
    assert "rmse (lower is better) is not surely" in report


SERVED = """
import json, sys, mlflow
uri, names = sys.argv[1], sys.argv[2:]
mlflow.set_tracking_uri(uri)
rows = [{"vector": row} for row in json.load(sys.stdin)]
models = [mlflow.pyfunc.load_model(f"models:/trunkline-vectors{name}") for name in names]
answers = [model.predict(rows) for model in models]
ours = [name for name in sys.modules if name.partition(".")[0] in ("components", "trunkline_vectors")]
print("found", json.dumps([*(a if isinstance(a, list) else a.tolist() for a in answers), ours]))
"""


def test_models_answer_where_neither_project_nor_package_are(place, first, second, tmp_path):
    numbers, side, height = rows(300, 4)
    uri = f"sqlite:///{place / 'mlflow.db'}"
    names = ["@champion", "-side@champion", "-height@champion", "-height@challenger"]
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SERVED, uri, *names],
        input=json.dumps(sorted_columns(numbers).tolist()),
        cwd=tmp_path,
        env=given,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("found ")), "")
    assert line, done.stderr
    codes, sides, *heights, ours = json.loads(line.removeprefix("found "))
    assert ours == []
    _, trunk = outputs(place, first[0], "pretraining")[""]
    np.testing.assert_allclose(codes, network(trunk, numbers), rtol=1e-3, atol=1e-4)
    for (record, _), answers in zip((first, second), heights, strict=True):
        values, (_, branch) = (
            [row["value"] for row in answers],
            outputs(place, record, "finetuning")["height"],
        )
        np.testing.assert_allclose(values, network(branch, numbers)[:, 0], rtol=1e-3, atol=1e-4)
        error = float(np.sqrt(np.mean((np.array(values) - height) ** 2)))
        facts, _ = outputs(place, record, "evaluation")["height"]
        assert facts["metrics"]["rmse"]["value"] == pytest.approx(error, rel=1e-3)
    right = np.mean([row["label"] == name for row, name in zip(sides, side, strict=True)])
    facts, _ = outputs(place, first[0], "evaluation")["side"]
    assert facts["metrics"]["accuracy"]["value"] == pytest.approx(right, abs=0.004)


def sorted_columns(numbers):
    """As a trunk reads them: by name."""
    return numbers[:, np.argsort(COLUMNS)]


def network(folder, numbers):
    """The answer of a model in a folder, by its weights alone."""
    scaling = json.loads((folder / "model" / "vectors.json").read_text())
    assert scaling["columns"] == sorted(COLUMNS)
    weights = load_file(folder / "model" / "model.safetensors")
    hidden = (sorted_columns(numbers) - scaling["mean"]) / scaling["std"]
    layers = sorted(name.removesuffix(".weight") for name in weights if name.endswith(".weight"))
    for place, name in enumerate(sorted(layers, key="head".__eq__)):  # the head is the last one
        hidden = np.maximum(hidden, 0) if place else hidden
        hidden = hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return hidden
