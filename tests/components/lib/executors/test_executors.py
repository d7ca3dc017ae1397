"""One contract for every executor: results in order, steps that refuse, workers that are lost."""

import sys
from functools import partial

import pytest

from components.lib import executors
from components.lib.core import plugins
from components.lib.core.errors import ConfigError, DataError, ServiceError
from tests.components.lib.executors.steps import Doubling, Refusing


@pytest.mark.long
@pytest.mark.parametrize("name", plugins.names(executors.__name__))
def test_results_come_in_order_and_errors_as_they_are(name, tmp_path):
    executor = executors.start(name, "", 2, "ingestion")
    try:
        doubled = [2 * item for item in range(20) for _ in range(2)]
        assert list(executor.map(Doubling, range(20))) == doubled
        with pytest.raises(DataError, match="odd") as caught:
            list(executor.map(Refusing, [0, 2, 3, 4]))
        assert caught.value.where == "here" and caught.value.found == "3"
        if name != "processes":  # a killed worker costs its step alone
            deadly = partial(Doubling, 7, str(tmp_path / "killed"))
            assert list(executor.map(deadly, range(20))) == doubled and (tmp_path / "killed").exists()
    finally:
        executor.close()
        executor.close()


def test_engines_are_checked_before_work(monkeypatch):
    assert not list(executors.check("processes", "", "ingestion"))
    (unknown,) = executors.check("rya", "", "ingestion")
    assert "ray" in unknown.fix and unknown.where == "ingestion.engine"
    (addressed,) = executors.check("processes", "host:6379", "ingestion")
    assert addressed.where == "ingestion.address"
    monkeypatch.setitem(sys.modules, "ray", None)
    (missing,) = executors.check("ray", "", "ingestion")
    assert "pip install" in missing.fix
    with pytest.raises(ConfigError, match="not installed"):
        executors.start("ray", "", 1, "ingestion")
    monkeypatch.setenv(executors.IMAGE, "trunkline-python-tracking")
    assert not list(executors.check("ray", "", "ingestion")), "another stage's image may have it"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_a_cluster_that_does_not_answer_is_told_soon(address):
    with pytest.raises(ServiceError, match="no Ray cluster") as caught:
        list(executors.start("ray", address, 1, "ingestion").map(Doubling, [1]))
    assert caught.value.where == address
