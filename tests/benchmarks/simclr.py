"""SimCLR on Fashion-MNIST twice: by our engine, and as lightly's examples do it.

Both sides train the same network (SmallCnn `micro`: 32-64-128-256) with the same two-layer head without
batch norm, batch, views (crop, flip, brightness, contrast), NT-Xent, AdamW, cosine and precision. lightly's
side has PIL images, `SimCLRTransform`, a DataLoader, `SimCLRProjectionHead` and `NTXentLoss`.

lightly needs torchvision, which does not go with the pinned torch: both sides run in an environment of their
own, which is no part of the project:

    python3.11 -m venv V && V/bin/pip install torch==2.14.1 torchvision==0.29.1 lightly==1.6.0 kornia \
        "transformers>=5.23,<5.24" boto3 psutil pyyaml pyarrow scikit-learn scipy
    V/bin/python -m tests.benchmarks.bench_images
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import nn

from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.precision import autocast, resolve
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining
from components.lib.objectives import contrastive
from tests.benchmarks.pretext import ALONE, shards

BATCH, RATE, TEMPERATURE, CROP, JITTER = 256, 4e-3, 0.1, 0.3, 0.5
BETAS, DECAY, CLIP, WARMUP = (0.9, 0.98), 0.01, 1.0, 0.05
PRECISION = resolve("auto", ALONE.device)
INSTALLED = importlib.util.find_spec("lightly") is not None
Side = tuple[Any, Callable[[int], float]]  # the trunk; trains it for some steps, and answers the seconds


def images() -> Images:
    """60,000 images and their views."""
    return Images(Pretraining(size="micro", crop=CROP, jitter=JITTER, grey=0.0), shards("fashion"))


def ours(seed: int = 0, precision: str = PRECISION) -> Side:
    """Our objective in our engine."""
    samples = images()
    torch.manual_seed(seed)
    objective = contrastive.Objective(contrastive.Config(temperature=TEMPERATURE), samples.trunk())
    model = WeightedSum({"contrastive": objective}, {"contrastive": 1.0})

    def turn(steps: int) -> float:
        plan = Plan(Schedule("cosine", RATE, steps, WARMUP), precision, quiet=True, report_every=10**9)
        start = time.perf_counter()
        Run(model, samples, Order(len(samples), BATCH, seed), plan, ALONE).train()
        return time.perf_counter() - start

    return objective.trunk, turn


class Pictures(torch.utils.data.Dataset):
    """Images of Pillow, transformed one by one, as torchvision's data sets give them."""

    def __init__(self, samples: Images, transform: Any) -> None:
        self.arrays, self.transform = samples.shards.images[..., 0], transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, number: int) -> Any:
        return self.transform(Image.fromarray(self.arrays[number]))


def theirs(seed: int = 0, precision: str = PRECISION, workers: int = 0, rate: float = RATE) -> Side:
    """The same with lightly; its workers start before the time is taken, and end after it with the turn."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    samples = images()
    torch.manual_seed(seed)
    trunk = samples.trunk()
    head = SimCLRProjectionHead(trunk.width, trunk.width, 128, batch_norm=False)
    criterion, loader = NTXentLoss(temperature=TEMPERATURE), _loader(samples, workers)
    parameters = [*trunk.parameters(), *head.parameters()]

    def turn(steps: int) -> float:
        optimizer = torch.optim.AdamW(parameters, rate, BETAS, weight_decay=DECAY, fused=True)
        schedule, first = Schedule("cosine", rate, steps, WARMUP), 4 * workers
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        start = time.perf_counter()
        for step, views in zip(range(-first, steps), batches, strict=False):
            if step == 0:
                start = time.perf_counter()
            optimizer.param_groups[0]["lr"] = schedule.rate(max(step, 0))
            with autocast(precision, ALONE.device):
                loss = criterion(*(head(trunk.pool(trunk.read(view))) for view in views))
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            optimizer.zero_grad()
        return time.perf_counter() - start

    return trunk, turn


def _loader(samples: Images, workers: int) -> Any:
    from lightly.transforms import SimCLRTransform

    frame = {"mean": list(samples.frame.mean), "std": list(samples.frame.std)}
    view = SimCLRTransform(
        28, cj_strength=JITTER, min_scale=CROP, random_gray_scale=0.0, gaussian_blur=0.0, normalize=frame
    )
    pictures = Pictures(samples, view)
    return torch.utils.data.DataLoader(pictures, BATCH, shuffle=True, drop_last=True, num_workers=workers)
