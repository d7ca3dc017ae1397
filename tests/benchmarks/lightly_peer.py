"""SimCLR on grey pictures of 28 pixels as lightly's examples do it: the peer of `bench_images`.

It trains the network of our recipe (SmallCnn `micro`: 32-64-128-256) with the same two-layer head without
batch norm, batch, views (crop, flip, brightness, contrast), NT-Xent, AdamW, cosine and precision; from PIL
images, `SimCLRTransform`, a DataLoader, `SimCLRProjectionHead` and `NTXentLoss`.

lightly needs torchvision, which does not go with the pinned torch: both sides run in an environment of their
own, which is not part of the project:

    python3.11 -m venv V && V/bin/pip install torch==2.14.1 torchvision==0.29.1 lightly==1.6.0 kornia \
        "transformers>=5.23,<5.24" boto3 psutil pyyaml pyarrow scikit-learn scipy
    V/bin/python -m tests.benchmarks.bench_images
"""

import importlib.util
import itertools
import time
from typing import Any

import torch
from PIL import Image
from torch import nn

from components.lib.engine.distributed import ALONE
from components.lib.engine.optimization import Schedule
from components.lib.engine.precision import autocast
from components.lib.modalities.image.samples import Images

BETAS, DECAY, CLIP = (0.9, 0.98), 0.01, 1.0  # what our engine has
INSTALLED = importlib.util.find_spec("lightly") is not None


class Pictures(torch.utils.data.Dataset):
    """Images of Pillow, transformed one by one, as torchvision's data sets give them."""

    def __init__(self, samples: Images, transform: Any) -> None:
        self.arrays, self.transform = samples.shards.images[..., 0], transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, number: int) -> Any:
        return self.transform(Image.fromarray(self.arrays[number]))


class Peer:
    """A trunk in training: `turn` makes some steps and answers the seconds.

    Its workers start before the time is taken, and end after it with the turn.
    """

    def __init__(
        self, samples: Images, batch: int, rate: float, temperature: float, precision: str, workers: int = 0
    ) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead
        from lightly.transforms import SimCLRTransform

        self.rate, self.precision, self.workers = rate, precision, workers
        self.trunk = samples.trunk()
        self.head = SimCLRProjectionHead(self.trunk.width, self.trunk.width, 128, batch_norm=False)
        self.criterion, frame, strength = NTXentLoss(temperature=temperature), samples.frame, samples.strength
        self.parameters = [*self.trunk.parameters(), *self.head.parameters()]
        normal = {"mean": list(frame.mean), "std": list(frame.std)}
        kind = {"cj_strength": strength.jitter, "min_scale": strength.crop, "gaussian_blur": 0.0}
        view = SimCLRTransform(28, random_gray_scale=0.0, normalize=normal, **kind)
        options = {"shuffle": True, "drop_last": True, "num_workers": workers}
        self.loader = torch.utils.data.DataLoader(Pictures(samples, view), batch, **options)

    def turn(self, steps: int) -> float:
        """Trains from the weights that it has."""
        optimizer = torch.optim.AdamW(self.parameters, self.rate, BETAS, weight_decay=DECAY, fused=True)
        schedule = Schedule("cosine", self.rate, steps, 0.05)
        batches = itertools.chain.from_iterable(itertools.repeat(self.loader))
        start = time.perf_counter()
        for step, views in zip(range(-4 * self.workers, steps), batches, strict=False):
            if step == 0:
                start = time.perf_counter()
            optimizer.param_groups[0]["lr"] = schedule.rate(max(step, 0))
            with autocast(self.precision, ALONE.device):
                loss = self.criterion(*(self.head(self.trunk.pool(self.trunk.read(view))) for view in views))
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, CLIP)
            optimizer.step()
            optimizer.zero_grad()
        return time.perf_counter() - start
