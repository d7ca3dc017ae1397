import subprocess
import sys

import pytest

from components import STAGES
from tests.architecture.imports import LEVEL, ROOT, cycles, graph, imports, module_of, sources, violations

HEAVY = {*"torch transformers mlflow datasets matplotlib rensa pandas sklearn".split()}
RUN, CONFIG, LIB = "components.ingestion.run", "components.ingestion.config", "components.lib."
LATE = "def f():\n    "
# importer, a line of it, the reason why it may not have it; empty: it may
CASES = [
    (RUN, "from components.tokenization.run import run", "to itself"),
    (RUN, "from components import tokenization", "to itself"),
    (RUN, "import components.tokenization.encode as e", "to itself"),
    (RUN, LATE + "from components.pretraining.launchers import local", "to itself"),
    (RUN, "import importlib\nimportlib.import_module('components.promotion.run')", "to itself"),
    (RUN, "from ..tokenization import run", "to itself"),
    (LIB + "engine.loop", "from components.pretraining.config import Config", "to itself"),
    (LIB + "storage.store", "if True:\n    import components.preflight.run", "to itself"),
    (RUN, "import kfp", "know kfp"),
    (LIB + "storage.store", LATE + "from kfp import dsl", "know kfp"),
    (RUN, "from pipelines.settings import load", "neither pipelines"),
    (RUN, "from images import contents", "nor images"),
    ("images.build", "from components.ingestion.run import run", "than their names"),
    (RUN, "from tests.conftest import s3", "to nobody"),
    ("pipelines.local", "from tests.architecture.imports import ROOT", "to nobody"),
    (CONFIG, "import numpy", "declarations alone"),
    (CONFIG, "from components.lib.storage.store import Store", "declarations alone"),
    (CONFIG, "from components.ingestion.run import run", "declarations alone"),
    (RUN, "from components.ingestion.component import ingest", "its component"),
    ("components.ingestion.component", "import pyarrow", "compiled without"),
    ("pipelines.training", "import torch", "compiled without"),
    ("pipelines.training", "from components.ingestion.run import run", "by their component"),
    (LIB + "core.errors", LATE + "from components.lib import pages", "before it"),
    (LIB + "modes.lora", "import components.lib.starts.trunk", "before it"),
    (LIB + "models.loading", "from components.lib.registry.tracking import track", "before it"),
    (LIB + "loose", "from components.lib.core.errors import DataError", "before it"),
    (RUN, "from components.lib.storage.store import Store\nimport numpy", ""),
    (RUN, "from components.ingestion.config import Config", ""),
    (
        "components.ingestion.component",
        f"from kfp import dsl\n{LATE}from components.ingestion.run import a",
        "",
    ),
    (CONFIG, "from components.lib.core.settings import setting\nimport math", ""),
    (CONFIG, "from components.lib import modalities", ""),
    ("pipelines.training", "from components.ingestion.component import ingest\nfrom kfp import dsl", ""),
    ("pipelines.local", LATE + "import mlflow", ""),
    (LIB + "engine.loop", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", ""),
    (LIB + "registry.publishing", "import components.lib.core.errors, components.lib.tasks", ""),
]


def test_imports_obey_the_rules():
    assert [found for path in sources() for found in violations(path.read_text(), module_of(path))] == []


def test_no_import_cycle():
    assert [sorted(cycle) for cycle in cycles(graph())] == []


def test_cycles_are_found_and_chains_are_not():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}
    assert cycles(edges) == {frozenset("bc"), frozenset("e")}


def test_lib_holds_the_packages_of_the_order_and_no_loose_module():
    entries = {path.name for path in (ROOT / "components" / "lib").iterdir()} - {"__pycache__", "__init__.py"}
    assert entries <= set(LEVEL)


@pytest.mark.parametrize(("module", "text", "reason"), CASES)
def test_the_rules_catch_what_they_must_and_nothing_else(module, text, reason):
    found = violations(text, module)
    assert any(reason in sentence for sentence in found) if reason else not found, found


@pytest.mark.parametrize("stage", STAGES)
def test_heavy_packages_are_imported_late(stage):
    """A stage that finds its output in the store must not pay for the libraries that would make it."""
    found = imports((ROOT / "components" / stage / "run.py").read_text(), f"components.{stage}.run")
    assert not HEAVY & {one.module.split(".")[0] for one in found if one.top}


def test_the_pipelines_need_no_package_that_their_image_lacks():
    modules = sorted(path.stem for path in (ROOT / "pipelines").glob("[a-z]*.py"))
    lacking = HEAVY | {"jinja2", "PIL", "scipy"}
    code = (
        f"import sys\nfrom pipelines import {', '.join(modules)}\nprint(sorted({lacking} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_compiling_and_preflight_need_no_heavy_package():
    """What is imported in fact, through all modules in between."""
    code = (
        "import sys, pipelines.compile, pipelines.training, pipelines.finetuning, pipelines.evaluation\n"
        "import components.preflight.run, components.lib.registry.tracking.server\n"
        f"import {', '.join(f'components.{stage}.config' for stage in STAGES)}\n"
        "from components.preflight.plan import resolve\n"
        "resolve('quickstart', {})\n"
        f"print(sorted({HEAVY | {'pyarrow', 'numpy', 'boto3'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
