"""Cards as a browser gets them: rendered with raw HTML let through, searched for what could run or load."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from components.lib.storage.artifacts import Key, Manifest
from components.promotion.card import card as branch_card
from components.registration.card import card as trunk_card
from tests.pages import ATTACKS

TAGS = {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "br"}
MARKDOWN = [
    "[x](javascript:alert(1))", "![x](https://evil.example/a.png)", "<https://evil.example>",
    "[x]: //evil.example", "https://evil.example", "<!-- x", "a\n\n# b\n\n<script>alert(1)</script>",
    "x\n---\n<b>", "```\n<script>\n```", "| a | b |", "\\<script>", "&#60;script&#62;", "*[x]*: y",
    "- [ ] x", "\n    <script>",
]  # fmt: skip


class Found(HTMLParser):
    """Every tag with attributes, and every tag that a card has no use for."""

    def __init__(self, html):
        super().__init__()
        self.findings = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in TAGS or [name for name, _ in attrs if name not in ("style", "class")]:
            self.findings.append((tag, attrs))

    def handle_comment(self, data):
        self.findings.append(data)


def manifests(text):
    key = Key("pretraining", 1, {text: text, "a": {"b": text}}, {text: text})
    trunk = Manifest(key, text, (), {
        "modality": text, "architecture": text, "parameters": 1, "objective": {text: {}}, "loss": {text: 1.0},
    })  # fmt: skip
    corpus = Manifest(key, text, (), {"documents": {text: 1}, "dropped": {text: text}})
    evaluation = Manifest(key, text, (), {
        "confidence": 0.95, "metrics": {text: {"value": 1.0, "low": None, "high": 1.0}}, "task": text,
        "kind": text, "classes": [text, text], "primary": text, "examples": 10,
    })  # fmt: skip
    return trunk, corpus, evaluation


@pytest.mark.parametrize("attack", [*ATTACKS, *MARKDOWN])
def test_no_card_holds_markup_of_its_data(attack):
    trunk, corpus, evaluation = manifests(attack)
    name = "".join(
        character for character in attack if character not in "/:'\"`"
    )  # what a model may be called
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for card in (
        trunk_card(name, trunk, {"ingestion": corpus, attack: corpus}),
        branch_card(name, trunk, evaluation),
    ):
        assert "could not be drawn" not in card
        assert Found(reader.render(card)).findings == []


def test_the_search_finds_what_is_planted():
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for text in (
        "<script>x</script>",
        "[x](https://evil.example)",
        "![x](y)",
        "<b onclick=x>y</b>",
        "<!-- x -->",
    ):
        assert Found(reader.render(text)).findings
