"""Plugin registry: a folder of modules and packages, and the entry points of installed packages.

The name of a file is the name of the option. A package of somebody else adds to the folder
`components.lib.objectives` by an entry point of the group `trunkline.objectives`, and so on for every folder:

    [project.entry-points."trunkline.objectives"]
    my_objective = "my_package.my_objective"

`load` imports a plugin. `declared` reads what a file declares (docstring, constants, its `Config`) without
importing it, so that preflight can check a choice of objective where no torch is installed.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.core.settings import did_you_mean


@dataclass(frozen=True)
class Declaration:
    """What a plugin file says of itself at module level."""

    summary: str
    constants: dict[str, Any]
    config: type[Any] | None


def names(package: str) -> list[str]:
    """The plugins of `package`, sorted."""
    return sorted(_modules(package))


def load(package: str, name: str, part: str = "") -> ModuleType:
    """Imports the plugin `name`, or the module `part` of it if it is a package.

    Raises:
        ConfigError: if there is no such plugin; it lists those that exist.
    """
    found = module(package, name)
    return importlib.import_module(f"{found}.{part}" if part else found)


def offers(package: str, name: str, part: str) -> bool:
    """Whether the plugin `name` is a package with the module `part`; raises ConfigError as `load` does."""
    found = module(package, name)
    spec = importlib.util.find_spec(found)
    is_package = spec is not None and bool(spec.submodule_search_locations)
    return is_package and importlib.util.find_spec(f"{found}.{part}") is not None


def add(package: str, name: str, module: str) -> None:
    """A plugin that neither folder nor metadata name: a copy of its module is all that a server has of it."""
    _modules(package)[name] = module


def declared(package: str, name: str) -> Declaration:
    """The docstring, upper-case literals and `Config` dataclass of a plugin's file, without its imports.

    Raises:
        ConfigError: if there is no such plugin; it lists those that exist.
    """
    return _declaration(module(package, name))


@functools.cache
def _declaration(name: str) -> Declaration:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError("a plugin's module cannot be found", found=name, fix="install its package")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_literal(node.value)
    }
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return Declaration(summary, constants, _config_class(tree, name, constants))


def _config_class(tree: ast.Module, name: str, constants: dict[str, Any]) -> type[Any] | None:
    """Executes the `Config` class alone: by rule it needs nothing but dataclass, Any and setting."""
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config"]
    if not found:
        return None
    prelude = ast.parse(
        "from __future__ import annotations\n"
        "from collections.abc import Iterator\n"
        "from dataclasses import dataclass\n"
        "from typing import Any\n"
        "from components.lib.core.settings import setting\n"
        "from components.lib.core.errors import ConfigError\n"
    )
    own = ModuleType(f"{name}__config")
    own.__dict__.update(constants)
    sys.modules[own.__name__] = own  # where get_type_hints looks
    body = ast.Module(body=[*prelude.body, found[0]], type_ignores=[])
    exec(compile(body, f"<{name}.Config>", "exec"), own.__dict__)
    config: type[Any] = own.__dict__["Config"]
    return config


def module(package: str, name: str) -> str:
    """The dotted name of the plugin's module; raises ConfigError as `load` does."""
    known = _modules(package)
    if name not in known:
        kind = package.rpartition(".")[2]
        raise ConfigError(
            f"there is no '{name}' in {kind}", found=name, fix=did_you_mean(name, sorted(known))
        )
    return known[name]


@functools.cache
def _modules(package: str) -> dict[str, str]:
    """Name -> module: the files and packages of the folder, and the entry points of its group."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"there is no plugin folder '{package}'")
    folder = Path(spec.submodule_search_locations[0])
    files = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    known = {
        name: f"{package}.{name}" for name in [*files, *(p.parent.name for p in folder.glob("*/__init__.py"))]
    }
    group = f"trunkline.{package.rpartition('.')[2]}"
    for entry in importlib.metadata.entry_points(group=group):
        if entry.name in known and known[entry.name] != entry.value:
            found, fix = f"{known[entry.name]} and {entry.value}", "rename the entry point"
            raise ConfigError(f"two plugins of {group} are called '{entry.name}'", found=found, fix=fix)
        known[entry.name] = entry.value
    return known


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True
