import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.evaluation.recommendation import recommend
from components.lib.data import images
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.store import Store
from components.promotion.page import render
from tests.components.promotion import lineages
from tests.pages import ATTACKS, read

STAGES = ("ingestion", "tokenization", "pretraining", "registration", "finetuning", "evaluation")


@pytest.fixture
def trunk(store: Store) -> Manifest:
    return lineages.trunk(store, lineages.tokens(store, lineages.corpus(store)))


def one(store: Store, trunk: Manifest, **options: object) -> Manifest:
    return lineages.evaluation(store, lineages.branch(store, trunk, "topics"), "topics", **options)  # type: ignore[arg-type]


def page_of(store: Store, trunk: Manifest, evaluations: list[Manifest], verdicts: list[str]) -> str:
    tasks = [evaluation.facts["task"] for evaluation in evaluations]
    decision = lineages.decision(evaluations, verdicts)
    return render(store, decision, evaluations, lineages.registered(trunk), lineages.records(tasks), {})


def test_the_answer_comes_first_then_the_gate_then_how_it_came_about(store, trunk):
    page = read(page_of(store, trunk, [one(store, trunk)], ["promoted"]))
    assert page.texts[page.texts.index("Trunk version 3, task: topics") + 1] == (
        "Use the trunk with 100 to 1,000 labels (+15.0 points of accuracy [+12.0 to +18.0] over a linear "
        "model, the next best with 100); use a linear model with 5,000 labels (no difference from the trunk "
        "is shown, and it is the cheapest)."
    )
    assert [h for h in page.headings if h[0].isupper()] == [
        "Gate",
        "Task topics",
        "What a start costs",
        "The branch on the test examples",
        "Labelled data and fine-tuning",
        "Pre-training",
        "Data",
        "Tokenizer",
        "Time",
        "Load the model",
        "Lineage",
        "Settings",
    ]
    for text in (
        "+12.0 to +18.0",
        "5 seeds",
        "370",
        "95 % interval 260 to > 5,000",
        "100 labels with the trunk are worth, with a linear model",
        "random weights",
        "bound 1, early 4; 240 steps",
        "may be under-trained: the trunk.",
        "promoted",
        "18,846",
        "near duplicate",
        "wordpiece",
        "0.001 with 100 labels, 0.002 with 5,000 labels",
        "0.001, 0.002: by a held-out fifth",
    ):
        assert text in page.text
    assert "models:/trunkline-20news-topics@champion" in page.text


def test_pictures_of_the_trunk_are_in_the_page_and_a_damaged_one_is_named(store):
    png = images.png(np.zeros((2, 2, 3), np.uint8))
    entries = [{"title": "<Views>", "file": "pictures/00.png", "note": "three of each"}]
    with store.draft(Key("pretraining", 1, {"shown": True}, {})) as draft:
        draft.write("pictures/00.png", png)
        draft.write("pictures/pictures.json", json.dumps(entries))
        draft.facts = {"modality": "text", "objective": {"contrastive": {}}}
        draft.write("history.jsonl", "")
        drawn = draft.commit()
    evaluation = one(store, drawn)
    page = read(page_of(store, drawn, [evaluation], ["promoted"]))
    assert "img" in page.tags and "<Views>" in page.text and "three of each" in page.text
    next(Path(store.uri.removeprefix("file://")).rglob("00.png")).write_bytes(png + b"!")
    page = read(page_of(store, drawn, [evaluation], ["promoted"]), gaps=True)
    assert page.text.count("could not be drawn") == 1 and "pictures/00.png" in page.text


def test_facts_that_another_version_wrote_cost_their_own_section(store, trunk):
    evaluation = one(store, trunk)
    del evaluation.facts["comparison"]["labels"]
    page = read(page_of(store, trunk, [evaluation], ["promoted"]), gaps=True)
    assert page.text.count("could not be drawn") == 2  # the answer, the task
    assert {"Gate", "Task topics", "Pre-training", "Data", "Lineage"} <= {*page.headings}


@pytest.mark.parametrize(
    ("gain", "headline", "tone"),
    [
        (0.5, "Use the trunk with 100 to 5,000 labels (+50.0 points of accuracy", "good"),
        (0.01, "Cannot tell", "warn"),
        (-0.5, "A linear model is better here: use it with 100 to 5,000 labels (+50.0 points", "bad"),
    ],
)
def test_the_headline_follows_the_intervals(store, trunk, gain, headline, tone):
    starts = ("trunk", "linear") if gain == 0.01 else ("trunk", "linear", "random")
    html = page_of(store, trunk, [one(store, trunk, gain=gain, starts=starts)], ["promoted"])
    assert headline in read(html).text
    assert f'class="verdict {tone}"' in html


def test_a_metric_that_is_no_share_has_no_points_and_may_be_better_where_it_is_lower(store, trunk):
    evaluation = one(store, trunk, champion=True, gain=-0.5)
    declared = {"better": "lower", "low": 0.0, "high": None, "title": "mean absolute error"}
    evaluation.facts["metric"] = {"accuracy": declared}
    evaluation.facts["comparison"] |= recommend(evaluation.facts)
    page = read(page_of(store, trunk, [evaluation], ["promoted"]))
    sentence = (
        "(mean absolute error better by 0.400 [+0.370 to +0.430] over random weights, the next best with 100)"
    )
    assert f"Use the trunk with 100 to 1,000 labels {sentence}" in page.text
    assert not [text for text in page.texts if "points" in text]
    assert "mean absolute error (lower is better)" in page.texts


