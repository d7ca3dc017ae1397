import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.core.settings import from_dict
from tests.architecture.imports import ROOT


def is_loaded_by_name(folder: Path) -> bool:
    """A folder whose package is passed to `plugins` somewhere."""
    package = ".".join(folder.relative_to(ROOT).parts)
    texts = (path.read_text() for path in (ROOT / "components").rglob("*.py"))
    own = (folder / "__init__.py").read_text()
    return any(f'"{package}"' in text for text in texts) or "(__name__" in own


READ = ("components.lib.models.text", "components.lib.models.vision")  # files with constants, no plugins
FOLDERS = sorted({path.parent for path in (ROOT / "components").rglob("*/*/__init__.py")})
PACKAGES = [".".join(f.relative_to(ROOT).parts) for f in FOLDERS if is_loaded_by_name(f)]
PACKAGES = [package for package in PACKAGES if package not in READ]
PLUGINS = [(package, name) for package in PACKAGES for name in plugins.names(package)]


def test_the_folders_of_plugins_are_found():
    assert {"components.lib.storage.objects", "components.lib.objectives"} <= set(PACKAGES)


@pytest.mark.parametrize(("package", "name"), PLUGINS)
def test_declaration_is_read_without_importing(package, name):
    """Preflight reads plugins where none of their libraries is installed."""
    declaration = plugins.declared(package, name)
    assert declaration.summary, "a plugin says in its docstring what it is"
    if declaration.config is not None:
        required = [f for f in dataclasses.fields(declaration.config) if not has_default(f)]
        if not required:
            from_dict(declaration.config, {})


@pytest.mark.parametrize(("package", "name"), PLUGINS)
def test_declared_config_is_the_loaded_one(package, name):
    declared, loaded = plugins.declared(package, name), plugins.load(package, name)
    for constant, value in declared.constants.items():
        assert getattr(loaded, constant) == value
    assert (declared.config is None) == (not hasattr(loaded, "Config"))
    if declared.config is not None:
        described = [(f.name, f.type, f.default) for f in dataclasses.fields(declared.config)]
        assert described == [(f.name, f.type, f.default) for f in dataclasses.fields(loaded.Config)]


@pytest.mark.parametrize("package", PACKAGES)
def test_unknown_name_lists_what_exists(package):
    for function in (plugins.load, plugins.declared):
        with pytest.raises(ConfigError) as caught:
            function(package, "no_such_plugin")
        assert caught.value.exit_code == 78
        assert all(name in caught.value.fix for name in plugins.names(package))


def test_unknown_folder():
    with pytest.raises(ConfigError, match="no plugin folder"):
        plugins.names("components.lib.nothing")


def test_a_new_file_is_an_option(tmp_path, monkeypatch):
    folder = tmp_path / "freshly"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "torch_based.py").write_text(
        '"""Does it.\n\nMore."""\nimport no_such_library\nfrom dataclasses import dataclass\n'
        "from components.lib.core.settings import setting\nTAKES = ('text',)\nDYNAMIC = no_such_library.x\n\n"
        "@dataclass(frozen=True)\nclass Config:\n    width: int = setting(3, minimum=TAKES and 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.names("freshly") == ["torch_based"]
    declaration = plugins.declared("freshly", "torch_based")
    assert declaration.summary == "Does it."
    assert declaration.constants == {"TAKES": ("text",)}
    assert from_dict(declaration.config, {"width": 4.0}).width == 4
    assert importlib.util.find_spec("no_such_library") is None


def test_declarations_import_nothing_heavy():
    code = (
        "import sys\nfrom components.lib.core import plugins\n"
        f"for package, name in {PLUGINS!r}: plugins.declared(package, name)\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'boto3', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def has_default(field):
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
