from __future__ import annotations

import ast

import pytest

from tests.architecture.imports import ROOT, module_of, sources

FUNCTION, FILE, COMPONENT = 40, 300, 40  # lines
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def lines_of(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def long_functions(text, limit=FUNCTION):
    """Name and length of the functions that have more lines than allowed, decorators not counted."""
    functions = [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {f"{node.name}:{node.lineno}": node.end_lineno - node.lineno + 1 for node in functions}
    return {name: length for name, length in lengths.items() if length > limit}


@pytest.mark.parametrize("path", [*sources(), *TESTS], ids=module_of)
def test_functions_and_files_keep_the_budget(path):
    assert long_functions(path.read_text(encoding="utf-8")) == {}
    assert lines_of(path) <= FILE


@pytest.mark.parametrize("path", sorted(ROOT.glob("components/*/component.py")), ids=module_of)
def test_component_is_thin(path):
    assert lines_of(path) <= COMPONENT
    bodies = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert len(bodies) == 1, "one component a stage"


def test_makefile_keeps_the_budget():
    assert lines_of(ROOT / "Makefile") <= 110


def test_the_measure_measures():
    body = "\n".join(["    x = 1"] * FUNCTION)
    assert long_functions(f"def f():\n{body}\n") == {"f:1": FUNCTION + 1}
    assert long_functions(f"class A:\n    async def f(self):\n{body.replace('    ', '        ')}\n")
    assert long_functions("def f():\n    x = 1\n") == {}
