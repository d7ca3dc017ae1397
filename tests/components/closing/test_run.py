import contextlib
import json
from typing import Any

import pytest
from kfp.dsl import HTML, PipelineTaskFinalStatus

from components.closing.component import close
from components.closing.config import Config
from components.closing.run import run
from components.lib.core.errors import DataError
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context, read_records, stage
from components.lib.storage.store import Store
from tests.components.promotion import lineages
from tests.pages import ATTACKS, read


def settings(store: Store, run_id: str) -> dict[str, Any]:
    return {"store": store.uri, "run": {"run_id": run_id, "tracking_uri": "", "details": {"preset": "smoke"}}}


def go(store: Store, run_id: str, *outputs: Manifest, stages: tuple[str, ...] = (), task: str = "") -> None:
    """Leaves the ledger of stages that succeeded."""
    for manifest in outputs:
        with stage(manifest.key.stage, settings(store, run_id), task=task) as context:
            context.record(manifest, reused=False)
    for name in stages:
        with stage(name, settings(store, run_id), task=task):
            pass


def exit_record(store: Store, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.objects.read(f"runs/{run_id}/exit.json"))
    return found


def index(store: Store) -> str:
    return store.objects.read("runs/index.html").decode()


def test_a_run_that_succeeded(store):
    corpus = lineages.corpus(store)
    trunk = lineages.trunk(store, lineages.tokens(store, corpus))
    branch = lineages.branch(store, trunk, "topics")
    evaluation = lineages.evaluation(store, branch, "topics")
    decision = lineages.promotion(store, trunk, {"topics": "promoted"})
    go(store, "r1", corpus, trunk)
    go(store, "r1", branch, evaluation, task="topics")
    go(store, "r1", decision)
    store.objects.write("runs/r1/report.html", b"x")
    run(Config(store.uri, "r1", "SUCCEEDED"))
    record = exit_record(store, "r1")
    assert record["status"] == "succeeded" and record["failure"] is None
    assert record["details"] == {"preset": "smoke"}
    stages = "ingestion pretraining finetuning evaluation promotion"
    assert [entry["stage"] for entry in record["stages"]] == stages.split()
    assert record["stages"][0]["outputs"][0]["reference"] == corpus.reference
    assert record["seconds"] >= 0 and record["versions"]["python"]
    (result,) = record["results"]
    assert result["verdict"] == "promoted" and result["sentence"].startswith(
        "Use the trunk with 100 to 1,000"
    )
    assert result["recommended"] == {
        **dict.fromkeys(("100", "200", "500", "1000"), "trunk"),
        "5000": "linear",
    }
    page = read(index(store))
    assert page.links == ["r1/report.html"]
    assert "topics: promoted. Use the trunk with 100 to 1,000 labels (+15.0 points of accuracy" in page.text


def test_kubeflow_shows_the_report_and_of_a_run_without_one_why_it_failed(store, tmp_path):
    store.objects.write("runs/r1/report.html", b"the report")
    with pytest.raises(SystemExit), stage("preflight", settings(store, "r2")):
        raise DataError("the file is <b>not</b> text", fix="convert it")

    def shown(name, place=store.uri):
        state = PipelineTaskFinalStatus("FAILED", "", "", 1, "")
        close.python_func(place, name, HTML("report", str(tmp_path / name)), state)
        return (tmp_path / name).read_text()

    assert shown("r1") == "the report"
    assert {"Run r2", "failed", "the file is <b>not</b> text", "convert it"} <= {*read(shown("r2")).texts}
    assert "could not be drawn" in read(shown("r3", "ftp://nowhere"), gaps=True).text


def test_a_stage_that_raised_is_named_with_its_error(store):
    go(store, "r1", stages=("preflight",))
    with pytest.raises(SystemExit) as exit, stage("ingestion", settings(store, "r1")):
        raise DataError("the file is not text", where="a.bin:1", fix="convert it")
    assert exit.value.code == 65
    run(Config(store.uri, "r1", "FAILED", "The component failed."))
    record = exit_record(store, "r1")
    assert record["status"] == "failed" and record["message"] == "The component failed."
    assert record["failure"]["stage"] == "ingestion"
    assert record["failure"]["error"]["kind"] == "DataError" and record["failure"]["error"]["exit_code"] == 65
    assert record["failure"]["error"]["fix"] == "convert it"
    assert "ingestion: the file is not text" in read(index(store)).text


@pytest.mark.parametrize(
    ("done", "stage_name", "task"),
    [
        ([], "preflight", ""),
        ([("preflight", ""), ("ingestion", "")], "tokenization", ""),
        (
            [("preflight", ""), ("finetuning", "a"), ("evaluation", "a"), ("finetuning", "b")],
            "evaluation",
            "b",
        ),
    ],
)
def test_a_process_that_was_killed_leaves_no_note_and_is_still_found(store, done, stage_name, task):
    rest = ("ingestion", "tokenization", "pretraining", "registration") if task else ()
    go(store, "r1", stages=rest)
    for name, of in done:
        go(store, "r1", stages=(name,), task=of)
    run(Config(store.uri, "r1", "FAILED", "exit code 137"))
    failure = exit_record(store, "r1")["failure"]
    assert (failure["stage"], failure["task"]) == (stage_name, task)
    assert "killed or never started" in failure["error"]["what"]
    assert failure["error"]["found"] == "exit code 137" and stage_name in failure["error"]["fix"]


