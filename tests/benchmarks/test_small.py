"""Every benchmark runs: with SMALL=1, which records nothing, on made-up files like those that it names."""

import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.architecture.imports import ROOT
from tests.benchmarks.history import FILE
from tests.made import published
from tests.made.corpora import topics
from tests.made.in_memory import digits

BENCHMARKS = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))


def packed(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def fashion(folder: Path) -> None:
    """Digits of 28 pixels as IDX files."""
    images, classes = digits()
    images = np.pad(images[:300, ..., 0], ((0, 0), (6, 6), (6, 6)))
    for split, part in (("train", slice(200)), ("t10k", slice(200, 300))):
        for kind, array in (("images-idx3", images[part]), ("labels-idx1", classes[part].astype(np.uint8))):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (folder / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))


def tasks(folder: Path) -> None:
    """Intents, entities and masks in the layouts of their archives."""
    rows = {split: topics(120, seed) for seed, split in enumerate(("train", "test"))}
    csv = {
        split: "text,category\n" + "".join(f"{text},{topic}\n" for topic, text in rows[split])
        for split in rows
    }
    packed(
        folder / "polyai.tar.gz", {f"x/banking_data/{name}.csv": text.encode() for name, text in csv.items()}
    )
    names = {"train": "wnut17train.conll", "test": "emerging.test.annotated"}
    conll = {
        names[split]: "\n".join(
            "".join(f"{word}\t{'B-x' if i % 9 == 0 else 'O'}\n" for i, word in enumerate(text.split()))
            for _, text in rows[split]
        )
        for split in rows
    }
    packed(folder / "wnut17.tar.gz", {f"x/{name}": text.encode() for name, text in conll.items()})
    generator = np.random.default_rng(0)
    masks = np.kron(generator.integers(0, 2, (400, 8, 8)), np.ones((8, 8))).astype(np.uint8)
    images = masks[..., None] * 150 + generator.integers(0, 100, (400, 64, 64, 3))
    np.savez_compressed(folder / "dsb2018_fluor256.npz", images=images.astype(np.uint8), masks=masks)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where benchmarks find their data."""
    folder = tmp_path_factory.mktemp("data")
    fashion(folder)
    tasks(folder)
    published.text(folder / "weights", "bert")
    return {**os.environ, "SMALL": "1", "TRUNKLINE_BENCH_DATA": str(folder)}


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_and_records_nothing(environment, name):
    before = FILE.read_bytes()
    command = [sys.executable, "-m", f"tests.benchmarks.{name}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # FSDD's recordings are not made up here: the preset audio-smoke runs the same graph in small
    assert set(re.findall(r"skipped (\w+)", done.stdout.lower())) <= {"fsdd"}
    assert FILE.read_bytes() == before
