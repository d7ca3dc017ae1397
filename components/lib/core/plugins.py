"""A folder of modules and packages as a registry: the file's name is the option's name.

`load` imports a plugin. `declared` reads what it declares (docstring, constants, its `Config`) without
importing it, so that preflight can check a choice of objective where no torch is installed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
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
    """The plugins in `package`, sorted."""
    folder = _folder(package)
    modules = (path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    return sorted([*modules, *(path.parent.name for path in folder.glob("*/__init__.py"))])


def load(package: str, name: str, part: str = "") -> ModuleType:
    """Imports `package.name`, or the module `part` of it if it is a package.

    Raises:
        ConfigError: if there is no such plugin; it lists those that exist.
    """
    _require(package, name)
    return importlib.import_module(f"{package}.{name}.{part}" if part else f"{package}.{name}")


def declared(package: str, name: str) -> Declaration:
    """The docstring, upper-case literals and `Config` dataclass of a plugin's file, without its imports.

    Raises:
        ConfigError: if there is no such plugin; it lists those that exist.
    """
    _require(package, name)
    path = _folder(package) / f"{name}.py"
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_literal(node.value)
    }
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return Declaration(summary, constants, _config_class(tree, package, name, constants))


def _config_class(tree: ast.Module, package: str, name: str, constants: dict[str, Any]) -> type[Any] | None:
    """Executes the `Config` class alone: by rule it needs nothing but dataclass, Any and setting.

    Where it adds to the `Config` of a stage, the file as a whole is light by rule, and is imported.
    """
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config"]
    if not found:
        return None
    if found[0].bases:
        inherited: type[Any] = load(package, name).Config
        return inherited
    prelude = ast.parse(
        "from __future__ import annotations\n"
        "from collections.abc import Iterator\n"
        "from dataclasses import dataclass\n"
        "from typing import Any\n"
        "from components.lib.core.settings import setting\n"
        "from components.lib.core.errors import ConfigError\n"
    )
    module = ModuleType(f"{package}.{name}__config")
    module.__dict__.update(constants)
    importlib.sys.modules[module.__name__] = module  # type: ignore[attr-defined]  # get_type_hints looks here
    body = ast.Module(body=[*prelude.body, found[0]], type_ignores=[])
    exec(compile(body, f"<{package}.{name}.Config>", "exec"), module.__dict__)
    config: type[Any] = module.__dict__["Config"]
    return config


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"there is no plugin folder '{package}'")
    return Path(spec.submodule_search_locations[0])


def _require(package: str, name: str) -> None:
    known = names(package)
    if name not in known:
        kind = package.rpartition(".")[2]
        raise ConfigError(f"there is no '{name}' in {kind}", found=name, fix=did_you_mean(name, known))


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True
