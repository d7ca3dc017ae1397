"""Slices of the test examples, and whether the confidence of a branch can be trusted."""

import numpy as np
import pytest

from components.evaluation import reliability, slices
from components.evaluation.config import Config
from components.evaluation.slices import Slice
from components.lib import tasks
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests.components.evaluation import branches
from tests.components.evaluation.test_run import evaluate, one_thread  # noqa: F401  # a fixture
from tests.pages import read

KIND, CONFIG = "sequence_classification", Config("m", replicates=200)
LANGUAGES = ["de"] * 3 + ["en"] * 60 + ["fr"] * 57


def columns(n: int, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    label, prediction = generator.integers(0, 3, (2, n))
    return {"label": label, "prediction": prediction, "confidence": generator.uniform(0.3, 1, n)}


def test_a_slice_is_scored_as_its_examples_alone_are_and_compared_in_pairs():
    task, places = tasks.load(KIND), np.arange(40, 100)
    systems = {"challenger": columns(120, 0), "champion": columns(120, 1), "anchor": columns(120, 2)}

    def statistic(system, found):
        return lambda weights: task.metrics(found, weights, branches.CLASSES)

    (row,) = slices.metrics(CONFIG, [Slice("source", "web", places)], task, systems, statistic)
    right = {name: (own["label"] == own["prediction"])[places] for name, own in systems.items()}
    mean = {name: part.mean() for name, part in right.items()}
    assert row["examples"] == 60 and row["metrics"]["accuracy"]["value"] == pytest.approx(mean["challenger"])
    gap = row["difference"]["accuracy"]
    assert gap["value"] == pytest.approx(mean["challenger"] - mean["champion"], abs=1e-6)
    assert gap["low"] < gap["value"] < gap["high"]
    for rival in ("champion", "anchor"):
        found = row[f"{rival}_gaps"]
        apart = right["challenger"].astype(int) - right[rival]
        assert found["counts"] == np.unique(apart, return_counts=True)[1].tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b", "a", "b"], {"b": 2, "a": 1}),
        ([f"user {i // 2:05d}" for i in range(20_000)], {"user 00000": 2, "9,980 other values": 19_960}),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], {"1 to 2 words": 2, "7 to 8 words": 2}),
        ([5.0] * 9, {"5 words": 9}),
        ([2.0] * 90 + [30.0] * 10, {"2 words": 90, "30 words": 10}),
    ],
    ids=["words", "10,000 values", "numbers", "one number", "mostly one number"],
)
def test_values_and_quarters_of_numbers_share_out_the_examples(tmp_path, values, expected):
    store = Store(str(tmp_path))
    branch = branches.commit(store, KIND, n=4, slices={"field": values})
    found = slices.read(store, branch)
    sizes = {one.value: len(one.places) for one in found}
    assert expected.items() <= sizes.items() and len(found) <= slices.MOST + 1
    assert sorted(np.concatenate([one.places for one in found])) == list(range(len(values)))


def test_slices_and_calibration_stand_on_the_card_and_a_champion_is_judged_by_the_same(tracked, tmp_path):
    given = {"language": LANGUAGES, "length": [float(i % 9) for i in range(120)]}
    branch = branches.commit(tracked.store, KIND, slices=given, temperature=0.25)
    branches.register(tracked, branches.commit(tracked.store, KIND, seed=1), "demo-weather")
    made, _ = evaluate(tracked, branch, tmp_path / "a")
    rows = made.facts["slices"]
    assert [row["examples"] for row in rows[:3]] == [60, 57, 3] and sum(r["examples"] for r in rows) == 240
    of = rows[2]["metrics"]["accuracy"]
    assert rows[2]["value"] == "de" and of["high"] - of["low"] > 0.5, "three examples tell little"
    assert all(row["champion_gaps"]["counts"] and row["anchor_gaps"] is None for row in rows)
    page = read((tmp_path / "a" / "card.html").read_text(encoding="utf-8"))
    assert {"By slice", "How sure it may be"} <= set(page.headings) and "de" in page.texts
    found = made.facts["calibration"]
    assert found["temperature"] == 0.25 and found["before"] != found["after"]


def test_a_temperature_changes_confidence_and_no_class(tmp_path):
    context = Context(Store(str(tmp_path / "store")))
    facts = []
    for number, temperature in enumerate((None, 0.1)):
        branch = branches.commit(context.store, KIND, temperature=temperature)
        facts.append(evaluate(context, branch, tmp_path / str(number))[0].facts)
    (cool, warm), metrics = (one["calibration"] for one in facts), [one["metrics"] for one in facts]
    assert metrics[0]["accuracy"] == metrics[1]["accuracy"] and facts[1]["reproduced"] == 1.0
    assert cool["before"] == cool["after"] == warm["before"] != warm["after"]
    assert warm["after"]["value"] == metrics[1]["calibration_error"]["value"]
    assert (
        facts[0]["slices"] == []
        and evaluate(context, branches.commit(context.store, "token_classification"), tmp_path / "t")[
            0
        ].facts["calibration"]
        is None
    )


def test_abstaining_is_told_as_it_was_made():
    """Confidence c is right with a probability of c: so are the surest, and the error is small."""
    generator = np.random.default_rng(3)
    confidence = generator.uniform(0.4, 1.0, 20_000)
    right = (generator.random(20_000) < confidence).astype(int)
    scored = {"label": np.ones(20_000, int), "prediction": right, "confidence": confidence}
    found = reliability.measured(CONFIG, scored | {"uncalibrated": confidence**3}, 1.5)
    assert found["after"]["value"] < 0.02 < 0.1 < found["before"]["value"]
    for one in found["bins"]["after"]:
        assert one["low"] - 0.01 < one["confidence"] < one["high"] + 0.01
    for one in found["coverage"]:
        assert one["value"] == pytest.approx((1 + one["confidence"]) / 2, abs=0.02)
        assert one["share"] == pytest.approx((1 - one["confidence"]) / 0.6, abs=0.01)
    assert found["sentence"].startswith("The surest 80% of the answers, of a confidence of 0.52 or more, are")
    same = reliability.measured(CONFIG, scored | {"confidence": np.ones(20_000), "uncalibrated": right}, None)
    assert same["sentence"] == "Confidence does not tell the answers apart: abstaining buys nothing."
