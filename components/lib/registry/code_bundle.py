"""Copies of the modules that serve a model, as one package that needs nothing of this project installed.

The package is named by a hash of its content, so that one process can load models that were made by different
versions. Packages of plugins are copied into it, too, as `<package>.plugins.<theirs>`.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from components.lib.storage.artifacts import canonical, sha256

LIB = "components.lib"


def bundle(target: Path, modules: list[str]) -> dict[str, str]:
    """Copies modules, and what they import of this project or of their own packages, below `target`.

    Relative imports, and those that stand in functions, are followed; those under TYPE_CHECKING are not.

    Returns:
        LIB, and the name of each of the modules -> its name among the copies.
    """
    roots = [LIB, *sorted({root for name in modules if (root := name.partition(".")[0]) != "components"})]
    texts: dict[str, tuple[str, bool]] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        origin = _origin(name) if name not in texts else None
        if origin is None:
            continue
        text, is_package = origin.read_text(encoding="utf-8"), origin.name == "__init__.py"
        texts[name] = text, is_package
        found = {*_imported(text, name if is_package else name.rpartition(".")[0]), name.rpartition(".")[0]}
        waiting += sorted(one for one in found if any(f"{one}.".startswith(f"{root}.") for root in roots))
    package = f"trunkline_{sha256(canonical(sorted(texts.items())))[:12]}"
    places = {LIB: package, **{root: f"{package}.plugins.{root}" for root in roots[1:]}}
    for name, (text, is_package) in texts.items():
        copy = target / _moved(name, places).replace(".", "/")
        copy = copy / "__init__.py" if is_package else copy.with_suffix(".py")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(_rewritten(text, places), encoding="utf-8")
    return {name: _moved(name, places) for name in (LIB, *modules)}


def _moved(name: str, places: Mapping[str, str]) -> str:
    root = next(root for root in places if f"{name}.".startswith(f"{root}."))
    return name.replace(root, places[root], 1)


def _rewritten(text: str, places: Mapping[str, str]) -> str:
    """Names of ours wherever they stand, as registries of plugins know them by text; of others in imports."""
    for root, place in places.items():
        if root == LIB:
            text = text.replace(LIB, place)
            continue
        parent, start = place.rpartition(".")[0], rf"(?m)^(\s*(?:from|import)\s+){root}\b"
        bare = rf"(?m)^(\s*)import ({root}(?:\.\w+)*)[ \t]*(#.*)?$"  # it binds the first of the names
        text = re.sub(bare, rf"\1import {parent}.\2; from {parent} import {root}", text)
        text = re.sub(start, rf"\1{place}", text)
    return text


def _origin(name: str) -> Path | None:
    """The file of a module; None for what is a name in one."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _imported(text: str, package: str) -> Iterator[str]:
    """Modules, and names in them that may be modules, that a file of `package` imports when it is run."""
    tree = ast.parse(text)
    unseen = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in (node for node in ast.walk(tree) if id(node) not in unseen):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names if alias.name.islower())
