"""Settings of each stage that only texts have."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.settings import setting

ARCHITECTURES = ("bert", "modernbert", "gpt2", "llama")
SIZES = ("nano", "micro", "tiny", "mini", "small", "medium", "base", "large")


@dataclass(frozen=True)
class Pretraining:
    """How text becomes samples, and which trunk reads it."""

    architecture: str = setting("modernbert", "family of transformers", choices=ARCHITECTURES)
    size: str = setting("tiny", "layers and width, by name", choices=SIZES)
    sequence_length: int = setting(128, "tokens of a row, bos and eos included", minimum=8, maximum=32768)
    unit: str = setting("chunk", "a sample is a chunk that fits a row, or a whole document",
                        choices=("chunk", "document"))  # fmt: skip
    crop: float = setting(0.6, "largest share of a document that one of several views shows",
                          minimum=0.05, maximum=1.0)  # fmt: skip
    dropout: float = setting(0.0, "of hidden states and attention", minimum=0.0, maximum=0.9)
