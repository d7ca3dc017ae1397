import json
from pathlib import Path

import pytest

from components.lib.core.errors import ConfigErrors
from components.lib.modalities.text import filters
from components.lib.modalities.text.settings import Ingestion
from components.lib.modalities.text.words import document

DEFAULT = Ingestion().filters
LANGUAGES = json.loads(Path(__file__).with_name("languages.json").read_text(encoding="utf-8"))


def verdicts(text: str, chosen: dict | None = None) -> dict[str, str]:
    rules = filters.load(filters.check(DEFAULT if chosen is None else chosen))
    found = {name: rule(document(text)) for name, rule in rules.items()}
    return {name: reason for name, reason in found.items() if reason}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_language_is_dropped_by_default(language):
    assert verdicts(LANGUAGES[language]) == {}


# One term of several characters stands in every sentence, as it does in manuals.
TERMS = {
    "thai": "การตั้งค่าเครือข่าย ใช้ได้เมื่อเปิด แล้วเลือก เท่านั้น",
    "japanese": "ファイルシステム を作成するには、 の設定を開き、 を選んでください。",
    "chinese": "分布式文件系统 的设置保存在本机。删除 之前请备份。再看 是否完整。",
    "khmer": "ការកំណត់បណ្ដាញ ត្រូវបានរក្សាទុកហើយ អាចប្រើបានពេលដែល បានបើក",
}


@pytest.mark.parametrize("language", TERMS)
def test_limits_of_words_are_no_limits_of_characters(language):
    """Scripts without spaces: a term three times is not spam, one sentence again and again is."""
    term, *others = TERMS[language].split()
    text = "".join(f"{term}{letter}{other}" for letter, other in zip("ABC", others, strict=True))
    assert verdicts(text, {"repetition": {}}) == {}
    assert "repetition" in verdicts(text * 12, {"repetition": {}})


DROPPED = {
    "length": ["", "too short", "word " * 1_000_001],
    "letters": ["1 2 3 4 5 6 7 8 9", "--- === +++ *** /// word", "0x1 3.14 2.71 99 98 97 96 95"],
    "symbols": [
        "# # # one two three four five",
        "one... two... three... four... five...",
        "\n".join(f"- item {i} of a list" for i in range(20)),
        "one two three four " + "x" * 2000,
        "\n".join(f"read more about number {i} and the others here now..." for i in range(9)),
    ],
    "repetition": [
        "\n".join(["the same line again"] * 10),
        "buy now " * 60,
        " ".join(f"unique{i}" for i in range(20))
        + " "
        + "all of these words stand here many times over " * 9,
    ],
}


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, many in DROPPED.items() for text in many])
def test_what_each_rule_drops(rule, text):
    assert rule in verdicts(text, {rule: {}})


def naive(words: list[str], n: int) -> float:
    """Share of words inside runs that stood before, word by word."""
    seen: set[tuple[str, ...]] = set()
    inside = [False] * len(words)
    for i in range(len(words) - n + 1):
        run = tuple(words[i : i + n])
        if run in seen:
            inside[i : i + n] = [True] * n
        seen.add(run)
    return sum(inside) / max(len(words), 1)


@pytest.mark.parametrize("copies", range(1, 9))
def test_repeated_runs_are_those_of_a_plain_count(copies):
    words = [f"w{i}" for i in range(100)] + [f"r{i}" for i in range(12)] * copies
    reason = verdicts(" ".join(words), {"repetition": {"factor": 1.0}}).get("repetition", "")
    limits = {5: 0.15, 10: 0.10}
    top = any(
        n * copies > limit * len(words) and copies > 2 for n, limit in {2: 0.2, 3: 0.18, 4: 0.16}.items()
    )
    assert bool(reason) == (top or any(naive(words, n) > limit for n, limit in limits.items()))


def test_options_are_checked_all_at_once():
    with pytest.raises(ConfigErrors) as caught:
        filters.check({"length": {"minimun": 3}, "letters": {"minimum": 2}, "none": {}})
    assert len(caught.value.errors) == 3 and "did you mean 'minimum'" in str(caught.value)
