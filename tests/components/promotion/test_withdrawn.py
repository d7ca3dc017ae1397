"""A version from which an alias was taken: the record says so, and no later run promotes it again."""

import pytest

from components.lib.registry import rollback
from components.lib.registry.registered_models import Registry
from tests import models
from tests.components.promotion.test_run import PASSES, gated, holder, trunk  # noqa: F401
from tests.components.promotion.test_variants import CLOSE, variant

NAME = "news-topics"


@pytest.fixture
def second(tracked, tmp_path, trunk):  # noqa: F811
    """The evaluation of a branch that has replaced the champion."""
    old, new = (models.branch(tracked.store, trunk, seed) for seed in (0, 1))
    gated(tracked, tmp_path, [models.evaluation(tracked.store, old)])
    scored = models.evaluation(tracked.store, new, champion=(old, "1"), difference=PASSES)
    gated(tracked, tmp_path, [scored])
    return scored


def back(tracked, *words):
    return rollback.main([NAME, "--tracking-uri", tracked.tracking_uri, "--store", tracked.store.uri, *words])


def test_it_goes_back_and_forth_and_is_not_promoted_again_by_a_run(tracked, tmp_path, second, capsys):
    registry = Registry(tracked.tracking_uri)
    assert registry.find(NAME, "champion").version == "2"
    assert back(tracked, "--why", "it insults people") == 0
    assert [registry.find(NAME, alias).version for alias in ("champion", "previous")] == ["1", "2"]
    assert "it insults people" in registry.find(NAME, "previous").tags[rollback.WITHDRAWN]
    gated(tracked, tmp_path, [second])
    assert registry.find(NAME, "champion").version == "1"
    assert "NOT promoted: version 2 was withdrawn" in capsys.readouterr().out
    assert back(tracked) == 0 and registry.find(NAME, "champion").version == "2", "a person may"


def test_what_is_compressed_from_it_is_not_promoted_either(tracked, tmp_path, trunk, second):  # noqa: F811
    assert back(tracked, "--why", "it insults people") == 0
    branch = tracked.store.resolve(second.key.inputs["branch"])
    found = {"variants": {"distilled": variant(tracked.store, branch, "distilled", CLOSE)}}
    registry = Registry(tracked.tracking_uri)
    old = tracked.store.resolve(registry.find(NAME, "champion").reference)
    scored = {"champion": (old, "1"), "accuracy": 0.81, "difference": PASSES}  # asked for anew, with variants
    again = models.evaluation(tracked.store, branch, **scored, more=found)
    gated(tracked, tmp_path, [again])
    assert registry.find(NAME, "champion").version == "1"
    assert holder(tracked, "champion", "news-topics-distilled") is None
    tags = registry.find("news-topics-distilled", "challenger").tags
    assert (tags["trunkline.gate"], tags["trunkline.gate.reasons"]) == ("failed", "its branch was withdrawn")


def test_there_must_be_where_to_go_back_to(tracked, tmp_path, trunk, capsys):  # noqa: F811
    assert back(tracked) == 66 and "there is no registered model" in capsys.readouterr().err
    gated(tracked, tmp_path, [models.evaluation(tracked.store, models.branch(tracked.store, trunk))])
    assert back(tracked) == 66 and "has no alias 'previous'" in capsys.readouterr().err
    registry = Registry(tracked.tracking_uri)
    registry.set_alias(registry.find(NAME, "champion"), "previous")
    assert back(tracked) == 78 and "the champion already" in capsys.readouterr().err
    assert holder(tracked, "champion")
