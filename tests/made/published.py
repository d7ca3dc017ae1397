"""Published checkpoints of every family in folders: tiny, with random weights, by `transformers`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel

WORDS = "the a of pump valve report list fails restart weights run new old late next sentence thing".split()
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "vocab_size": 40,
}
LLAMA = {**SIZES, "num_key_value_heads": 1}
TEXT = {
    "bert": SIZES,
    "roberta": {**SIZES, "max_position_embeddings": 66},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 64},
    "electra": {**SIZES, "embedding_size": 16},
    "mpnet": {**SIZES, "max_position_embeddings": 66},
    "modernbert": {**SIZES, "local_attention": 8, "global_attn_every_n_layers": 3},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 64},
    "llama": {**LLAMA, "head_dim": 16},
    "qwen2": {**LLAMA, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": {**LLAMA, "head_dim": 8},
}
SIDE = 32
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
IMAGE = {
    "vit": {**VIT, "intermediate_size": 48, "image_size": SIDE},
    "dinov2": {**VIT, "image_size": 48},  # which scales its positions to any size
    "resnet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"},
    "convnext": {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2},
}
CONVOLVED = {"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
SPEECH = {key: SIZES[key] for key in ("hidden_size", "num_attention_heads", "intermediate_size")}
SPEECH = {**SPEECH, **CONVOLVED, "num_hidden_layers": 2}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
AUDIO = {
    "wav2vec2": SPEECH,
    "wav2vec2-large": {**SPEECH, **STABLE},
    "hubert": SPEECH,
    "hubert-large": {**SPEECH, **STABLE, "feat_proj_layer_norm": False},
    "wavlm": SPEECH,
    "wavlm-large": {**SPEECH, **STABLE},
}
OFFSET = ("roberta", "mpnet")
CAUSAL = ("gpt2", "llama", "qwen2", "qwen3")
UNFRAMED = ("gpt2", "qwen2", "qwen3")  # their tokenizers put nothing around a text


def text(folder: Path, kind: str, auto: type = AutoModel, **settings: object) -> Path:
    """A checkpoint of a text family: config.json, safetensors, tokenizer.json."""
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if kind in OFFSET else []
    marks = ["<|endoftext|>"] if kind in UNFRAMED else marks
    marks = ["<unk>", "<|begin_of_text|>", "<|end_of_text|>"] if kind == "llama" else marks
    marks = marks or ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ids = {
        f"{role}_token_id": marks.index(name)
        for role, names in {
            "pad": ("[PAD]", "<pad>"),
            "bos": ("[CLS]", "<s>", "<|endoftext|>", "<|begin_of_text|>"),
            "eos": ("[SEP]", "</s>", "<|endoftext|>", "<|end_of_text|>"),
        }.items()
        for name in names
        if name in marks
    }
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, **TEXT[kind], **ids, **settings}
    if kind == "modernbert":
        sizes |= {"cls_token_id": 2, "sep_token_id": 3}
    model = auto.from_config(AutoConfig.for_model(kind, **sizes))  # type: ignore[attr-defined]
    with torch.no_grad():  # as a training leaves them: not 0 or 1
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    tokenizer(marks).save(str(folder / "tokenizer.json"))
    return folder


def image(folder: Path, kind: str) -> Path:
    """A checkpoint of an image family: config.json, safetensors, preprocessor_config.json."""
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **IMAGE[kind]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    processor = {
        "do_resize": True,
        "size": {"shortest_edge": 36},
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def audio(folder: Path, kind: str) -> Path:
    """A checkpoint of a speech family: config.json, safetensors, preprocessor_config.json."""
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind.partition("-")[0], **AUDIO[kind]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    model.save_pretrained(folder)
    values = json.loads((folder / "config.json").read_text())  # as published ones have them
    more = {"mask_channel_prob": 0.0, "freeze_feat_extract_train": True, "gradient_checkpointing": False}
    (folder / "config.json").write_text(json.dumps({**values, **more}))
    processor = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000}
    processor |= {"feature_size": 1, "do_normalize": True, "return_attention_mask": kind.endswith("large")}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def tokenizer(marks: list[str]) -> Tokenizer:
    """Whole words, framed as the family of these special tokens frames them."""
    unknown = next(name for name in ("[UNK]", "<unk>", "<|endoftext|>") if name in marks)
    vocabulary = {name: number for number, name in enumerate([*marks, *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unknown))
    made.add_special_tokens(marks)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    frames = {"[CLS]": "[CLS] $A [SEP]", "<s>": "<s> $A </s>", "<|begin_of_text|>": "<|begin_of_text|> $A"}
    for first, frame in frames.items():
        if first in marks:
            names = [name for name in frame.split() if name != "$A"]
            special = [(name, marks.index(name)) for name in names]
            made.post_processor = processors.TemplateProcessing(single=frame, special_tokens=special)
    return made


def sentence_transformer(folder: Path, mode: str, normalize: bool = True) -> None:
    """Adds how `sentence-transformers` pools."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] * normalize)]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    names = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    pooling = {f"pooling_mode_{name}": name == mode for name in names}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **pooling}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48}))
