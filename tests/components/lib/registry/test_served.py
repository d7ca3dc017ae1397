"""What is served is what was measured: registered, loaded where nothing of ours is, asked over HTTP.

One process, which knows neither this project nor its packages, serves the champion of every trunk and every
task by MLflow's own server. Its answers are scored as evaluation scores, also to inputs far too long. The
cases are those of the contract suites: a modality or task that was added a minute ago is served as well.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from components.lib import compressions, modalities, tasks
from components.lib.compressions import Full, Records
from components.lib.core import plugins
from components.lib.models.branch import load_trunk, pooled
from components.lib.registry import tracking
from components.lib.registry.mlflow_model import TRUNK, Use, write
from components.lib.registry.registered_models import CHALLENGER, CHAMPION, Registry
from components.lib.storage.artifacts import sha256_of
from tests import made
from tests.architecture.imports import ROOT
from tests.components.lib.registry.answers import SCORED
from tests.fakes.mlflow_server import free_port

pytestmark = pytest.mark.long
TRUNKS = [(TRUNK, *pair) for pair in made.usual(())]
BRANCHES = [
    (name, *pair) for name in plugins.names(made.TASKS) for pair in made.usual(tasks.load(name).NEEDS)
]
COMPRESSED = [
    ("image_classification", "image", "vit", "distilled"),
    ("sequence_classification", "text", "bert", "onnx"),
    ("sequence_classification", "text", "modernbert", "int8"),
]
CASES = [*TRUNKS, *BRANCHES, *COMPRESSED]
MANY = 500  # records of a request
GROWTH = 1e9  # bytes that a server may take more than after its start: long recordings
CODE = """
import asyncio, base64, json, sys, mlflow, uvicorn
from fastapi import FastAPI
from mlflow.pyfunc.scoring_server import init
names, snippets, port = json.load(sys.stdin)
every = FastAPI()
for name in names:
    model = mlflow.pyfunc.load_model(f'models:/{name}@champion')
    assert model.metadata.signature
    if model.input_example is not None:
        assert len(model.predict(model.input_example)) == 1
    every.mount(f'/{name}', init(model))
for snippet in snippets:
    *lines, last = snippet.strip().splitlines()
    place = {}
    exec('\\n'.join(lines), place)
    assert len(eval(last, place)) == last.count(',') + 1, last
