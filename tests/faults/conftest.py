import pytest

from tests.faults.lab import ALONE, Lab
from tests.made import corpora


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder of a tokenized corpus."""
    folder = tmp_path_factory.mktemp("tokens")
    corpora.topic_tokens(folder)
    return folder


@pytest.fixture(scope="module")
def reference(prepared, tmp_path_factory):
    """A training that nothing struck, of one process."""
    lab = Lab(tmp_path_factory.mktemp("reference") / "lab", prepared, ALONE)
    assert lab.run().code == 0, lab.log()
    return lab
