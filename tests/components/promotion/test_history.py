"""Versions of the test set: fresh examples join, and champion and anchor are scored on them anew."""

from components.lib.registry.registered_models import Registry
from components.promotion import history, life
from tests.components.evaluation import branches
from tests.components.evaluation.test_run import evaluate, one_thread  # noqa: F401  # a fixture

KIND, NAME = "sequence_classification", "demo-weather"


def test_fresh_examples_begin_a_version_on_which_champion_and_anchor_are_scored_anew(tracked, tmp_path):
    old, new = (branches.commit(tracked.store, KIND, n=n, seed=n) for n in (120, 150))
    first = branches.register(tracked, branches.commit(tracked.store, KIND, seed=7), NAME)
    Registry(tracked.tracking_uri).set_alias(first, "anchor")
    champion = branches.register(tracked, branches.commit(tracked.store, KIND, seed=8), NAME)
    made = [evaluate(tracked, one, tmp_path / str(place))[0] for place, one in enumerate((old, new))]
    for one, n in zip(made, (120, 150), strict=True):
        facts = one.facts
        assert facts["examples"] == n == sum(facts["anchor_gaps"]["counts"])
        assert (facts["champion"]["version"], facts["anchor"]["version"]) == (champion.version, first.version)
        table = {"system": ["challenger"] * n + ["champion"] * n + ["anchor"] * n}
        scored = branches.read(tracked.store, one, "outcomes.parquet").column("system").to_pylist()
        assert sorted(scored) == sorted(table["system"])
    sets = [one.facts["test_set"] for one in made]
    assert sets[0] != sets[1]
    decided = [
        {"test_set": sets[at], "branch": (old, new)[at].reference, "date": f"2026-11-{day:02d}"}
        for day, at in enumerate((0, 0, 1), 1)
    ]
    found = history.test_sets(tracked.store, decided)
    assert found == [
        {"since": "2026-11-01", "examples": 120, "fresh": 120, "decisions": 2},
        {"since": "2026-11-03", "examples": 150, "fresh": 30, "decisions": 1},
    ]
    assert life.test_sets(found)[1] == ["2, 2026-11-03", 150, 30, 1]
    gone = [decided[0] | {"branch": "finetuning/" + "0" * 32 + "#" + "0" * 12}, decided[2]]
    assert [one["fresh"] for one in history.test_sets(tracked.store, gone)] == [None, None]
