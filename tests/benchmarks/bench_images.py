"""SimCLR on Fashion-MNIST: our engine against lightly's example path, turn by turn in one process.

Both sides train the same network (SmallCnn, `micro`: 32-64-128-256) with the same two-layer head without
batch norm, batch, views (crop, flip, brightness and contrast), AdamW, cosine and threads. lightly's side is
its example: PIL images, `SimCLRTransform`, a DataLoader with workers, `NTXentLoss`.

lightly needs torchvision, which does not go with the pinned torch. So both sides run in an environment of
their own; without lightly, only our side is measured:

    python3.11 -m venv V && V/bin/pip install torch==2.14.1 torchvision==0.29.1 lightly kornia \
        "transformers>=5.23,<5.24" boto3 psutil pyyaml pyarrow scikit-learn scipy
    FASHION=/usr/share/datasets/fashion-mnist V/bin/python -m tests.benchmarks.bench_images [probe]

Data: IDX files of Debian's dataset-fashion-mnist. With `probe`: frozen-probe accuracy at equal CPU-seconds.
"""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn

from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image import Config, Images
from components.lib.vision.augmentation import apply, recipe
from components.pretraining.objectives import contrastive
from tests.benchmarks.history import record
from tests.components.pretraining.images import Arrays

FOLDER = Path(os.environ.get("FASHION", "/usr/share/datasets/fashion-mnist"))
BATCH, STEPS, ROUNDS, RATE, TEMPERATURE = 256, 6, 3, 4e-3, 0.1
CROP, JITTER = 0.3, 0.5
UNLABELLED, TEST, LABELS, BUDGET, SEEDS = 20_000, 5_000, 500, 20.0, 5  # budget: CPU-seconds of a training
WORKERS = os.cpu_count() or 1  # what DataLoader suggests; lightly's examples have 8
ALONE = World(0, 1, torch.device("cpu"))


def idx(name: str) -> np.ndarray:
    """An array of one of LeCun's IDX files."""
    data = gzip.decompress((FOLDER / f"{name}.gz").read_bytes())
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def images() -> Images:
    """Unlabelled images and their views."""
    pixels = idx("train-images-idx3-ubyte")[:UNLABELLED, ..., None]
    return Images(Config(size="micro", crop=CROP, jitter=JITTER, grey=0.0), Arrays(pixels))


def cpu() -> float:
    """CPU-seconds of this process and of its workers that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def ours(seed: int = 0) -> tuple[nn.Module, Any]:
    """The trunk, and a function that trains it for some steps."""
    samples = images()
    torch.manual_seed(seed)
    objective = contrastive.Objective(contrastive.Config(temperature=TEMPERATURE), samples.trunk())
    model = WeightedSum({"contrastive": objective}, {"contrastive": 1.0})

    def turn(steps: int) -> None:
        plan = Plan(Schedule("cosine", RATE, steps, 0.05), quiet=True, report_every=10**9)
        Run(model, samples, Order(len(samples), BATCH, seed), plan, ALONE).train()

    return objective.trunk, turn


class Pictures(torch.utils.data.Dataset):
    """Images of Pillow, transformed one by one, as torchvision's data sets give them."""

    def __init__(self, samples: Images, transform: Any) -> None:
        self.arrays, self.transform = samples.shards.images[..., 0], transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, number: int) -> Any:
        return self.transform(Image.fromarray(self.arrays[number]))


