"""The pretraining stage: killed and run again it ends with the same bytes, on any number of processes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.lib.core.errors import ConfigError, IntegrityError, Interrupted
from components.lib.core.settings import to_dict
from components.lib.storage import artifacts
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining.config import Config
from components.pretraining.run import run
from tests.made import corpora

TINY = Config(
    trunk={
        "architecture": "modernbert",
        "size": "nano",
        "sequence_length": 32,
        "unit": "document",
        "dropout": 0.1,
    },
    objective={"contrastive": {"projection": 16}, "masked_lm": {"weight": 0.5}},
    steps=60,
    global_batch=16,
    learning_rate=3e-3,
    evaluate_every=20,
    checkpoint_every=5,
    threads=1,
)
SCRIPT = """
import json, sys
from pathlib import Path
from components.lib.core.settings import from_dict
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining.config import Config
from components.pretraining.run import run
job = json.loads(sys.argv[1])
context = Context(Store(job["store"]), stage="pretraining")
run(from_dict(Config, job["config"]), context, tokens=Path(job["tokens"]), trunk=Path(job["trunk"]))
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    corpora.topic_tokens(folder)
    return folder


def arguments(prepared: Path, store: Path, config: Config) -> list[str]:
    """Starts the stage in a process of its own, on a copy of the store that holds only the tokens."""
    if not store.exists():
        shutil.copytree(prepared / "store" / "tokenization", store / "tokenization")
    job = {
        "config": to_dict(config),
        "store": str(store),
        "tokens": str(prepared / "tokens.json"),
        "trunk": str(store.with_suffix(".trunk.json")),
    }
    return [sys.executable, "-c", SCRIPT, json.dumps(job)]


def weights(store: Path) -> bytes:
    manifest = artifacts.read(store.with_suffix(".trunk.json"))
    return Store(str(store)).open(manifest, "model/model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def reference(prepared, tmp_path_factory) -> tuple[bytes, artifacts.Manifest]:
    store = tmp_path_factory.mktemp("reference") / "store"
    subprocess.run(arguments(prepared, store, TINY), check=True)
    return weights(store), artifacts.read(store.with_suffix(".trunk.json"))


@pytest.mark.parametrize("seed", range(2))
def test_sigkill_at_a_random_step_changes_no_bit(prepared, reference, tmp_path, seed):
    store = tmp_path / "store"
    command = arguments(prepared, store, TINY)
    generator = random.Random(seed)
    process = subprocess.Popen(command)
    wanted = generator.randrange(1, 10)  # checkpoints to wait for, of twelve
    deadline = time.monotonic() + 120
    while len(seen := list(store.glob("checkpoints/**/*.commit.json"))) == 0 or _latest(seen) < 5 * wanted:
        assert process.poll() is None and time.monotonic() < deadline, "it ended before it was killed"
        time.sleep(0.005)
    time.sleep(generator.random() * 0.1)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not store.with_suffix(".trunk.json").exists()
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "resumed after step" in finished.stdout
    assert weights(store) == reference[0]
    manifest = artifacts.read(store.with_suffix(".trunk.json"))
    assert manifest.digest == reference[1].digest
    assert not list(store.glob("checkpoints/**/*.json"))  # the result is handed over


def _latest(commits: list[Path]) -> int:
    return max(int(path.name.partition(".")[0]) for path in commits)


def test_two_processes_make_the_same_trunk(prepared, reference, tmp_path):
    store = tmp_path / "store"
    quick = replace(TINY, nproc=2, precision="fp32", trunk={**TINY.trunk, "dropout": 0.0})
    subprocess.run(arguments(prepared, store, quick), check=True)
    other = tmp_path / "alone"
    subprocess.run(arguments(prepared, other, replace(quick, nproc=1)), check=True)
    ours, theirs = (
        load_file(Store(str(s)).open(artifacts.read(s.with_suffix(".trunk.json")), "model/model.safetensors"))
        for s in (store, other)
    )
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=5e-3, rtol=1e-2)
    keys = [artifacts.read(s.with_suffix(".trunk.json")).key.digest for s in (store, other)]
    assert keys[0] == keys[1]  # how many processes is not part of what is trained


