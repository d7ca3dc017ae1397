"""The import graph of the product from its syntax trees: lazy and TYPE_CHECKING imports count like all."""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from components import STAGES

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("components", "images", "pipelines")
# Packages of lib: each imports those before it; those between commas do not know each other.
ORDER = "core executors kubernetes pages storage data engine models modalities objectives tasks"
ORDER += " starts,modes,compressions registry"
LEVEL = {name: level for level, names in enumerate(ORDER.split()) for name in names.split(",")}

STAGE, STDLIB = rf"components\.({'|'.join(STAGES)})", "|".join(sys.stdlib_module_names)
DECLARATIONS = r"components(\.lib(\.(core\.\w+|executors|modalities|objectives|tasks|starts|modes))?)?$"
# What compiles and submits a graph: kfp, which brings the client of its server, and the group `pipeline`.
COMPILING = f"{STDLIB}|{'|'.join(PRODUCT)}|kfp|kfp_server_api|google|urllib3|psutil|tenacity|yaml"
# Reason -> "importer > imported" that breaks it; >> is an import that runs as soon as the importer does.
RULES = {
    "tests are known to nobody": r".* >+ tests\b",
    "components know neither pipelines nor images": r"components\b.* >+ (pipelines|images)\b",
    "images know no more of components than their names": r"images\b.* >+ (pipelines\b|components\.)",
    "only component.py and pipelines know kfp": r"components\b(?!\.\w+\.component ).* >+ kfp\b",
    "a stage is known to itself and to pipelines": rf"components\.(\w+)\b.* >+ (?!components\.\1\b){STAGE}\b",
    "a stage does not know its component": rf"components\b.* >+ {STAGE}\.component$",
    "pipelines know stages by their component": rf"pipelines\b.* >+ (?!.*preflight){STAGE}\.(?!component$)",
    "a graph is compiled without it": rf"(pipelines\b.*|{STAGE}\.component) >> (?!({COMPILING})\b)",
    "settings need declarations alone": rf"{STAGE}\.config >+ (?!({STDLIB})\b|{DECLARATIONS})",
}


class Import(NamedTuple):
    """One imported module; `top` is False inside a function or under TYPE_CHECKING."""

    module: str
    top: bool


def sources() -> list[Path]:
    """Every Python file of the product."""
    return sorted(path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    """components/lib/storage/store.py -> components.lib.storage.store"""
    return ".".join(path.resolve().relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> frozenset[str]:
    return frozenset(map(module_of, sources()))


def imports(text: str, module: str) -> list[Import]:
    """All imports of a file, wherever they stand; of `from a import b`, a.b if that is our module, else a."""
    tree = ast.parse(text)
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    return [Import(name, id(node) not in late) for node in ast.walk(tree) for name in _names(node, module)]


def _names(node: ast.AST, module: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = module.split(".")[: -node.level] if node.level else []
        base = ".".join([*parents, *([node.module] if node.module else [])])
        names = (f"{base}.{alias.name}" for alias in node.names)
        yield from (name if name in modules() else base for name in names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
        yield from (str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))


def violations(text: str, module: str) -> list[str]:
    """What a file with this text may not import, as sentences."""
    found = []
    for name, top in imports(text, module):
        edge = f"{module} {'>>' if top else '>'} {name}"
        found += [f"{edge}: {reason}" for reason, rule in RULES.items() if re.match(rule, edge)]
        here, there = (re.match(r"components\.lib\.?(\w*)", path) for path in (module, name))
        if here and there and here[1] != there[1] and LEVEL.get(there[1], -1) >= LEVEL.get(here[1], -1):
            found.append(f"{edge}: a package of lib imports those before it")
    return found


def graph() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports."""
    texts = {module_of(path): path.read_text(encoding="utf-8") for path in sources()}
    return {name: {found.module for found in imports(text, name)} & modules() for name, text in texts.items()}


def cycles(edges: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Strongly connected components of more than one module, or of one that imports itself."""

    def reachable(start: str) -> set[str]:
        seen, todo = set[str](), [start]
        while todo:
            fresh = edges[todo.pop()] - seen
            seen |= fresh
            todo += fresh
        return seen

    reach = {module: reachable(module) for module in edges}
    return {frozenset(o for o in reach[m] if m in reach[o]) for m in edges if m in reach[m]}
