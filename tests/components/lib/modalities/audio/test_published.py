"""Published weights of every speech family: features are those of `transformers`, whatever the batch."""

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel

from components.lib import tasks
from components.lib.modalities.audio import recordings, trunk
from components.lib.modalities.audio.labelled import Reader
from components.lib.models.branch import pooled
from components.lib.storage.store import Store
from components.preflight.public_weights.keeping import obtain
from tests.made import published

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched")  # of torch, about WavLM's own masks
LENGTHS = (4000, 2500, 4000)


@pytest.mark.parametrize("kind", published.AUDIO)
def test_features_are_those_of_transformers(tmp_path, kind):
    hub, store = published.audio(tmp_path / "hub", kind), Store(str(tmp_path / "store"))
    manifest, reused = obtain(store, f"{hub}/", "audio")
    assert not reused and obtain(store, f"{hub}/", "audio") == (manifest, True)
    assert manifest.facts["layers"] == 2 and manifest.facts["rate"] == 16_000
    folder = store.open_folder(manifest, "model/")
    ours, theirs, reader = (
        trunk.load(folder).eval(),
        AutoModel.from_pretrained(hub).eval(),
        Reader.open(folder),
    )
    generator = np.random.default_rng(0)
    waves = [(9000 * generator.standard_normal(n)).clip(-32768, 32767).astype(np.int16) for n in LENGTHS]
    files = [recordings.encoded(wave, 16_000) for wave in waves]
    extractor = AutoFeatureExtractor.from_pretrained(hub)
    with torch.no_grad():
        for file, wave in zip(files, waves, strict=True):
            given = reader.tensors([file])
            values = extractor([wave / 32768], sampling_rate=16_000, return_tensors="pt")[
                "input_values"
            ].float()
            torch.testing.assert_close(given["input_values"], values, atol=1e-4, rtol=1e-3)
            hidden = theirs(given["input_values"]).last_hidden_state
            found = ours.encode(ours.embed(given["input_values"])[0], None)
            torch.testing.assert_close(found, hidden, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(pooled(ours.model, given), hidden.mean(dim=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert-large"])
def test_what_a_branch_answers_does_not_depend_on_the_other_clips(tmp_path, kind):
    """A group norm sees the padding: there, clips of one length are read together."""
    hub, store = published.audio(tmp_path / "hub", kind), Store(str(tmp_path / "store"))
    folder = store.open_folder(obtain(store, f"{hub}/", "audio")[0], "model/")
    task, reader = tasks.load("audio_classification"), Reader.open(folder)
    model = task.model(trunk.load(folder).model.config, ["a", "b"]).eval()
    tone = [np.rint(9000 * np.sin(np.arange(n) / 9)).astype(np.int16) for n in LENGTHS]
    files = [recordings.encoded(wave, 16_000) for wave in tone]
    together = task.answer(model, reader, {"audio": files})
    alone = [task.answer(model, reader, {"audio": [file]})[0] for file in files]
    for one, other in zip(together, alone, strict=True):
        assert one["label"] == other["label"] and one["score"] == pytest.approx(other["score"], abs=1e-6)