assert 'components' not in sys.modules
uvicorn.run(every, host='127.0.0.1', port=port, log_level='error')
"""


@dataclass
class Case:
    """A model that is served: its inputs, of several roles as tuples, and what evaluation knows of them."""

    kind: str
    modality: str
    architecture: str
    compression: str = ""
    branch: made.Branch | None = None
    inputs: list = field(default_factory=list)
    labels: list = field(default_factory=list)
    roles: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.modality}{self.compression and '-'}{self.compression}"

    def given(self, inputs: list) -> dict[str, list]:
        """Role -> values."""
        columns = [inputs] if len(self.roles) == 1 else map(list, zip(*inputs, strict=True))
        return dict(zip(self.roles, columns, strict=True))

    def sent(self, inputs: list) -> object:
        """As a client sends them: a list, or columns by name."""
        sent = made.of(self.modality).sent
        columns = {role: [sent(value) for value in values] for role, values in self.given(inputs).items()}
        named = len(Use.of(self.kind, self.modality).inputs) > 1
        return columns if named else columns[self.roles[0]]

    def make(self, registry: Registry, folder: Path) -> None:
        """Registers it as the champion, as promotion does."""
        source = made.trunk_folder(self.modality, self.architecture)
        records = made.records(self.modality, made.EXAMPLES, seed=1)
        records.append(made.of(self.modality).longer(records[0]))
        reader = modalities.load(self.modality, "labelled").Reader.open(source)
        kind = self.kind
        if kind == TRUNK:
            kind = modalities.load(self.modality).TASK
        else:
            self.branch = made.branch(kind, self.modality, self.architecture)
            if remember := getattr(self.branch.plugin, "remember", None):
                remember(self.branch.model, self.branch.samples)
            source = self.branch.save(self.branch.model, folder / "saved" / self.name)
            reader = self.branch.reader
            if self.compression:
                source, self.branch.model = compressed(self, folder / "compressed" / self.name, source)
        inputs, self.labels = made.labelled(kind, self.modality, reader, records)
        self.roles = [role for role in Use.of(self.kind, self.modality).inputs if role in inputs]
        self.roles = self.roles or list(inputs)  # of a bare trunk
        columns = [inputs[role] for role in self.roles]
        self.inputs = list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0]
        files = (path for path in source.rglob("*") if path.is_file())
        digests = {path.relative_to(source).as_posix(): sha256_of(path) for path in files}
        place = tracking.experiment(registry.client, self.kind)
        use, about = Use.of(self.kind, self.modality), {"experiment_id": place, "tags": {}, "card": "# card"}
        run = registry.client.create_run(place).info.run_id
        version = registry.register(
            self.name,
            f"made/{self.name}#0",
            run_id=run,
            **about,
            write=lambda target, model_id: write(
                source, digests, target, use=use, model_id=model_id, run_id=run, readme=""
            ),
        )
        for alias in (CHALLENGER, CHAMPION):
            registry.set_alias(version, alias)


def compressed(case: Case, target: Path, source: Path) -> tuple[Path, object]:
    """The folder of a variant, and the model that evaluation scores."""
    one, plugin = case.branch, plugins.load("components.lib.compressions", case.compression)
    records = Records(one.inputs, one.labels)
    target.mkdir(parents=True)
    one.reader.save(target)
    full = Full(one.plugin, source, one.plugin.load(source), one.reader, one.names, records, records)
    assert (
        plugin.make(full, plugin.Config(**({"steps": 2} if case.compression == "distilled" else {})), target)
        == ""
    )
    libraries = compressions.versions(vars(plugin))
    (target / compressions.FILE).write_text(json.dumps({"name": case.compression, "libraries": libraries}))
    return target, compressions.load(one.plugin, target)


class Server:
    """Every case behind one address."""

    def __init__(self, cases: dict[str, Case], process: subprocess.Popen, port: int) -> None:
        self.cases, self.process, self.port = cases, process, port

    def post(self, name: str, question: object) -> tuple[int, dict]:
        """The status and the answer."""
        url, head = f"http://127.0.0.1:{self.port}/{name}/invocations", {"Content-Type": "application/json"}
        try:
            asked = urllib.request.Request(url, json.dumps(question).encode(), head)
            with urllib.request.urlopen(asked, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ask(self, case: Case, inputs: list) -> list:
        """The answers to inputs."""
        status, answer = self.post(case.name, {"inputs": case.sent(inputs)})
        assert status == 200, answer
        return answer["predictions"]

    def memory(self, which: str = "VmHWM") -> int:
        """Bytes that the process takes, or took at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(rf"{which}:\s+(\d+)", status)[1])


def served(kind: str) -> list[str]:
    return [] if kind == TRUNK else tasks.served(kind)


