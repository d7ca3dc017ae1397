import json
import os
import signal

import pytest

from components.lib.core.errors import (
    ConfigError,
    ConfigErrors,
    DataError,
    Interrupted,
    ServiceError,
    TrunklineError,
    collected,
)
from components.lib.storage.artifacts import Key, read
from components.lib.storage.lease import Lease
from components.lib.storage.stage import OFFLINE, read_records, stage
from components.lib.storage.store import Store

KEY = Key("tokenization", 1, {})


@pytest.fixture
def settings(tmp_path):
    return {
        "store": str(tmp_path / "store"),
        "run": {"tracking_uri": "", "run_id": "r1", "details": {"preset": "x"}},
    }


def ledger(settings, name):
    return json.loads(Store(settings["store"]).objects.read(f"runs/r1/{name}.json"))


def test_a_stage_that_is_told_to_stop_ends_though_another_run_has_its_work(settings, tmp_path):
    """The other one took the lease in the moment in which it was given back: nobody waits for it."""

    def make():
        place = f"launches/{KEY.digest}"
        other = Lease(Store(settings["store"]).objects, place, "another")
        Lease(other.objects, place, "r1").end()
        assert other.take()
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended, stage("tokenization", settings) as context:
        context.obtain(KEY, make, tmp_path / "out.json")
    assert ended.value.code == Interrupted.exit_code


def test_an_output_is_made_once(settings, tmp_path, capsys):
    calls = []

    def build(draft):
        calls.append(1)
        draft.write("a.txt", "x")

    for _ in range(2):
        with stage("tokenization", settings) as context:
            context.produce(KEY, build, tmp_path / "out" / "tokens")
    assert calls == [1]
    assert read(tmp_path / "out" / "tokens") == context.store.find(KEY)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[:2] for line in said] == [["tokenization:", "made"], ["tokenization:", "reused"]]
    record = ledger(settings, "tokenization")
    assert record["status"] == "succeeded" and record["error"] is None
    assert [output["reused"] for output in record["outputs"]] == [True]


@pytest.mark.parametrize(
    "error", [DataError("bad row", where="a:3"), ConfigError("no"), ServiceError("down"), Interrupted("stop")]
)
def test_a_typed_error_becomes_the_exit_code(settings, capsys, error):
    with pytest.raises(SystemExit) as caught, stage("finetuning", settings, task="topics"):
        raise error
    assert caught.value.code == error.exit_code
    printed = capsys.readouterr().err
    assert error.what in printed and "Traceback" not in printed
    record = ledger(settings, "finetuning.topics")
    assert record["status"] == "failed" and record["task"] == "topics"
    assert record["error"] == {**error.to_dict(), "stage": "finetuning"}


def test_a_bug_keeps_its_traceback(settings, capsys):
    with pytest.raises(SystemExit) as caught, stage("evaluation", settings):
        _ = 1 / 0
    assert caught.value.code == 70
    assert "Traceback" in capsys.readouterr().err
    assert ledger(settings, "evaluation")["error"]["what"].startswith("ZeroDivisionError")


@pytest.mark.parametrize("uri", ["", "gs://bucket", "file"])
def test_an_unusable_store_is_an_error_like_any_other(settings, capsys, uri, tmp_path):
    if uri == "file":
        (tmp_path / "store").write_text("in the way")
    else:
        settings["store"] = uri
    with pytest.raises(SystemExit) as caught, stage("ingestion", settings):
        pass
    assert caught.value.code in (73, 78)
    printed = capsys.readouterr().err
    assert printed.startswith("\ningestion failed: ") and "Traceback" not in printed


def test_records_come_in_the_order_of_their_start(settings):
    for name in ("promotion", "ingestion", "evaluation"):
        with stage(name, settings) as context:
            pass
    assert [record["stage"] for record in read_records(context)] == ["promotion", "ingestion", "evaluation"]


def test_errors_are_collected():
    with pytest.raises(ConfigErrors) as caught, collected() as errors:
        errors.append(ConfigError("one", where="a"))
        errors.append(ConfigError("two", fix="b"))
    assert caught.value.exit_code == 78
    assert [error["what"] for error in caught.value.to_dict()["errors"]] == ["one", "two"]
    assert str(caught.value) == "2 settings are wrong\none\n  where: a\ntwo\n  fix: b"
    with collected():
        pass


def all_kinds(kind=TrunklineError):
    return [kind, *(below for child in kind.__subclasses__() for below in all_kinds(child))]


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.__name__)
def test_every_error_says_who_can_act(kind):
    several = issubclass(kind, ConfigErrors)
    error = kind([ConfigError("x")]) if several else kind("x" * 9999, found={"a": 1}, fix="do")
    copy = json.loads(json.dumps(error.to_dict()))
    assert copy["family"] in ("user", "data", "service", "internal")
    assert 64 <= copy["exit_code"] <= 78
    assert len(copy["what"]) < 2100


@pytest.mark.parametrize(
    ("config", "offline"),
    [
        ({}, True),
        ({"sources": ["sample:topics/train", "s3://bucket/hf:x"]}, True),
        ({"sources": ["sample:topics/train", "hf:owner/name"]}, False),
        ({"train": {"source": "hf:owner/name?split=train"}}, False),
    ],
)
def test_only_a_stage_that_names_the_hub_reaches_it(settings, monkeypatch, config, offline):
    for name in OFFLINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    with stage("tokenization", {**settings, "config": config}):
        assert all((os.environ.get(name) == "1") == offline for name in OFFLINE)
        assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    for name in OFFLINE:
        monkeypatch.setenv(name, "1")
