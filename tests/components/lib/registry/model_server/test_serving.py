"""The server as a process of its own, asked over HTTP; one for the file."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.lib.registry.registered_models import Registry
from components.lib.storage.store import Store
from tests import served

NAME = "served-weather"


@pytest.fixture(scope="module")
def registry(mlflow_uri):
    return Registry(mlflow_uri)


@pytest.fixture(scope="module")
def server(registry, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    served.champion(registry, served.version(registry, Store(str(folder / "store")), NAME, seed=0))
    words = ["--records", "40", "--bytes", "20000", "--seconds", "20", "--queue", "16"]
    with served.serving(registry.uri, NAME, folder / "process", *words) as found:
        found.ready()
        yield found


def test_it_answers_as_mlflow_does_alone_and_together(server, registry, tmp_path):
    """Requests that are computed together get the answers that each gets alone from MLflow's own server."""
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import invocations

    model = mlflow.pyfunc.load_model(str(registry.download(registry.require(NAME, "champion"), tmp_path)))
    bodies = [{"inputs": served.TEXTS[at : at + 1 + at % 3]} for at in range(0, 36, 3)]
    bodies += [{"dataframe_split": {"columns": ["text"], "data": [[text]]}} for text in served.TEXTS[:4]]
    expected = [
        json.loads(invocations(json.dumps(body), "application/json", model, None).response) for body in bodies
    ]
    with ThreadPoolExecutor(12) as pool:
        for _ in range(3):
            answers = list(pool.map(lambda body: server.ask("/invocations", body), bodies))
            assert {status for status, *_ in answers} == {200}
            for (_, found, _), wanted in zip(answers, expected, strict=True):
                for one, other in zip(json.loads(found)["predictions"], wanted["predictions"], strict=True):
                    assert one["label"] == other["label"] and one["score"] == pytest.approx(
                        other["score"], 1e-4
                    )
    metrics = server.ask("/metrics")[1].decode()
    (batches,) = re.findall(r"^trunkline_batch_records_count (\S+)", metrics, re.MULTILINE)
    assert float(batches) < 3 * len(bodies), "what waited was computed together"
    assert f'trunkline_served{{name="{NAME}",version="1"}} 1.0' in metrics


def test_it_says_what_it_serves(server):
    assert [server.ask(path)[0] for path in ("/health", "/ping", "/ready")] == [200] * 3
    told = json.loads(server.ask("/version")[1])
    assert (told["name"], told["version"], told["evaluated"]) == (NAME, "1", True)
    assert server.predictions(served.TEXTS[:1])[1] == "1"


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        ({"inputs": ["a"] * 41}, {}, 413, "41 records"),
        ({"inputs": ["a" * 30_000]}, {}, 413, "larger than 20000 bytes"),
        (b"{", {}, 400, "no JSON"),
        ({"inputs": ["good", None]}, {}, 400, "input 2"),
        ({"inputs": ["good", "  "]}, {}, 400, "input 2"),
        ({"dataframe_split": {"columns": ["text", "b"], "data": [["a"]]}}, {}, 400, ""),
        (b"text\na\n", {"Content-Type": "text/csv"}, 415, "application/json"),
        ({"inputs": ["a"]}, {"Content-Type": "application/json; charset=latin-1"}, 415, "UTF-8"),
    ],
)
def test_what_is_refused_says_why_and_the_server_goes_on(server, body, headers, status, words):
    found, text, _ = server.ask("/invocations", body, **headers)
    assert found == status and words in json.loads(text)["error"], text
    assert server.predictions(served.TEXTS[:2])[0][1]["label"]


def test_a_bad_request_does_not_spoil_those_that_it_is_computed_with(server):
    bodies = [
        {"inputs": [""] if number % 4 == 0 else served.TEXTS[number : number + 1]} for number in range(12)
    ]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda body: server.ask("/invocations", body)[0], bodies))
    assert found == [400 if number % 4 == 0 else 200 for number in range(12)]


def test_a_body_that_does_not_come_takes_no_place_of_others(server):
    """Connections that send nothing more; a header may lie about the length, or say none."""
    lines = "POST /invocations HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 50"
    head = "\r\n".join([*lines, "", "{"]).encode()
    lines = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
    try:
        for line in lines:
            line.sendall(head)
        start = time.monotonic()
        assert server.predictions(served.TEXTS[:1]) and time.monotonic() - start < 5
    finally:
        for line in lines:
            line.close()


def test_more_than_may_wait_are_told_to_come_again(server):
    with ThreadPoolExecutor(60) as pool:
        found = list(pool.map(lambda _: server.ask("/invocations", {"inputs": served.TEXTS}), range(120)))
    assert {status for status, *_ in found} == {200, 503}
    assert all(headers["retry-after"] == "1" for status, _, headers in found if status == 503)
    assert server.predictions(served.TEXTS[:1])


def test_a_model_that_dies_is_started_anew_and_its_requests_wait(server):
    child = server.model()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(server.predictions, served.TEXTS[:3]) for _ in range(4)]
        child.kill()
        asked += [pool.submit(server.predictions, served.TEXTS[:3]) for _ in range(4)]
        answers = [one.result()[0] for one in asked]
    for one in answers:  # computed in batches of other sizes, so to a few bits
        assert [text["label"] for text in one] == [text["label"] for text in answers[0]]
        scores = [text["score"] for text in answers[0]]
        assert [text["score"] for text in one] == pytest.approx(scores, 1e-4)
    assert "by signal 9" in server.told()
