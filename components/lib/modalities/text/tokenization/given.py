"""A tokenizer that the user brings: checked, and completed to our convention of special tokens."""

from __future__ import annotations

import json

from tokenizers import Regex, Tokenizer, pre_tokenizers, processors

from components.lib.core.errors import DataError
from components.lib.modalities.text.checkpoint import KNOWN
from components.lib.modalities.text.tokenization.tokenizer import NAMES, PROBES, FramedTokenizer, added, frame

RARE = "\U00012000\ua66e"  # cuneiform and a Cyrillic letter of one manuscript: in nobody's vocabulary


def read(data: bytes, where: str, *, complete: bool = True) -> FramedTokenizer:
    """The tokenizer of a `tokenizer.json`.

    Truncation and padding that it may carry are switched off, and its own special tokens that could be
    written by a text are kept from it.

    Args:
        data: of the file.
        where: it is, for errors.
        complete: special tokens that it lacks are added behind its vocabulary, and texts framed by bos and
            eos. Else ids and frame stay as published weights know them: eos stands in for pad, bos and unk
            where these are missing, and ends a text where there is no frame at all.

    Raises:
        DataError: if it is not a tokenizer, or drops what it does not know.
    """
    tokenizer = _parse(data, where)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    _check_unknown(tokenizer, where)
    names = _names(tokenizer, data)
    if not complete:
        return _as_it_is(tokenizer, names, data, where)
    missing = [name for name in dict.fromkeys(names.values()) if tokenizer.token_to_id(name) is None]
    plain = [name for name in dict.fromkeys(names.values()) if name not in _special(tokenizer)]
    tokenizer.add_special_tokens([added(name) for name in plain])
    if tokenizer.encode("").tokens != [names["bos"], names["eos"]]:
        frame(tokenizer, names["bos"], names["eos"])
    _guard(tokenizer, names["unk"], where)
    return FramedTokenizer(tokenizer, names, missing)


def _as_it_is(tokenizer: Tokenizer, names: dict[str, str], data: bytes, where: str) -> FramedTokenizer:
    """The tokenizer of published weights: no id is added, and probes come out as they did.

    Raises:
        DataError: if it has no token that ends a text, or special tokens of it can be spelt.
    """
    known = {role: name for role, name in names.items() if tokenizer.token_to_id(name) is not None}
    if "eos" not in known:
        found, expected = sorted(known), ", ".join(KNOWN["eos"])
        raise DataError(
            "the tokenizer has no token that ends a text", where=where, found=found, expected=expected
        )
    known = {role: known["eos"] for role in ("pad", "unk", "bos")} | known
    plain = [name for name in dict.fromkeys(known.values()) if name not in _special(tokenizer)]
    tokenizer.add_special_tokens([added(name) for name in plain])  # they have ids: none is new
    if not tokenizer.encode("").ids:
        end = [(known["eos"], tokenizer.token_to_id(known["eos"]))]
        pieces = {"single": f"$A {known['eos']}", "pair": f"$A {known['eos']} $B:1 {known['eos']}:1"}
        tokenizer.post_processor = processors.TemplateProcessing(**pieces, special_tokens=end)
    _guard(tokenizer, known["unk"], where)
    published = _parse(data, where)
    published.no_truncation()
    published.no_padding()
    for text in PROBES:
        if not any(name in text for name in _special(tokenizer)):
            ids, told = (one.encode(text, add_special_tokens=False).ids for one in (tokenizer, published))
            if ids != told:
                what = "a published tokenizer cannot be kept from spelling its special tokens"
                raise DataError(what, where=f"{where}: probe {text!r}", found=ids, expected=told)
    return FramedTokenizer(tokenizer, known)


def _parse(data: bytes, where: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(data.decode())
    except Exception as error:  # the library has no error of its own
        what = "the given file is not a tokenizer"
        expected = "a tokenizer.json of the library tokenizers"
        raise DataError(what, where=where, found=str(error), expected=expected) from error


def _check_unknown(tokenizer: Tokenizer, where: str) -> None:
    """Raises DataError if text that is not in the vocabulary vanishes."""
    try:
        found = "" if tokenizer.encode(RARE, add_special_tokens=False).ids else f"{RARE!r} becomes no token"
    except Exception as error:  # a model without [UNK] that needs one
        found = str(error)
    if found:
        what = "the given tokenizer cannot encode what it does not know"
        expected = "a token for unknown text, or a vocabulary of bytes"
        raise DataError(what, where=where, found=found, expected=expected)


def _names(tokenizer: Tokenizer, data: bytes) -> dict[str, str]:
    """Role -> token: what its own post-processor and model use, else the field's usual names, else ours."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    names = {
        role: next((name for name in known if name in vocabulary), NAMES[role])
        for role, known in KNOWN.items()
    }
    frame = tokenizer.encode("")
    if frame.special_tokens_mask == [1, 1]:
        names["bos"], names["eos"] = frame.tokens
    model = json.loads(data)["model"]
    if isinstance(model.get("unk_id"), int):
        names["unk"] = model["vocab"][model["unk_id"]][0]
    return names | ({"unk": model["unk_token"]} if model.get("unk_token") else {})


def _special(tokenizer: Tokenizer) -> list[str]:
    return [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]


def _guard(tokenizer: Tokenizer, unknown: str, where: str) -> None:
    """Keeps texts from spelling special tokens: Unigram would find `<s>` among its pieces.

    The first character of such a word is split off before the model sees it.
    """
    leaks = _leaks(tokenizer, unknown)
    if not leaks:
        return
    own = [tokenizer.pre_tokenizer] if tokenizer.pre_tokenizer else []
    pattern = "|".join(f"{_escaped(name[0])}(?={_escaped(name[1:])})" for name in leaks)
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*own, split])
    left = _leaks(tokenizer, unknown)
    if left:
        raise DataError("text can spell special tokens of the given tokenizer", where=where, found=left)


def _leaks(tokenizer: Tokenizer, unknown: str) -> list[str]:
    """The special tokens that a text which spells them is encoded to; [UNK] is what unknown text becomes."""
    names = [name for name in _special(tokenizer) if name != unknown]
    ids = {tokenizer.token_to_id(name) for name in names}

    def leaks(name: str) -> bool:
        texts = (name, f"a{name}b", f"a {name} b", name * 2)
        return any(ids & set(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)

    return [name for name in names if leaks(name)]


def _escaped(text: str) -> str:
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)
