"""What a published checkpoint of a text model brings besides weights: tokenizer, positions, pooling.

Read as data where there is no torch; in the layout of `transformers` and of `sentence-transformers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.core.errors import DataError
from components.lib.modalities.text import PUBLISHED
from components.lib.models.families import FAMILIES, Family

# Role -> the usual names of a tokenizer's special token.
KNOWN = {
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>"),
    "unk": ("[UNK]", "<unk>", "<|unk|>", "<|endoftext|>"),
    "bos": ("[CLS]", "<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>"),
    "eos": ("[SEP]", "</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
}
POOLING = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}  # ours -> pooling_mode_...
LAYERS = ("num_hidden_layers", "n_layers", "n_layer")
MODULES = ("Transformer", "Pooling", "Normalize")


def adopt(checkpoint: Any, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is added to its settings, and the facts of it.

    Args:
        checkpoint: config, shapes, model_type, and json(name) of its files.

    Raises:
        DataError: if it has no tokenizer, one with ids that have no row, or a pooling that is not built here.
    """
    family, config = FAMILIES[checkpoint.model_type], checkpoint.config
    rows, ids = _rows(checkpoint, family, reference), _ids(checkpoint.json("tokenizer.json"), reference)
    _check_ids(ids, rows, reference)
    pooling, normalize, left_out = _pooling(checkpoint, reference)
    positions = _positions(config, family)
    longest = (checkpoint.json("sentence_bert_config.json") or {}).get("max_seq_length") or positions
    facts = {
        "capabilities": _capabilities(checkpoint.model_type, ids),
        "vocabulary": max(ids.values()) + 1,
        "rows": rows,
        "positions": positions,
        "longest": min(longest, positions),
        "layers": next((config[name] for name in LAYERS if name in config), 0),
        "pooling": pooling,
        "normalize": normalize,
        "left_out": left_out,
        "head": _has_head(checkpoint, family),
    }
    added = {"pooling": pooling, "normalize": normalize, "max_seq_length": facts["longest"]}
    if config.get("pad_token_id") in (None, -1):  # by which causal classifiers find the last token
        names = (name for name in (*KNOWN["pad"], *KNOWN["eos"]) if name in ids)
        added["pad_token_id"] = next((ids[name] for name in names), 0)
    return added, facts


def _capabilities(kind: str, ids: Mapping[str, int]) -> list[str]:
    """Those of the family; without a token to hide others behind it cannot learn from both sides."""
    hides = any(token in ids for token in KNOWN["mask"])
    return [one for one in PUBLISHED[kind] if hides or one != "bidirectional"]


def _rows(checkpoint: Any, family: Family, reference: str) -> int:
    found = [shape for name, (_, shape) in checkpoint.shapes.items() if name.endswith(family.table)]
    told = checkpoint.config.get("vocab_size")
    if not found or (told is not None and told != found[0][0]):
        raise DataError(
            "the weights are not those of config.json",
            where=reference,
            found=f"{found[0][0]:,} rows of tokens" if found else f"no {family.table}",
            expected=f"{told:,} rows" if told else "a table of tokens",
        )
    return int(found[0][0])


def _ids(tokenizer: Any, reference: str) -> dict[str, int]:
    """Token -> id, of the vocabulary and of what is added to it."""
    if tokenizer is None:
        fix = "AutoTokenizer.from_pretrained(...).save_pretrained(folder) writes one: name that folder"
        raise DataError("the checkpoint has no tokenizer.json", where=reference, fix=fix)
    try:
        vocabulary = tokenizer["model"]["vocab"]
        pairs = (
            vocabulary.items()
            if isinstance(vocabulary, dict)
            else ((e[0], i) for i, e in enumerate(vocabulary))
        )
        added = ((entry["content"], entry["id"]) for entry in tokenizer.get("added_tokens") or ())
        return {str(token): int(number) for token, number in (*pairs, *added)}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            "a checkpoint's tokenizer.json is broken", where=reference, found=repr(error)
        ) from error


def _check_ids(ids: Mapping[str, int], rows: int, reference: str) -> None:
    largest = max(ids.values(), default=-1)
    if largest >= rows:
        what, found = (
            "the tokenizer has ids without a row in the weights",
            max(ids, key=lambda token: ids[token]),
        )
        fix = "take the tokenizer that the weights were trained with"
        raise DataError(
            what, where=reference, found=f"id {largest} ({found!r})", expected=f"< {rows}", fix=fix
        )


def _positions(config: Mapping[str, Any], family: Family) -> int:
    told = config.get("max_position_embeddings", config.get("n_positions"))
    count = int(told if told is not None else 512)
    return count - config.get("pad_token_id", 1) - 1 if family.offset else count


def _pooling(checkpoint: Any, reference: str) -> tuple[str, bool, list[str]]:
    """How a text becomes one vector, whether of length 1, and modules of it that are left out.

    Without files of `sentence-transformers` it is the mean over tokens, as that library has it too.
    """
    modules = checkpoint.json("modules.json") or []
    kinds = {str(module.get("type", "")).rpartition(".")[2]: module for module in modules}
    left_out = sorted(kind for kind in kinds if kind not in MODULES)
    if "Pooling" not in kinds:
        return "mean", "Normalize" in kinds, left_out
    values = checkpoint.json(f"{kinds['Pooling'].get('path', '')}/config.json") or {}
    prefix, named = "pooling_mode_", values.get("pooling_mode")
    chosen = [
        name.removeprefix(prefix) for name in values if name.startswith(prefix) and values[name] is True
    ]
    chosen = [named] if isinstance(named, str) else chosen
    found = [ours for ours, mode in POOLING.items() if {mode, ours} & set(chosen)]
    if len(chosen) != 1 or len(found) != 1:
        expected = " or ".join(prefix + mode for mode in POOLING.values())
        raise DataError(
            "the pooling of a checkpoint is not built here", where=reference, found=chosen, expected=expected
        )
    return found[0], "Normalize" in kinds, left_out


def _has_head(checkpoint: Any, family: Family) -> bool:
    if checkpoint.config.get(
        "tie_word_embeddings", checkpoint.model_type == "gpt2"
    ) and family.table.startswith(("wte", "embed_tokens")):
        return True  # a causal model's is its table of tokens
    names = {name.replace(".gamma", ".weight").replace(".beta", ".bias") for name in checkpoint.shapes}
    return bool(family.head) and all(
        name in names for name in family.head.values() if _expected(name, checkpoint)
    )


def _expected(name: str, checkpoint: Any) -> bool:
    """ModernBERT's head has no biases unless its settings say so."""
    config = checkpoint.config
    if checkpoint.model_type != "modernbert" or not name.startswith("head."):
        return True
    return not name.endswith(".bias") or config.get(
        "classifier_bias" if "dense" in name else "norm_bias", False
    )
