"""A whole run on images: the graph is that of texts, and what it registers answers to pictures."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from components.lib.data import images, shapes
from tests.architecture.imports import ROOT

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run of image-smoke."""
    folder = tmp_path_factory.mktemp("images")
    places = f"--store {folder / 'store'} --tracking-uri sqlite:///{folder / 'mlflow.db'}"
    command = [sys.executable, "-m", "pipelines.local", "--preset", "image-smoke", *places.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_report_has_the_tasks_and_pictures(run):
    (record,) = (run / "store" / "runs").glob("*/exit.json")
    results = json.loads(record.read_text())["results"]
    assert sorted(result["task"] for result in results) == ["boxes", "masks", "neighbours", "shapes"]
    report = record.with_name("report.html").read_text()
    assert report.count("data:image/png;base64,") >= 6 and "Surest errors" in report
    assert "Images as the trunk reads them" in report and "16 x 16, grey" in report
    for path in (run / "store" / "evaluation").glob("*/manifest.json"):
        assert json.loads(path.read_text())["facts"]["reproduced"] == 1.0


def test_registered_models_answer_to_pictures(run):
    picture = images.content(shapes.record(random.Random(0))["image"])
    code = (
        "import json, sys, mlflow\n"
        "text = sys.stdin.read()\n"
        f"mlflow.set_tracking_uri('sqlite:///{run / 'mlflow.db'}')\n"
        "name = 'models:/trunkline-image-smoke'\n"
        "models = [mlflow.pyfunc.load_model(f'{name}{end}/1') for end in ('-shapes', '-masks', '')]\n"
        "one, mask, vector = (model.predict([text]) for model in models)\n"
        "print('found', json.dumps([one, mask, vector.tolist()]))\n"
    )
    how = {"capture_output": True, "text": True, "cwd": run, "timeout": 200, "check": False}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, input=base64.b64encode(picture).decode(), **how)
    line = next((line for line in done.stdout.splitlines() if line.startswith("found ")), "found []")
    assert line != "found []", done.stderr
    one, mask, vector = json.loads(line.removeprefix("found "))
    assert one[0]["label"] in shapes.SHAPES and 0 < one[0]["score"] <= 1
    found = images.decode(base64.b64decode(mask[0]["mask"]))
    assert found.shape == (16, 16, 1) and set(np.unique(found)) <= {0, 1}
    assert np.isfinite(vector).all() and len(vector[0]) == 128
