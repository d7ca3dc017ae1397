"""Notifications of a run's end, against a real server on this machine."""

import json
import socket
from contextlib import closing

import pytest

from components.closing.config import Config
from components.closing.run import run
from components.lib.core import public_hosts
from components.lib.core.errors import DataError
from components.lib.core.notifications import FORM, ON, URL
from components.lib.storage.stage import stage
from tests.components.closing.test_run import exit_record, go, settings
from tests.components.promotion import lineages
from tests.fakes.http_server import Handler, serving


class Hook(Handler):
    """Notes what is posted; answers with the statuses of `answers`, the last of them again and again."""

    posts: list
    answers: list

    def do_POST(self):
        self.posts.append((self.path, self.headers["Content-Type"], json.loads(self.body())))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send(status, {}, **({"Location": "/elsewhere"} if status == 302 else {}))


@pytest.fixture
def hook(monkeypatch):
    posts, answers = [], [200]
    with serving(Hook, posts=posts, answers=answers) as uri:
        monkeypatch.setenv(URL, f"{uri.replace('127.0.0.1', 'localhost')}/hooks/T0KEN?key=s3cret")
        monkeypatch.setenv(public_hosts.ALLOWED, "localhost")
        yield posts, answers


def failing(store, run_id="r1"):
    with pytest.raises(SystemExit), stage("ingestion", settings(store, run_id)):
        raise DataError("no record is <usable> & none is left")
    run(Config(store.uri, run_id, "FAILED"))


def deciding(store, verdict, findings=()):
    trunk = lineages.trunk(store, lineages.tokens(store, lineages.corpus(store)))
    branch = lineages.branch(store, trunk, "topics")
    go(store, "r1", branch, lineages.evaluation(store, branch, "topics"), task="topics")
    decision = lineages.promotion(store, trunk, {"topics": verdict}, list(findings))
    go(store, "r1", decision)
    run(Config(store.uri, "r1", "SUCCEEDED"))


def test_a_run_that_failed_is_a_cloud_event(store, hook, capsys):
    failing(store)
    ((path, kind, event),) = hook[0]
    assert path == "/hooks/T0KEN?key=s3cret" and kind == "application/cloudevents+json; charset=utf-8"
    assert {"specversion", "id", "source", "type"} <= event.keys()  # which CloudEvents requires
    assert (event["specversion"], event["id"], event["source"]) == ("1.0", "r1.failed", store.uri)
    assert (event["type"], event["subject"]) == ("trunkline.run.failed", "r1")
    assert event["data"] == exit_record(store, "r1") and event["time"] == event["data"]["end"]
    told = capsys.readouterr()
    assert "notified of 'failed'" in told.out and "s3cret" not in told.out + told.err


@pytest.mark.parametrize(
    ("verdict", "passed", "on", "kinds"),
    [
        ("promoted", True, "", ["promoted"]),
        ("rejected", True, "", ["rejected"]),
        ("rejected", False, "", ["rejected", "drift"]),
        ("rejected", False, "drift, failed", ["drift"]),
        ("promoted", True, "failed", []),
    ],
)
def test_what_was_decided_is_told_to_who_asks(store, hook, monkeypatch, verdict, passed, on, kinds):
    if on:
        monkeypatch.setenv(ON, on)
    deciding(store, verdict, [{"rule": "anchor", "passed": passed}, {"rule": "floors", "passed": False}])
    assert [event["type"].rpartition(".")[2] for *_, event in hook[0]] == kinds


def test_slack_takes_a_text(store, hook, monkeypatch):
    monkeypatch.setenv(FORM, "slack")
    failing(store, "r0")
    deciding(store, "promoted")
    (_, kind, first), (*_, second) = hook[0]
    assert kind == "application/json" and set(first) == {"text"}
    assert "failed: run r0 failed in ingestion: no record is &lt;usable&gt; &amp; none" in first["text"]
    assert "\n\u2022 topics: promoted, accuracy 0." in second["text"]


@pytest.mark.parametrize(
    ("answers", "posts", "told"),
    [
        ([503, 429, 200], 3, "notified of 'failed'"),
        ([500], 4, "nobody was notified of 'failed'"),
        ([302], 1, "redirects are not followed"),
        ([404], 1, "the server refused a notification"),
    ],
)
def test_a_server_that_fails_is_tried_again_and_one_that_refuses_is_not(
    store, hook, capsys, answers, posts, told
):
    hook[1][:] = answers
    failing(store)
    assert len(hook[0]) == posts and exit_record(store, "r1")["status"] == "failed"
    assert told in capsys.readouterr().out


def test_an_address_that_nobody_reaches_fails_no_run(store, monkeypatch, capsys):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv(URL, f"http://localhost:{free.getsockname()[1]}/")
    monkeypatch.setenv(public_hosts.ALLOWED, "localhost")
    deciding(store, "promoted")
    assert exit_record(store, "r1")["status"] == "succeeded"
    assert (
        "nobody was notified of 'promoted': the server of notifications does not" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://127.0.0.1/x", "not at a public address"),
        ("https://10.0.0.1/x", "not at a public address"),
        ("https://[fe80::1]/x", "not at a public address"),
        ("https://[::ffff:127.0.0.1]/x", "not at a public address"),
        ("https://169.254.169.254/latest", "not at a public address"),
        ("https://localhost/x", "not at a public address"),
        ("http://192.0.2.1/x", "cannot be used"),
        ("file:///etc/passwd", "cannot be used"),
        ("https:///x", "cannot be used"),
        ("https://example.com:port/s3cret", "cannot be used"),
        ("https://[::1/s3cret", "cannot be used"),
        ("https://example.com/s3cret\u00e4", "cannot be used"),
    ],
)
def test_the_clusters_own_network_is_not_reached_unless_it_is_named(store, monkeypatch, capsys, url, told):
    monkeypatch.setenv(URL, url)
    failing(store)
    out = capsys.readouterr().out
    assert "nobody was notified of 'failed'" in out and told in out and "s3cret" not in out
