"""The import rule, read from the syntax tree: who may import whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components import STAGES

ROOT = Path(__file__).resolve().parents[2]
LIGHT = {
    "components",
    "images",
    "pipelines",
    "kfp",
    "kfp_server_api",  # kfp brings it, and protobuf
    "google",
    "psutil",
    "tenacity",
    "urllib3",
    "yaml",
}  # with the standard library: all that compiling a graph needs


@dataclass(frozen=True)
class Import:
    """One imported module; `top` is False inside a function or under TYPE_CHECKING."""

    module: str
    top: bool
    line: int


def sources() -> list[Path]:
    """Every Python file of the product."""
    return sorted(
        path for folder in ("components", "images", "pipelines") for path in (ROOT / folder).rglob("*.py")
    )


def module_of(path: Path) -> str:
    """components/lib/storage/store.py -> components.lib.storage.store"""
    parts = path.resolve().relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(text: str, module: str) -> list[Import]:
    """All imports of a file, wherever they stand; of `from a import b`, both a and a.b."""
    tree = ast.parse(text)
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _typing_only(function)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        for name in _names(node, module):
            found.append(Import(name, id(node) not in inner, node.lineno))  # type: ignore[attr-defined]
    return found


def violations(text: str, module: str) -> list[str]:
    """What a file with this text may not import, as sentences."""
    return [
        f"{module}:{found.line} imports {found.module}: {reason}"
        for found in imports(text, module)
        for reason in _reasons(module, found)
    ]


def _reasons(module: str, found: Import) -> Iterator[str]:
    here, there = module.split("."), found.module.split(".")
    is_component = here[0] == "components" and here[-1] == "component"
    if here[0] == "components" and there[0] in ("pipelines", "tests"):
        yield "components know no pipelines and no tests"
    if here[0] == "pipelines" and there[0] == "tests":
        yield "pipelines know no tests"
    if there[0] == "images" and here[0] == "components":
        yield "components do not know where they run"
    if here[0] == "images" and (
        there[0] in ("pipelines", "tests") or (len(there) > 2 and there[0] == "components")
    ):
        yield "images know no more of components than their names"
    if there[0] == "kfp" and here[0] == "components" and not is_component:
        yield "only component.py and pipelines know kfp"
    ours = here[0] == "components" and len(here) > 1
    if ours and there[0] == "components" and there[1:2] != here[1:2] and set(there[1:2]) <= set(STAGES):
        yield from ["a stage is known to itself and to pipelines alone"] * len(there[1:2])
    yield from _layers(here, there)
    light = there[0] in LIGHT or there[0] in sys.stdlib_module_names
    if found.top and not light and (is_component or here[0] == "pipelines"):
        yield "a graph is compiled without it"
    if here[-1] == "config" and here[0] == "components" and here[1:2] != ["lib"]:
        own = found.module.startswith(("components.lib.core", "components.lib.modalities"))
        if (
            there[0] not in sys.stdlib_module_names
            and not own
            and found.module not in ("components", "components.lib")
        ):
            yield "settings are checked with the standard library alone"


def _layers(here: list[str], there: list[str]) -> Iterator[str]:
    """component -> run -> config inside a stage; pipelines take nothing of a stage but its component."""
    stage = there[1] if len(there) > 2 and there[0] == "components" and there[1] in STAGES else ""
    if not stage:
        return
    if here[0] == "components" and there[2] == "component":
        yield "a stage does not know its component"
    if here[0] == "pipelines" and there[2] not in ("component", "__init__") and stage != "preflight":
        yield "pipelines know stages by their component"
    if here[0] == "components" and here[1:2] == [stage] and here[-1] == "config":
        yield "settings know nothing of their stage"


def _typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _names(node: ast.AST, module: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = module.split(".")[: -node.level]
            base = ".".join([*parents, *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
        yield from (str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))