def test_the_first_of_several_failures_is_the_cause(store):
    for task in ("a", "b"):
        with pytest.raises(SystemExit), stage("finetuning", settings(store, "r1"), task=task):
            raise DataError(f"no labels in {task}")
    run(Config(store.uri, "r1", "FAILED"))
    assert exit_record(store, "r1")["failure"]["task"] == "a"


@pytest.mark.parametrize(
    ("state", "error", "status"),
    [
        ("COMPLETE", None, "succeeded"),
        ("CANCELLED", None, "cancelled"),
        ("SUCCEEDED", DataError("x"), "failed"),
    ],
)
def test_the_ledger_is_believed_where_kfp_says_that_all_went_well(store, state, error, status):
    with contextlib.suppress(SystemExit), stage("ingestion", settings(store, "r1")):
        if error:
            raise error
    run(Config(store.uri, "r1", state))
    assert exit_record(store, "r1")["status"] == status and status in read(index(store)).texts


@pytest.mark.parametrize(
    ("stages", "complete"),
    [
        (("registration", "finetuning", "evaluation", "promotion"), True),
        (("registration", "finetuning", "evaluation"), False),
        ((), False),
    ],
)
@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "UNKNOWN", ""])
def test_where_kfp_is_not_up_to_date_the_ledger_tells_whether_the_run_came_to_its_end(
    store, state, stages, complete
):
    """kubeflow/pipelines 13321 and 13591: RUNNING after its end, FAILED after a retry that succeeded."""
    go(store, "r1", stages=("preflight", "ingestion", *stages))
    run(Config(store.uri, "r1", state))
    record = exit_record(store, "r1")
    assert record["status"] == ("succeeded" if complete else "failed") and record["state"] == state
    assert complete or "killed or never started" in record["failure"]["error"]["what"]


def test_the_exit_record_is_no_part_of_the_ledger_and_can_be_written_again(store):
    go(store, "r1", stages=("preflight",))
    for _ in range(2):
        run(Config(store.uri, "r1", "SUCCEEDED"))
    assert [r["stage"] for r in read_records(Context(store, run_id="r1"))] == ["preflight"]
    assert exit_record(store, "r1")["status"] == "succeeded"


def test_the_index_lists_the_newest_first_and_survives_a_spoilt_record(store, capsys):
    for name in ("r1", "r2"):
        go(store, name, stages=("preflight",))
        run(Config(store.uri, name, "SUCCEEDED"))
    store.objects.write("runs/r0/exit.json", b"{not json")
    go(store, "r3", stages=("preflight",))
    run(Config(store.uri, "r3", "FAILED"))
    page = read(index(store))
    rows = [text for text in page.texts if text in ("r0", "r1", "r2", "r3")]
    assert rows[-1] == "r0" and rows[0] == max(rows[:3], key=lambda r: exit_record(store, r)["start"] + r)
    assert "unreadable" in page.texts and "r0/exit.json is not an exit record" in capsys.readouterr().out
    assert "4 runs that ended, newest first" in page.text


@pytest.mark.parametrize("place", ["", "ftp://nowhere/x", "/proc/nothing/here"])
def test_a_fault_of_its_own_is_printed_and_does_not_fail_the_run(place, capsys, monkeypatch):
    monkeypatch.delenv("TRUNKLINE_STORE", raising=False)
    run(Config(place, "r1", "FAILED"))
    assert "closing failed" in capsys.readouterr().err


def test_a_store_of_the_environment(store, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_STORE", store.uri)
    run(Config("", "r1", "SUCCEEDED"))
    assert exit_record(store, "r1")["status"] == "succeeded"


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if "\x00" not in attack])
def test_hostile_words_stay_text(store, attack):
    with pytest.raises(SystemExit), stage("ingestion", settings(store, "r1")):
        raise DataError(attack, found=attack)
    run(Config(store.uri, "r1", attack, attack))
    assert attack in read(index(store)).text


def test_a_run_with_unchanged_data_says_so(store):
    for name in ("ingestion", "tokenization", "promotion"):
        with stage(name, {**settings(store, "r1"), "passed_on": "the data is unchanged"}):
            pass
    run(Config(store.uri, "r1", "RUNNING"))
    record = exit_record(store, "r1")
    assert record["status"] == "succeeded" and record["stages"][1]["passed_on"] == "the data is unchanged"
    assert read(index(store)).text.count("the data is unchanged") == 1


def test_a_run_without_tasks_has_a_report_of_its_data(store):
    passed = {"hidden files": {"count": 4, "examples": [".a", "<b>", ".c"]}}
    counts = {"read": 60, "kept": 9, "dropped": {"near_duplicate": 50}, "quarantined": 1, "sources": 2}
    with stage("ingestion", settings(store, "r1")) as context:
        context.account = {**counts, "documents": {"train": 8, "validation": 1}, "passed_over": passed}
        context.tell("WARNING: near_duplicate takes 50")
    with stage("promotion", {**settings(store, "r1"), "passed_on": "no tasks"}):
        pass
    run(Config(store.uri, "r1", "SUCCEEDED"))
    page = read(store.objects.read("runs/r1/report.html").decode())
    assert {"records read", "60", "near duplicate", "83.33%", "hidden files", "<b>"} <= {*page.texts}
    assert "WARNING: near_duplicate takes 50" in page.text and read(index(store)).links == ["r1/report.html"]
    go(store, "r2", stages=("ingestion",))
    run(Config(store.uri, "r2", "FAILED"))
    assert not list(store.objects.keys("runs/r2/report")), "there is nothing to tell"
