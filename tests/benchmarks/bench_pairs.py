"""How fast CLIP's pre-training is beside open_clip's loop, at equal towers, batch, augmentation, precision.

    python -m tests.benchmarks.bench_pairs

By CPU-seconds of one thread, in turns. The peer is what open_clip's training does in one process: a data set
that decodes a file and tokenizes its caption (padded to the context length) when it is asked, a DataLoader
without workers, `ClipLoss`, AdamW, the temperature clamped after each step. open_clip itself asks for
torchvision, which does not go with the pinned torch: its `loss.py` is taken alone, where OPEN_CLIP names the
folder of its package, and else the same two cross-entropies.
"""

import importlib.util
import math
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from components.lib.core.settings import from_dict
from components.lib.data import images
from components.lib.engine.optimization import Schedule
from components.lib.engine.precision import autocast
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image import samples as image
from components.lib.modalities.pairs.samples import Pairs
from components.lib.modalities.pairs.settings import Pretraining
from components.lib.modalities.text import samples as text
from components.lib.objectives.clip import Config, Objective
from tests.benchmarks.history import record, sized
from tests.benchmarks.turns import PRECISION, run_of, seconds, spread, turns
from tests.made.in_memory import SPECIAL, Arrays, Documents

STEPS, ROUNDS, BATCH, COUNT = sized((10, 3, 256, 2048), (2, 1, 16, 64))  # of a turn; pairs
SIDE, STORED, CONTEXT, VOCABULARY = (
    32,
    64,
    32,
    2000,
)  # pixels of the towers, of files; tokens of a padded caption
RATE = 1e-3
TRUNK = {  # of the preset pairs-clip; crops as open_clip has them
    "image": {"architecture": "cnn", "size": "micro", "crop": 0.9, "flip": 0.0, "jitter": 0.0, "grey": 0.0},
    "text": {"architecture": "bert", "size": "micro", "sequence_length": CONTEXT},
    "width": 128,
}


def made() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noise as pictures, and captions of 2 to 12 tokens, as alt texts mostly are."""
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (COUNT, STORED, STORED, 3), dtype=np.uint8)
    return list(pictures), [generator.integers(5, VOCABULARY, n) for n in generator.integers(2, 13, COUNT)]


def samples() -> Pairs:
    """What tokenization leaves: arrays of one size, and token ids."""
    pictures, captions = made()
    config = from_dict(Pretraining, TRUNK)
    small = np.stack([np.asarray(Image.fromarray(one).resize((SIDE, SIDE))) for one in pictures])
    words = text.samples(config.text, Documents(captions), {"special": SPECIAL, "vocab_size": VOCABULARY})
    ones = np.ones(COUNT, np.int64)
    return Pairs(config, image.Images(config.image, Arrays(small)), words, ones, COUNT)


def clip_loss() -> Any:
    """open_clip's, by its file alone; or its formula."""
    folder = os.environ.get("OPEN_CLIP", "")
    if folder:
        spec = importlib.util.spec_from_file_location("open_clip_loss", Path(folder) / "loss.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.ClipLoss()

    def loss(images: Any, texts: Any, scale: Any) -> Any:
        labels, logits = torch.arange(len(images)), scale * images @ texts.T
        return (
            nn.functional.cross_entropy(logits, labels) + nn.functional.cross_entropy(logits.T, labels)
        ) / 2

    return loss


class Ours:
    """A trunk in training by our engine: `turn` makes some steps and answers the CPU-seconds."""

    def __init__(self) -> None:
        self.samples = samples()
        torch.manual_seed(0)
        self.model = WeightedSum({"clip": Objective(Config(), self.samples.trunk())}, {"clip": 1.0})

    def turn(self) -> float:
        """Trains from the weights that it has."""
        run = run_of(self.model, self.samples, Schedule("cosine", RATE, STEPS, 0.05), BATCH)
        return seconds(run.train, time.process_time)


class Files(torch.utils.data.Dataset):
    """Files with captions, decoded, cropped, resized and padded one by one."""

    def __init__(self) -> None:
        pictures, self.captions = made()
        self.files = [images.png(one) for one in pictures]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Any:
        picture = Image.fromarray(images.decode(self.files[number]))
        side = STORED * math.sqrt(np.random.uniform(0.9, 1.0))  # as torchvision draws
        left, top = np.random.uniform(0, STORED - side, 2)
        box = (left, top, left + side, top + side)
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)
        pixels = torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)
        ids = torch.zeros(CONTEXT, dtype=torch.int64)
        ids[: len(self.captions[number]) + 2] = torch.tensor([2, *self.captions[number], 3])
        return (pixels - 0.5) / 0.25, ids


class Peer:
    """open_clip's loop at the same towers."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = samples().trunk().model.train()
        from transformers import AutoModel

        for name in ("image", "text"):  # as `transformers` runs them, not packed
            plain = AutoModel.from_config(self.model.config.tower(name))
            setattr(self.model, name, plain.train())
        self.loss, self.files = clip_loss(), Files()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), RATE, (0.9, 0.98), 1e-6, 0.2)

    def turn(self) -> float:
        """Some steps; answers the CPU-seconds."""
        loader = torch.utils.data.DataLoader(self.files, BATCH, shuffle=True, drop_last=True)
        return seconds(partial(self._steps, loader), time.process_time)

    def _steps(self, loader: Any) -> None:
        done = 0
        while done < STEPS:
            for pixels, ids in loader:
                self.optimizer.zero_grad()
                with autocast(PRECISION, torch.device("cpu")):
                    pictures = self.model.images(pixel_values=pixels)
                    words = self.model.texts(input_ids=ids, attention_mask=(ids > 0).long())
                    total = self.loss(pictures, words, self.model.scale.exp())
                total.backward()
                self.optimizer.step()
                with torch.no_grad():
                    self.model.scale.clamp_(0, math.log(100))
                done += 1
                if done == STEPS:
                    return


def main() -> None:
    """Prints and records pairs a CPU-second of both sides."""
    torch.set_num_threads(1)
    taken = turns({"ours": Ours().turn, "open_clip": Peer().turn}, ROUNDS)
    figures: dict[str, Any] = {"precision": PRECISION, "torch": torch.__version__}
    figures |= {
        f"pairs_per_cpu_second_{name}": float(np.median(STEPS * BATCH / t)) for name, t in taken.items()
    }
    figures |= {f"times_open_clip_{k}": v for k, v in spread(taken["open_clip"] / taken["ours"]).items()}
    figures["loss"] = "open_clip's file" if os.environ.get("OPEN_CLIP") else "its formula"
    for name, value in figures.items():
        print(f"{name:40} {value:.4g}" if isinstance(value, float) else f"{name:40} {value}")
    record("pairs", figures)


if __name__ == "__main__":
    main()
