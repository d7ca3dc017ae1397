"""Images at one size: shards, channels, mean and deviation."""

import numpy as np
import pytest

from components.ingestion.config import configured as ingestion
from components.ingestion.run import run as ingest
from components.lib.core.errors import ConfigError
from components.lib.data import images
from components.lib.modalities.image.canvas import PROCESSOR, Canvas
from components.lib.modalities.image.pixels import PixelShards
from components.lib.storage import artifacts
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.tokenization.config import configured
from components.tokenization.run import run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    context = Context(Store(str(folder / "store")))
    settings = {"modality": "image", "sources": ["sample:shapes/test"], "workers": 1, "validation": 0.2}
    ingest(ingestion(settings), context, corpus=folder / "corpus.json", card=folder / "card.html")
    return folder, context


def tokenized(place, **settings):
    folder, context = place
    config = configured({"modality": "image", "height": 12, "width": 10, **settings})
    return run(config, context, corpus=folder / "corpus.json", tokens=folder / "tokens.json")


def corpus_images(place, split):
    from pyarrow import parquet

    folder, context = place
    corpus = artifacts.read(folder / "corpus.json")
    for name in corpus.names(f"{split}-", ".parquet"):
        yield from parquet.read_table(context.store.open(corpus, name))["image"].to_pylist()


@pytest.mark.parametrize("settings", [{}, {"shard_bytes": 5000, "workers": 3}, {"channels": 3, "fit": "pad"}])
def test_shards_hold_the_corpus_in_its_order(place, settings):
    manifest = tokenized(place, **settings)
    canvas = Canvas(12, 10, settings.get("channels", 1), settings.get("fit", "crop"))
    for split in ("train", "validation"):
        shards = PixelShards(place[1].store, manifest, split)
        expected = np.stack([canvas.pixels(images.decode(data)) for data in corpus_images(place, split)])
        assert (shards.gather(np.arange(len(shards))) == expected).all()
        assert manifest.facts["images"][split] == len(expected)
        if split == "train":
            assert np.allclose(shards.mean, (expected / 255).mean((0, 1, 2)), atol=1e-6)
            assert np.allclose(shards.std, (expected / 255).std((0, 1, 2)), atol=1e-6)
    assert (len(manifest.names("train-")) > 1) == ("shard_bytes" in settings)


def test_the_canvas_is_kept_for_the_trunk(place):
    manifest = tokenized(place)
    canvas = Canvas.open(place[1].store.open_folder(manifest, "tokenizer/"))
    assert (canvas.height, canvas.width, canvas.channels) == (12, 10, 1)
    assert list(canvas.mean) == manifest.facts["mean"] and canvas.probes() == manifest.facts["probes"]


def test_a_given_canvas_is_kept_with_its_statistics(place, tmp_path):
    given = Canvas(9, 14, 3, "pad", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    given.save(tmp_path)
    manifest = tokenized(place, canvas=str(tmp_path / PROCESSOR))
    assert Canvas.open(place[1].store.open_folder(manifest, "tokenizer/")) == given
    shards = PixelShards(place[1].store, manifest, "validation")
    first = next(corpus_images(place, "validation"))
    assert (shards.gather(np.array([0])) == given.pixels(images.decode(first))).all()
    assert np.allclose(shards.std, given.std)
    with pytest.raises(ConfigError, match="cannot be read"):
        tokenized(place, canvas=str(tmp_path / "none.json"))
