import shutil
from pathlib import Path

import pytest

from tests.made import published


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return published.text(tmp_path_factory.mktemp("hub") / "bert", "bert")


@pytest.fixture
def hub(bert, tmp_path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "bert"))
