import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from components.lib.modalities.text.tokenization import given
from components.lib.modalities.text.tokenization.tokenizer import FramedTokenizer
from tests.made.corpora import SCRIPTS

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def read(tokenizer: Tokenizer) -> FramedTokenizer:
    return given.read(tokenizer.to_str().encode(), "given.json")


def like_gpt2() -> Tokenizer:
    """Bytes, one special token, no frame."""
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(BYTES)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def like_bert() -> Tokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fox", "##es", "[", "]", "mask"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(words[:5])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def like_t5() -> Tokenizer:
    """Unigram with special pieces in its vocabulary, eos alone, and no piece for '<'."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁fox", -3.0), ("es", -3.5)]
    pieces += [(letter, -6.0) for letter in "aspdx"] + [("<extra_id_0>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>", "<extra_id_0>"])
    ends = [("</s>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=ends)
    return tokenizer


def like_roberta() -> Tokenizer:
    words = ["<s>", "<pad>", "</s>", "<unk>", *BYTES, "<mask>"]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


MADE = {"gpt2": like_gpt2, "bert": like_bert, "t5": like_t5, "roberta": like_roberta}
NAMES = {
    "gpt2": ["[PAD]", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", "[MASK]"],
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "t5": ["<pad>", "<unk>", "[CLS]", "</s>", "[MASK]"],
    "roberta": ["<pad>", "<unk>", "<s>", "</s>", "<mask>"],
}


@pytest.mark.parametrize("name", MADE)
def test_roles_are_found_and_what_lacks_is_added_behind(name):
    own = MADE[name]()
    tokens = read(own)
    assert list(tokens.names.values()) == NAMES[name]
    assert tokens.added == [token for token in NAMES[name] if own.token_to_id(token) is None]
    assert tokens.size == own.get_vocab_size() + len(tokens.added)
    for token, number in own.get_vocab().items():
        assert tokens.tokenizer.token_to_id(token) == number


@pytest.mark.parametrize("name", MADE)
def test_text_has_the_ids_that_it_had_and_one_frame(name):
    own, tokens = MADE[name](), read(MADE[name]())
    for text in ["fox foxes", "", *SCRIPTS.values()]:
        ids = own.encode(text, add_special_tokens=False).ids
        assert tokens.tokenizer.encode(text, add_special_tokens=False).ids == ids
        framed = [tokens.special["bos"], *ids, tokens.special["eos"]]
        assert tokens.tokenizer.encode(text).ids == framed


@pytest.mark.parametrize("name", MADE)
def test_no_special_token_can_be_written(name):
    tokens = read(MADE[name]())
    decoder = tokens.tokenizer.get_added_tokens_decoder()
    forbidden = {number for number, token in decoder.items() if token.special} - {tokens.special["unk"]}
    for number in forbidden:
        token = decoder[number].content
        for text in (token, f"fox {token}es", f"{token}{token}", f"a{token}"):
            assert not forbidden & set(tokens.tokenizer.encode(text, add_special_tokens=False).ids)


def test_truncation_and_padding_of_the_file_are_switched_off():
    own = like_bert()
    own.enable_truncation(8)
    own.enable_padding(length=16)
    tokens = read(own)
    assert len(tokens.tokenizer.encode("fox " * 100, add_special_tokens=False).ids) == 100
    assert tokens.tokenizer.encode("fox").ids == [2, 5, 3]


def test_ids_with_gaps_count_to_the_largest():
    own = Tokenizer(models.WordLevel({"[UNK]": 0, "fox": 70_000}, unk_token="[UNK]"))
    tokens = read(own)
    assert tokens.size > 70_000
    assert tokens.dtype.name == "uint32"
