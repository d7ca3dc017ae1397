"""What a published checkpoint of a speech model brings besides weights: sampling rate and normalisation.

Read as data where there is no torch, from the file of feature extractors of `transformers`.
"""

from __future__ import annotations

from typing import Any

from components.lib.core.errors import DataError
from components.lib.modalities.audio import PUBLISHED
from components.lib.modalities.audio.processor import PROCESSOR, Processor


def adopt(checkpoint: Any, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is added to its settings, and the facts of it.

    Raises:
        DataError: if how recordings become its input is not told, or cannot be done.
    """
    values, config = checkpoint.json(PROCESSOR), checkpoint.config
    if not isinstance(values, dict):
        fix = "AutoFeatureExtractor.from_pretrained(...).save_pretrained(folder) writes one: name that folder"
        raise DataError(f"the checkpoint has no {PROCESSOR}", where=reference, fix=fix)
    rate = values.get("sampling_rate", 16_000)
    wrong = "" if isinstance(rate, int) and 4_000 <= rate <= 48_000 else f"sampling_rate {rate!r}"
    wrong = wrong or ("" if values.get("feature_size", 1) == 1 else f"feature_size {values['feature_size']}")
    if wrong:
        what, expected = (
            "recordings cannot be brought to this checkpoint's input",
            "one channel of 4 to 48 kHz",
        )
        raise DataError(what, where=reference, found=wrong, expected=expected)
    padded = config.get("feat_extract_norm", "group") != "group"
    processor = Processor(rate, bool(values.get("do_normalize", True)), padded)
    facts = {
        "capabilities": list(PUBLISHED[checkpoint.model_type]),
        "head": False,
        "layers": int(config.get("num_hidden_layers", 12)),
        "rate": rate,
    }
    return {"apply_spec_augment": False, "files": {PROCESSOR: processor.file()}}, facts
