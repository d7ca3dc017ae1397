"""What stages do with a model works on a GPU: the contract suites again, on the device that stands for one.

In one process: each costs seconds of imports and the data of all modalities.
"""

import pytest

from tests.accelerator import rerun
from tests.architecture.imports import ROOT


@pytest.mark.timeout(600)
def test_the_contract_suites_find_nothing():
    suites = sorted((ROOT / "tests" / "components" / "lib").glob("*/test_contract.py"))
    assert len(suites) == 6
    rerun(*map(str, suites))
