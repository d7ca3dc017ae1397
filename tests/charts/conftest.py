"""Tests that render need Helm: `make chart` runs them in an environment that has it."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("helm_python") else ["test_render.py", "test_schemas.py", "test_values.py"]
