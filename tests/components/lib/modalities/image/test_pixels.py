"""Shards of images, read as one array."""

import numpy as np
import pytest

from components.lib.core.errors import IntegrityError, InternalError
from components.lib.modalities.image.pixels import PixelShards
from components.lib.storage.artifacts import Key
from components.lib.storage.store import Store


def committed(store, *shards, **facts):
    with store.draft(Key("tokenization", 1, {"shards": len(shards), **facts})) as draft:
        for number, shard in enumerate(shards):
            np.save(draft.folder / f"train-{number:05d}.npy", shard)
            draft.add(f"train-{number:05d}.npy", len(shard))
        draft.facts = {
            "height": 4,
            "width": 3,
            "channels": 2,
            "mean": [0.5, 0.25],
            "std": [1.0, 2.0],
            **facts,
        }
        return draft.commit()


@pytest.mark.parametrize("cuts", [[], [7], [1, 2, 19]])
def test_images_are_gathered_across_shards_in_the_order_asked(tmp_path, cuts):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 3, 2), dtype=np.uint8)
    store = Store(str(tmp_path))
    shards = PixelShards(store, committed(store, *np.split(images, cuts)), "train")
    asked = np.array([19, 0, 7, 7, 2], np.int64)
    assert len(shards) == 20 and (shards.gather(asked) == images[asked]).all()
    assert shards.gather(asked[:0]).shape == (0, 4, 3, 2)
    assert shards.mean.dtype == shards.std.dtype == np.float32 and shards.std.tolist() == [1.0, 2.0]
    for wrong in (-1, 20):
        with pytest.raises(InternalError):
            shards.gather(np.array([0, wrong]))


def test_a_shard_of_another_size_is_refused(tmp_path):
    store = Store(str(tmp_path))
    manifest = committed(store, np.zeros((2, 4, 3, 2), np.uint8), width=5)
    with pytest.raises(IntegrityError, match="other images"):
        PixelShards(store, manifest, "train")


def test_older_images_stand_behind_the_new_ones(tmp_path):
    store, generator = Store(str(tmp_path)), np.random.default_rng(0)
    new, old = (generator.integers(0, 256, (count, 4, 3, 2), dtype=np.uint8) for count in (3, 5))
    older = committed(store, old[:4], old[4:])
    shards = PixelShards(store, committed(store, new), "train", older)
    assert (len(shards), shards.fresh) == (8, 3)
    assert (shards.gather(np.arange(8)) == np.concatenate([new, old])).all()