def test_sigterm_of_the_launcher_is_a_request_to_resume(prepared, tmp_path):
    store = tmp_path / "store"
    command = arguments(prepared, store, TINY)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(store.glob("checkpoints/**/*.commit.json")):
        assert process.poll() is None
        time.sleep(0.005)
    process.terminate()
    _, log = process.communicate(timeout=60)
    assert process.returncode != 0 and "told to stop" in log


def test_the_stage_is_a_no_op_the_second_time(prepared, tmp_path):
    context = Context(Store(str(prepared / "store")), stage="pretraining")
    quick = replace(TINY, steps=3)
    tokens, trunk = prepared / "tokens.json", tmp_path / "trunk.json"
    first = run(quick, context, tokens=tokens, trunk=trunk)
    second = run(quick, context, tokens=tokens, trunk=trunk)
    assert first == second and set(first) == {"train_loss", "validation_loss"}
    assert [output["reused"] for output in context.outputs] == [False, True]


def test_a_flipped_byte_in_the_tokens_is_found_before_training(prepared, tmp_path):
    store = tmp_path / "store"
    arguments(prepared, store, TINY)
    shard = next(store.glob("tokenization/*/*/train-00000.bin"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    context = Context(Store(str(store)), stage="pretraining")
    with pytest.raises(IntegrityError, match="not what was committed"):
        run(TINY, context, tokens=prepared / "tokens.json", trunk=tmp_path / "trunk.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": {"masked_ml": {}}}, "masked_lm"),
        ({"objective": {"masked_lm": {"ratio": 2.0}}}, "out of range"),
        ({"modality": "texts"}, "text"),
        ({"trunk": {"size": "huge"}}, "unknown value"),
    ],
)
def test_wrong_settings_are_told_before_training(prepared, tmp_path, change, message):
    context = Context(Store(str(prepared / "store")), stage="pretraining")
    with pytest.raises(ConfigError) as caught:
        run(replace(TINY, **change), context, tokens=prepared / "tokens.json", trunk=tmp_path / "t.json")
    assert message in str(caught.value)


def test_interrupted_is_the_code_that_means_resume():
    assert Interrupted("x").exit_code == 75 and Interrupted("x").retriable


def start(prepared: Path, tmp_path: Path, config: Config, name: str):
    """The stage in this process, on a store that all tests of a beginning share."""
    store = tmp_path / "store"
    if not store.exists():
        shutil.copytree(prepared / "store" / "tokenization", store / "tokenization")
    context = Context(Store(str(store)), stage="pretraining")
    run(config, context, tokens=prepared / "tokens.json", trunk=tmp_path / name)
    return artifacts.read(tmp_path / name), context.store


def test_a_trunk_starts_from_another(prepared, tmp_path):
    """Its weights are those of the other one, as a training that does not move them shows."""
    first, store = start(prepared, tmp_path, replace(TINY, steps=2), "first.json")
    still = replace(TINY, steps=1, learning_rate=0.0, start=first.reference)
    second, _ = start(prepared, tmp_path, still, "second.json")
    assert second.key.inputs["start"] == first.reference
    before, after = (load_file(store.open(one, "model/model.safetensors")) for one in (first, second))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_another_network_cannot_be_started_from(prepared, tmp_path):
    first, _ = start(prepared, tmp_path, replace(TINY, steps=1), "first.json")
    other = replace(TINY, trunk={**TINY.trunk, "size": "micro"}, start=first.reference)
    with pytest.raises(ConfigError, match="another network"):
        start(prepared, tmp_path, other, "second.json")


def test_a_start_and_its_replay_are_in_the_key_only_together(prepared, tmp_path):
    first, _ = start(prepared, tmp_path, replace(TINY, steps=1), "first.json")
    same, _ = start(prepared, tmp_path, replace(TINY, steps=1, replay=0.1), "same.json")
    assert same.key.digest == first.key.digest and "start" not in first.key.config