def snippets(cases: dict[str, Case]) -> list[str]:
    """What cards and reports say of loading each model, and what the README says."""
    told = [modalities.snippet(case.modality, name, inputs=served(case.kind)) for name, case in cases.items()]
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(r"`(mlflow\.pyfunc\.load_model\(\"models:/[^\"]*\"\)\.predict\(.*?\))`", readme)
    text = next(case.name for case in cases.values() if case.modality == "text" and case.branch)
    assert shown, "the README shows how to ask a model"
    return told + [f"import mlflow\n{re.sub('models:/[^@]*', f'models:/{text}', one)}" for one in shown]


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_database):
    folder = tmp_path_factory.mktemp("served")
    uri = f"sqlite:///{folder}/mlflow.db"
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    registry, cases = Registry(uri), {}
    tracking.experiment(registry.client, "served")
    for case in (Case(*names) for names in CASES):
        case.make(registry, folder)
        cases[case.name] = case
    (folder / "picture.png").write_bytes(base64.b64decode(made.example("image")))
    (folder / "clip.wav").write_bytes(base64.b64decode(made.example("audio")))
    port, clean = free_port(), {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CODE],
        env={**clean, "MLFLOW_TRACKING_URI": uri},
        cwd=folder,
        text=True,
        stdin=subprocess.PIPE,
    )
    try:
        json.dump([list(cases), snippets(cases), port], process.stdin)
        process.stdin.close()
        end, found = time.monotonic() + 120, Server(cases, process, port)
        while time.monotonic() < end and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{next(iter(cases))}/ping", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        assert process.poll() is None, "the server ended"
        started = found.memory("VmRSS")
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # what loading took at most does not count
        yield found
        assert found.memory() - started < GROWTH
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("names", TRUNKS, ids=str)
def test_a_trunk_is_served_as_it_pools(server, names):
    case = server.cases[Case(*names).name]
    folder = made.trunk_folder(case.modality, case.architecture)
    reader = modalities.load(case.modality, "labelled").Reader.open(folder)
    with torch.no_grad():
        expected = pooled(load_trunk(folder), reader.tensors(case.inputs)).numpy()
    assert len(np.unique(expected, axis=0)) > 1
    many = [case.inputs[place % len(case.inputs)] for place in range(MANY)]
    for inputs, vectors in ((case.inputs, expected), (many, np.resize(expected, (MANY, expected.shape[1])))):
        np.testing.assert_allclose(server.ask(case, inputs), vectors, atol=1e-4)
    for value, vector in zip(case.inputs, expected, strict=True):
        np.testing.assert_allclose(server.ask(case, [value]), [vector], atol=1e-4)


@pytest.mark.parametrize("names", [*BRANCHES, *COMPRESSED], ids=str)
def test_a_branch_answers_as_it_was_evaluated(server, names):
    """Every example of the test set: all at once, in a batch of 500, one by one."""
    case = server.cases[Case(*names).name]
    one = case.branch
    assert one is not None
    samples = one.plugin.encode(one.reader, case.given(case.inputs), case.labels, one.names)
    evaluated = one.plugin.outcomes(one.model, samples, one.names)
    answers = server.ask(case, case.inputs)
    if case.compression == "int8":  # rounded to the scale of a batch, of which the server's are smaller
        np.testing.assert_allclose([one["score"] for one in answers], evaluated["confidence"], atol=0.02)
        return
    compare(SCORED[tuple(answers[0])](answers, samples, case, one.names), evaluated)
    many = [case.inputs[place % len(case.inputs)] for place in range(MANY)]
    every = [answers[place % len(answers)] for place in range(MANY)]
    alone = [server.ask(case, [value])[0] for value in case.inputs]
    for found, expected in ((server.ask(case, many), every), (alone, answers)):
        assert [close(answer) for answer in found] == [close(answer) for answer in expected]


def close(answer: dict) -> dict:
    """An answer whose numbers are rounded, wherever they stand in it."""
    text = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda number: f"{float(number[0]):.3f}", json.dumps(answer))
    return json.loads(text)


def compare(found: dict, evaluated: dict) -> None:
    for name, column in found.items():
        for value, expected in zip(column, evaluated[name], strict=True):
            np.testing.assert_allclose(value, expected, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("names", CASES, ids=str)
def test_what_is_no_input_is_refused_in_our_words(server, names):
    """One broken input refuses a request, and is named; the server goes on."""
    case = server.cases[Case(*names).name]
    if not isinstance(case.sent(case.inputs[:1]), dict):
        status, answer = server.post(case.name, {"inputs": []})
        assert status == 400 and "0 inputs" in answer["message"] and "stack_trace" not in answer, answer
    for broken in made.of(case.modality).BROKEN:
        good = case.sent(case.inputs[:1] * 2)
        column = good[case.roles[-1]] if isinstance(good, dict) else good
        column[1] = broken
        status, answer = server.post(case.name, {"inputs": good})
        assert status == 400 and "stack_trace" not in answer, answer
        assert "input 2" in answer["message"] and "Traceback" not in answer["message"], answer
    assert len(server.ask(case, case.inputs[:1])) == 1
