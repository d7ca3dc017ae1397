"""Cards as a browser gets them: rendered with raw HTML let through, searched for what could run or load."""

import pytest
from markdown_it import MarkdownIt

from components.lib.storage.artifacts import Key, Manifest
from components.promotion.card import card as branch_card
from components.registration.card import card as trunk_card
from tests.pages import ATTACKS, Page

TAGS = {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "br"}
MARKDOWN = [
    "[x](javascript:alert(1))",
    "![x](https://evil.example/a.png)",
    "<https://evil.example>",
    "[x]: //evil.example",
    "https://evil.example",
    "<!-- x",
    "a\n\n# b\n\n<script>alert(1)</script>",
    "x\n---\n<b>",
    "```\n<script>\n```",
    "| a | b |",
    "\\<script>",
    "&#60;script&#62;",
    "*[x]*: y",
    "- [ ] x",
    "\n    <script>",
]


def findings(markdown):
    """Every tag that a card has no use for, or with attributes that could do something."""
    page = Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
    harmless = {"style", "class"}
    return page.findings + [shape for shape in page.shapes if shape[0] not in TAGS or {*shape[1]} - harmless]


def manifests(text):
    key = Key("pretraining", 1, {text: text, "a": {"b": text}}, {text: text})
    trunk = Manifest(
        key,
        text,
        (),
        {
            "modality": "text",
            "kind": "sequence_classification",
            "architecture": text,
            "parameters": 1,
            "objective": {text: {}},
            "loss": {text: 1.0},
        },
    )
    corpus = Manifest(key, text, (), {"documents": {text: 1}, "dropped": {text: text}})
    evaluation = Manifest(
        key,
        text,
        (),
        {
            "confidence": 0.95,
            "metrics": {text: {"value": 1.0, "low": None, "high": 1.0}},
            "task": text,
            "kind": text,
            "classes": [text, text],
            "primary": text,
            "examples": 10,
        },
    )
    return trunk, corpus, evaluation


@pytest.mark.parametrize("attack", [*ATTACKS, *MARKDOWN])
def test_no_card_holds_markup_of_its_data(attack):
    trunk, corpus, evaluation = manifests(attack)
    name = "".join(letter for letter in attack if letter not in "/:'\"`")  # what a model may be called
    for card in (
        trunk_card(name, trunk, {"ingestion": corpus, attack: corpus}),
        branch_card(name, trunk, evaluation, []),
    ):
        assert "could not be drawn" not in card and findings(card) == []


@pytest.mark.parametrize(
    "markdown", ["<script>x</script>", "[x](//evil)", "![x](y)", "<b onclick=x>y</b>", "<!-- x -->"]
)
def test_the_search_finds_what_is_planted(markdown):
    assert findings(markdown)