def theirs(workers: int, seed: int = 0) -> tuple[nn.Module, Any]:
    """The same with lightly's transform, loss, head and a DataLoader."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    samples = images()
    frame = {"mean": list(samples.frame.mean), "std": list(samples.frame.std)}
    view = SimCLRTransform(
        28, cj_strength=JITTER, min_scale=CROP, random_gray_scale=0.0, gaussian_blur=0.0, normalize=frame
    )

    torch.manual_seed(seed)
    trunk = samples.trunk()
    head = SimCLRProjectionHead(trunk.width, trunk.width, 128, batch_norm=False)
    criterion = NTXentLoss(temperature=TEMPERATURE)
    loader = torch.utils.data.DataLoader(
        Pictures(samples, view),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

    def turn(steps: int) -> None:
        parameters = [*trunk.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(parameters, RATE, (0.9, 0.98), weight_decay=0.01)
        schedule = Schedule("cosine", RATE, steps, 0.05)
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        for step, (first, second) in zip(range(steps), batches, strict=False):
            optimizer.param_groups[0]["lr"] = schedule.rate(step)
            loss = criterion(*(head(trunk.pool(trunk.read(view))) for view in (first, second)))
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return trunk, turn


def timed(turn: Any, steps: int = STEPS) -> float:
    """Images a second."""
    start = time.perf_counter()
    turn(steps)
    return steps * BATCH / (time.perf_counter() - start)


def augmentation_share() -> float:
    """The share of a step that goes to augmentation, on one thread."""
    samples = images()
    draw = Draw(np.arange(BATCH, dtype=np.int64), np.zeros(BATCH, dtype=np.int64), 0)
    views = samples.views(draw, 2)
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        for view in views:
            recipe(samples.strength, draw, "view", 1)
            view.pixels()
        spent.append(time.perf_counter() - start)
    _, turn = ours()
    turn(2)
    return float(np.median(spent)) * timed(turn) / BATCH


def against_kornia() -> float:
    """How many times as fast as kornia the same augmentations are, colour images of 32 pixels."""
    import kornia.augmentation as kornia

    theirs = nn.Sequential(
        kornia.RandomResizedCrop((32, 32), scale=(CROP, 1.0)), kornia.RandomHorizontalFlip(),
        kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), kornia.RandomGrayscale(p=0.2),
    )  # fmt: skip
    batch = torch.rand(BATCH, 3, 32, 32)
    draw = Draw(np.arange(BATCH, dtype=np.int64), np.zeros(BATCH, dtype=np.int64), 0)
    strength = Images(Config(crop=CROP, jitter=JITTER), Arrays(np.zeros((1, 32, 32, 3), np.uint8))).strength
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(7):
        start = time.perf_counter()
        apply(batch, recipe(strength, draw, "v", 3))
        middle = time.perf_counter()
        theirs(batch)
        times[0].append(middle - start)
        times[1].append(time.perf_counter() - middle)
    return float(np.median(times[1]) / np.median(times[0]))


def probe(trunk: Any, seed: int) -> float:
    """Accuracy of a logistic regression on the frozen features of a few labelled images."""
    samples, labels = images(), idx("train-labels-idx1-ubyte")
    chosen = np.random.default_rng(seed).permutation(UNLABELLED)[:LABELS]
    test = idx("t10k-images-idx3-ubyte")[:TEST, ..., None]

    def features(pixels: np.ndarray) -> np.ndarray:
        shares = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            parts = [trunk.pool(trunk.read(samples.frame.normal(part))) for part in shares.split(1000)]
        return torch.cat(parts).numpy()

    trunk.eval()
    known, unknown = features(samples.shards.images[chosen]), features(test)
    mean, deviation = known.mean(0), known.std(0) + 1e-6
    head = LogisticRegression(C=0.05, max_iter=500).fit((known - mean) / deviation, labels[chosen])
    return float(head.score((unknown - mean) / deviation, idx("t10k-labels-idx1-ubyte")[:TEST]))


def trained(side: Any, seed: int) -> float:
    """The probe of a trunk that was trained for the budget, on one thread and without workers."""
    trunk, turn = side(seed)
    turn(2)
    start = time.process_time()
    turn(6)
    steps = max(4, int(BUDGET * 6 / (time.process_time() - start)))
    trunk, turn = side(seed)
    turn(steps)
    return probe(trunk, seed)


def equal_seconds() -> dict[str, float]:
    """The probe after equal CPU-seconds, and at random; the mean gain over lightly with its interval."""
    torch.set_num_threads(1)
    sides = {"ours": ours, "lightly": lambda seed: theirs(0, seed)}
    found = {name: np.array([trained(side, seed) for seed in range(SEEDS)]) for name, side in sides.items()}
    found["random"] = np.array([probe(ours(seed)[0], seed) for seed in range(SEEDS)])
    gain = found["ours"] - found["lightly"]
    half = 2.776 * gain.std(ddof=1) / SEEDS**0.5  # Student's t for 4 degrees of freedom
    means = {f"probe_{name}": float(values.mean()) for name, values in found.items()}
    return {**means, "gain": float(gain.mean()), "gain_low": float(gain.mean() - half), "budget": BUDGET}


def main() -> None:
    """Prints the figures and adds them to the history."""
    if not FOLDER.exists():
        print(f"skipped: no {FOLDER} (apt-get install dataset-fashion-mnist, or FASHION=...)")
        return
    figures: dict[str, float] = {"torch_threads": torch.get_num_threads()}
    _, mine = ours()
    mine(2)
    if importlib.util.find_spec("lightly"):
        other = theirs(WORKERS)[1]
        other(2)
        rates = np.array([[timed(turn) for turn in (mine, other)] for _ in range(ROUNDS)])
        figures |= {
            "images_per_second": float(np.median(rates[:, 0])),
            "times_lightly": float(np.median(rates[:, 0] / rates[:, 1])),
        }
        if "probe" in sys.argv:
            figures |= equal_seconds()
    else:
        figures["images_per_second"] = timed(mine)
    if importlib.util.find_spec("kornia"):
        figures["augmentation_times_kornia"] = against_kornia()
    torch.set_num_threads(1)
    figures["augmentation_share"] = augmentation_share()
    for name, value in figures.items():
        print(f"{name:32} {value:.4g}")
    record("images", figures)


if __name__ == "__main__":
    main()
