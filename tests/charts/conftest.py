"""Tests that render need Helm, which `make chart` has; a server needs MLflow, which `make test` has."""

from __future__ import annotations

from importlib.util import find_spec

RENDERING, SERVING = (
    ["test_render.py", "test_schemas.py", "test_values.py", "test_walkthrough.py"],
    ["test_hardening.py"],
)
collect_ignore = (RENDERING if find_spec("helm_python") is None else []) + (
    SERVING if find_spec("mlflow") is None else []
)
