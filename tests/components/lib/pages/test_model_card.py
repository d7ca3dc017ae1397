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


def test_tables_escape_their_cells():
    assert model_card.table(("name", "n"), [("a|b", 12_345), ("<", 0.123456), ("counts", [100.0, "*"])]) == (
        "| name | n |\n| --- | --- |\n| a\\|b | 12,345 |\n| &lt; | 0.1235 |\n| counts | 100, \\* |"
    )


def test_the_hub_reads_the_front_matter():
    import yaml

    head = model_card.front_matter({"library_name": "transformers", "tags": ["a: b", '"c"']})
    assert yaml.safe_load(head.strip("-\n")) == {"library_name": "transformers", "tags": ["a: b", '"c"']}


def test_empty_sections_are_left_out():
    assert (
        model_card.render("A_b", [("", "lead"), ("Losses", ""), ("Data", "x")])
        == "# A\\_b\n\nlead\n\n## Data\n\nx\n"
    )


def test_a_page_with_a_title_needs_no_second_one():
    assert model_card.untitled("# A\n\nlead\n\n## Data\n") == "lead\n\n## Data\n"
    assert model_card.untitled("lead\n\nmore") == "lead\n\nmore"