def test_every_manifest_behind_the_run_is_listed(store, trunk):
    evaluation = one(store, trunk)
    page = read(page_of(store, trunk, [evaluation], ["promoted"]))
    lineage = page.text[page.text.index("Lineage") :]
    places = [lineage.index(f"\n{stage}") for stage in STAGES]
    assert places == sorted(places)  # raw data first
    assert evaluation.digest[:12] in lineage and trunk.uri in lineage


def test_several_tasks_are_summed_up_and_then_shown_one_by_one(store, trunk):
    made = [
        lineages.evaluation(store, lineages.branch(store, trunk, task), task, gain=gain, kind=kind)
        for task, gain, kind in (
            ("topics", 0.5, "sequence_classification"),
            ("entities", 0.0, "token_classification"),
            ("spam", -0.1, "sequence_classification"),
        )
    ]
    page = read(page_of(store, trunk, made, ["promoted", "rejected", "unchanged"]))
    assert "The trunk is the start to use on 1 of 3 tasks" in page.texts
    for text in ("promoted", "not promoted", "champion already"):
        assert text in page.texts
    assert "accuracy 0.61 is below 0.7" in page.text
    assert "models:/trunkline-20news-entities@challenger" in page.text  # it was not promoted
    assert [h for h in page.headings if h.startswith("Task")] == ["Task topics", "Task entities", "Task spam"]


def test_the_champion_is_compared_with_the_paired_difference(store, trunk):
    page = read(page_of(store, trunk, [one(store, trunk, champion=True)], ["promoted"]))
    assert "champion (version 2)" in page.text and "\u22120.5 to +2.5" in page.text


def test_a_page_is_made_even_if_the_store_has_lost_everything(store, trunk):
    evaluation = one(store, trunk, champion=True)
    for key in list(store.objects.keys("")):
        store.objects.delete(key)
    page = read(page_of(store, trunk, [evaluation], ["promoted"]), gaps=True)
    assert "Use the trunk" in page.text and "Confusion matrix" in page.text
    assert "the store does not hold an input" in page.text
    assert "This store does not hold the corpus or its tokens." in page.text


def test_a_trunk_without_its_history_is_said(store, trunk):
    evaluation = one(store, trunk)
    key = f"{trunk.uri.removeprefix(f'{store.uri}/')}/history.jsonl"
    store.objects.delete(key)
    page = read(page_of(store, trunk, [evaluation], ["promoted"]), gaps=True)
    (gap,) = [text for text in page.texts if "could not be drawn" in text]
    assert "a committed file is gone" in gap and "history.jsonl" in gap
    assert "parameters" in page.texts  # the rest of the section is there


def test_a_chart_that_tells_nothing_new_is_left_out(store, trunk):
    text = read(page_of(store, trunk, [one(store, trunk)], ["promoted"])).text
    assert "contrastive: accuracy" in text
    assert "skipped" not in text and "\ncontrastive\n" not in text


def test_what_was_not_compared_is_said(store, trunk):
    page = read(page_of(store, trunk, [one(store, trunk, starts=("trunk", "random"))], ["promoted"]))
    assert (
        "Cannot tell whether the trunk pays with 100 to 5,000 labels: it was compared with nothing"
        in page.text
    )
    assert "No linear model was compared: this modality has none." in page.text
    page = read(page_of(store, trunk, [one(store, trunk, starts=("trunk",))], ["promoted"]))
    assert "Cannot tell whether the trunk pays" in page.text and "no other start to compare" in page.text


def test_no_task_is_a_page_too(store, trunk):
    page = read(render(store, lineages.decision([], []), [], lineages.registered(trunk), [], {}))
    assert "Pre-training" in page.headings and "The ledger of this run is empty." in page.text


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_names_stay_text(store, trunk, attack):
    attack = attack.replace("\ud800", "")  # no JSON file can hold it
    branch = lineages.branch(store, trunk, attack)
    evaluation = lineages.evaluation(store, branch, attack, classes=[attack, f"{attack}2"], champion=True)
    decision = lineages.decision([evaluation], ["rejected"])
    decision["tasks"][0]["reasons"] = [attack]
    records = lineages.records([attack])
    html = render(store, decision, [evaluation], lineages.registered(trunk, attack), records, {})
    assert attack.replace("\x00", "\ufffd").replace("\x1b", "\ufffd") in read(html).text


def test_the_page_is_the_same_every_time_and_needs_neither_torch_nor_a_plotting_library(store, trunk):
    evaluations = [one(store, trunk)]
    made = {page_of(store, trunk, evaluations, ["promoted"]) for _ in range(2)}
    assert len(made) == 1
    script = (
        "import sys, components.promotion.page as page\n"
        "heavy = {'torch', 'matplotlib', 'numpy', 'mlflow'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
