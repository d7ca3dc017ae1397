"""Status of a TrainJob, against a real server that speaks TLS, hangs, fails or is gone."""

import json
import threading
import time

import pytest

from components.pretraining import trainjob_status
from components.pretraining.trainjob_status import CERTIFICATE, TOKEN, URL, reported
from tests.fakes.http_server import Handler, serving

PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs/trunk/status"


class Trainer(Handler):
    posts: list
    answer: dict

    def do_POST(self):
        self.posts.append((self.path, self.headers["Authorization"], json.loads(self.body())))
        self.answer["hang"].wait(20)
        self.send(self.answer["status"], {})


@pytest.fixture
def trainer(monkeypatch, tmp_path):
    posts, answer = [], {"status": 200, "hang": threading.Event()}
    answer["hang"].set()
    (tmp_path / "token").write_text("one\n")
    monkeypatch.setattr(trainjob_status, "EVERY", 0.2)
    monkeypatch.setenv(TOKEN, str(tmp_path / "token"))
    monkeypatch.delenv(CERTIFICATE, raising=False)
    with serving(Trainer, posts=posts, answer=answer) as uri:
        monkeypatch.setenv(URL, uri + PATH)
        yield posts, answer, tmp_path / "token"
        answer["hang"].set()


def posted(posts, count):
    end = time.monotonic() + 10
    while len(posts) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(posts) >= count
    return [post[2]["trainerStatus"] for post in posts]


def test_progress_time_left_and_losses_are_posted_and_what_lies_between_is_dropped(trainer):
    posts, _, token = trainer
    with reported(200) as tell:
        tell({"step": 10.0, "loss": 2.5, "gradient_norm": float("nan"), "skipped": 0.0})
        (first,) = posted(posts, 1)
        token.write_text("two\n")
        for step in range(11, 100):
            tell({"step": float(step), "loss": 2.0})
        tell({"step": 100.0, "validation/loss": 1.5})
        posted(posts, 2)
    assert first["progressPercentage"] == 5 and "estimatedRemainingSeconds" not in first
    assert first["metrics"] == [{"name": "loss", "value": "2.5"}]
    last = posted(posts, 2)[-1]
    assert len(posts) <= 4 and last["progressPercentage"] == 50
    assert last["metrics"] == [{"name": "loss", "value": "2"}, {"name": "validation/loss", "value": "1.5"}]
    assert isinstance(last["estimatedRemainingSeconds"], int)
    time.strptime(last["lastUpdatedTime"], "%Y-%m-%dT%H:%M:%SZ")
    assert [post[:2] for post in posts][:2] == [(PATH, "Bearer one"), (PATH, "Bearer two")]


def test_a_server_that_hangs_holds_nothing_up(trainer, monkeypatch, capsys):
    posts, answer, _ = trainer
    monkeypatch.setattr(trainjob_status, "TIMEOUT", 0.3)
    monkeypatch.setattr(trainjob_status, "LAST", 0.1)
    answer["hang"].clear()
    with reported(10) as tell:
        begun = time.monotonic()
        for step in range(10):
            tell({"step": float(step), "loss": 1.0})
        assert time.monotonic() - begun < 0.2
        posted(posts, 1)
        tell({"step": 10.0, "loss": 1.0})
        posted(posts, 2)
        end = time.monotonic()
    assert time.monotonic() - end < 1.0
    assert capsys.readouterr().out.count("does not take the status") == 1


@pytest.mark.parametrize("broken", ["refused", "gone", "no token", "no address"])
def test_what_cannot_be_posted_is_told_once_and_trains_on(trainer, monkeypatch, capsys, broken):
    _, answer, token = trainer
    if broken == "refused":
        answer["status"] = 403
    if broken == "gone":
        monkeypatch.setenv(URL, "http://127.0.0.1:9/x")
    if broken == "no token":
        token.unlink()
    if broken == "no address":
        monkeypatch.setenv(URL, "https://[x/y")
    with reported(10) as tell:
        tell({"step": 1.0, "loss": 1.0})
        time.sleep(0.5)
        tell({"step": 2.0, "loss": 1.0})
    assert capsys.readouterr().out.count("does not take the status") == 1


def test_nothing_is_started_where_nobody_asks(monkeypatch):
    monkeypatch.delenv(URL, raising=False)
    with reported(10) as tell:
        tell({"step": 1.0, "loss": 1.0})
        assert "trainjob-status" not in {thread.name for thread in threading.enumerate()}
