from __future__ import annotations

import subprocess
import sys

import pytest

from components import STAGES
from tests.architecture.imports import ROOT, imports, module_of, sources, violations

PLANTED = [
    ("components.ingestion.run", "from components.tokenization.run import run", "to itself"),
    ("components.ingestion.run", "from components import tokenization", "to itself"),
    ("components.ingestion.run", "import components.tokenization.encode as e", "to itself"),
    (
        "components.evaluation.run",
        "def f():\n    from components.pretraining.launchers import local",
        "to itself",
    ),
    (
        "components.evaluation.run",
        "import importlib\nimportlib.import_module('components.promotion.run')",
        "to itself",
    ),
    ("components.ingestion.run", "from ..tokenization import run", "to itself"),
    ("components.lib.engine.loop", "from components.pretraining.config import Config", "to itself"),
    ("components.lib.storage.store", "if True:\n    import components.preflight.run", "to itself"),
    ("components.ingestion.run", "import kfp", "know kfp"),
    ("components.lib.storage.store", "def f():\n    from kfp import dsl", "know kfp"),
    ("components.preflight.run", "from pipelines.settings import load", "no pipelines"),
    ("components.preflight.run", "from tests.conftest import s3", "no tests"),
    ("pipelines.local", "from tests.architecture.imports import ROOT", "no tests"),
    ("components.ingestion.config", "import numpy", "standard library"),
    ("components.ingestion.config", "from components.lib.storage.store import Store", "standard library"),
    ("components.ingestion.config", "from components.ingestion.run import run", "know nothing"),
    ("components.ingestion.run", "from components.ingestion.component import ingest", "its component"),
    ("components.ingestion.component", "import pyarrow", "compiled without"),
    ("pipelines.training", "import torch", "compiled without"),
    ("pipelines.training", "from components.ingestion.run import run", "by their component"),
]
ALLOWED = [
    ("components.ingestion.run", "from components.lib.storage.store import Store\nimport numpy"),
    ("components.ingestion.run", "from components.ingestion.config import Config"),
    (
        "components.ingestion.component",
        "from kfp import dsl\ndef f():\n    from components.ingestion.run import run",
    ),
    ("components.ingestion.config", "from components.lib.core.settings import setting\nimport math"),
    ("pipelines.training", "from components.ingestion.component import ingest\nfrom kfp import dsl"),
    ("pipelines.local", "def f():\n    import mlflow"),
    ("components.lib.engine.loop", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
]


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_imports_obey_the_rule(path):
    assert violations(path.read_text(), module_of(path)) == []


@pytest.mark.parametrize(("module", "text", "reason"), PLANTED)
def test_planted_violation_is_caught(module, text, reason):
    found = violations(text, module)
    assert found and any(reason in sentence for sentence in found), found


@pytest.mark.parametrize(("module", "text"), ALLOWED)
def test_allowed_import_passes(module, text):
    assert violations(text, module) == []


@pytest.mark.parametrize("stage", STAGES)
def test_heavy_packages_are_imported_late(stage):
    """A stage that finds its output in the store must not pay for the libraries that would make it."""
    heavy = {"torch", "transformers", "mlflow", "datasets", "matplotlib", "rensa", "pandas", "sklearn"}
    path = ROOT / "components" / stage / "run.py"
    found = {
        entry.module.split(".")[0]
        for entry in imports(path.read_text(), f"components.{stage}.run")
        if entry.top
    }
    assert not heavy & found


def test_compiling_and_preflight_need_no_heavy_package():
    """What is imported in fact, through all modules in between."""
    code = (
        "import sys, pipelines.compile, pipelines.training, pipelines.finetuning, pipelines.evaluation\n"
        "import components.preflight.run, components.lib.registry.tracking.server\n"
        "from components.preflight.plan import resolve\n"
        "resolve('quickstart', {})\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'datasets', 'pyarrow', 'numpy', 'boto3', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
