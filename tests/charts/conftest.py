"""Tests that render need Helm, which `make chart` has; a server needs MLflow, which `make test` has."""

from importlib.util import find_spec
from pathlib import Path

SERVING = ["test_hardening.py"]
RENDERING = [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name not in SERVING]
collect_ignore = [] if find_spec("mlflow") else SERVING
collect_ignore += [] if find_spec("helm_python") else RENDERING
