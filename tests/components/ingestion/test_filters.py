from __future__ import annotations

import pytest

from components.ingestion import filters
from components.ingestion.config import Config
from components.ingestion.words import document
from components.lib import plugins
from components.lib.config import from_dict
from components.lib.errors import ConfigErrors

DEFAULT = from_dict(Config, {"sources": ["x"]}).filters
LANGUAGES = {
    "english": "The harbour was quiet that morning. A few gulls circled above the boats, and nobody spoke.",
    "german": "Die Stra\u00dfe f\u00fchrt \u00fcber die Br\u00fccke nach S\u00fcden; dort wohnen Freunde, die wir selten sehen.",
    "russian": "\u0417\u0430\u0432\u0442\u0440\u0430 \u0431\u0443\u0434\u0435\u0442 \u0434\u043e\u0436\u0434\u044c, \u043f\u043e\u044d\u0442\u043e\u043c\u0443 \u0432\u043e\u0437\u044c\u043c\u0438\u0442\u0435 \u0437\u043e\u043d\u0442\u0438\u043a \u0441 \u0441\u043e\u0431\u043e\u0439.",
    "chinese": "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u6563\u6b65\u5427\u3002\u6e56\u8fb9\u6709\u5f88\u591a\u4eba\u5728\u62cd\u7167\u3002",
    "japanese": "\u660e\u65e5\u306f\u96e8\u304c\u964d\u308b\u3067\u3057\u3087\u3046\u3002\u5098\u3092\u6301\u3063\u3066\u884c\u3063\u3066\u304f\u3060\u3055\u3044\u3002",
    "korean": "\ub0b4\uc77c\uc740 \ube44\uac00 \uc62c \uac83 \uac19\uc2b5\ub2c8\ub2e4. \uc6b0\uc0b0\uc744 \uac00\uc838\uac00\uc138\uc694.",
    "thai": "\u0e1e\u0e23\u0e38\u0e48\u0e07\u0e19\u0e35\u0e49\u0e1d\u0e19\u0e08\u0e30\u0e15\u0e01 \u0e01\u0e23\u0e38\u0e13\u0e32\u0e19\u0e33\u0e23\u0e48\u0e21\u0e21\u0e32\u0e14\u0e49\u0e27\u0e22",
    "arabic": "\u0633\u062a\u0645\u0637\u0631 \u063a\u062f\u0627\u060c \u0644\u0630\u0644\u0643 \u062e\u0630 \u0627\u0644\u0645\u0638\u0644\u0629 \u0645\u0639\u0643 \u0625\u0644\u0649 \u0627\u0644\u0645\u062f\u064a\u0646\u0629.",
    "hindi": "\u0915\u0932 \u092c\u093e\u0930\u093f\u0936 \u0939\u094b\u0917\u0940, \u0907\u0938\u0932\u093f\u090f \u0905\u092a\u0928\u093e \u091b\u093e\u0924\u093e \u0938\u093e\u0925 \u0932\u0947 \u091c\u093e\u090f\u0901\u0964",
    "code": "def area(width, height):\n    # two sides of a rectangle\n    return width * height\n\nprint(area(2, 3))",
}


def verdicts(text: str, chosen: dict | None = None) -> dict[str, str]:
    rules = filters.load(filters.check(DEFAULT if chosen is None else chosen))
    found = {name: rule(document(text)) for name, rule in rules.items()}
    return {name: reason for name, reason in found.items() if reason}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_language_is_dropped_by_default(language):
    assert verdicts(LANGUAGES[language]) == {}


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


@pytest.mark.parametrize("name", plugins.names("components.ingestion.filters"))
def test_contract_of_a_filter(name):
    assert plugins.declared("components.ingestion.filters", name).summary
    for text in ("", "one", LANGUAGES["english"], LANGUAGES["chinese"], "\n\n"):
        reason = filters.load({name: {}})[name](document(text))
        assert reason is None or (isinstance(reason, str) and reason and "\n" not in reason)


def test_options_are_checked_all_at_once():
    with pytest.raises(ConfigErrors) as caught:
        filters.check({"length": {"minimun": 3}, "letters": {"minimum": 2}, "none": {}})
    assert len(caught.value.errors) == 3 and "did you mean 'minimum'" in str(caught.value)
