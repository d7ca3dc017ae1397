import pytest

from components.lib.pages import model_card


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert\\(1\\)&gt;"),
        ("[click](javascript:alert)", "\\[click\\]\\(javascript:alert\\)"),
        ("a | b\n# c", "a \\| b \\# c"),
        ("`rm` & *go*", "\\`rm\\` &amp; \\*go\\*"),
        ("snake_case", "snake\\_case"),
    ],
)
def test_text_stays_text(text, shown):
    assert model_card.escape(text) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12_345, "12,345"),
        (0.123456, "0.1235"),
        (True, "True"),
        ([100.0, "*"], "100, \\*"),
        ({"a": 1}, "\\{'a': 1\\}"),
    ],
)
def test_numbers_are_shown_for_readers(value, text):
    assert model_card.escape(value) == text


def test_a_card_that_cannot_be_drawn_says_so(capsys):
    @model_card.drawn
    def card(name):
        raise KeyError(f"no <b> of {name}")

    assert card("a_b") == "# a\\_b\n\nThe card could not be drawn: KeyError: 'no &lt;b&gt; of a\\_b'\n"
    assert "Traceback" in capsys.readouterr().err


def test_the_hub_reads_the_front_matter():
    import yaml

    head = model_card.front_matter({"library_name": "transformers", "tags": ["a: b", '"c"']})
    assert yaml.safe_load(head.strip("-\n")) == {"library_name": "transformers", "tags": ["a: b", '"c"']}


def test_a_page_with_a_title_needs_no_second_one():
    assert model_card.untitled("# A\n\nlead\n\n## Data\n") == "lead\n\n## Data\n"
    assert model_card.untitled("lead\n\nmore") == "lead\n\nmore"
