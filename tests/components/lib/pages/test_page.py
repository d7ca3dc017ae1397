from __future__ import annotations

from collections.abc import Callable

import pytest

from components.lib.pages import charts, page
from components.lib.pages.charts import Series
from components.lib.pages.heatmap import heat_map
from components.lib.pages.markup import Html, concat, element, escape
from components.lib.pages.page import Figure
from tests.pages import ATTACKS, read

LINE = [1.0, 2.0]

BUILDERS: dict[str, Callable[[str], Html]] = {
    "section": lambda x: page.section(x, x, note=x, anchor=x),
    "table": lambda x: page.table([x, x], [[x, 1], [x, None]], caption=x),
    "figures": lambda x: page.figures([Figure(x, x, x, tone="good", wide=True)]),
    "definitions": lambda x: page.definitions({x: x, "list": [x, {x: x}]}),
    "verdict": lambda x: page.verdict("bad", x, [x, x]),
    "paragraph": lambda x: page.paragraph(x, note=True),
    "listing": lambda x: page.listing([x]),
    "subheading": page.subheading,
    "code": page.code,
    "preformatted": page.preformatted,
    "columns": lambda x: page.columns(x, page.stack(x)),
    "folded": lambda x: page.folded(x, x),
    "badge": page.badge,
    "link": lambda x: page.link(x, "#here"),
    "show": page.show,
    "lines": lambda x: charts.lines(x, [Series(x, LINE, LINE)], x, x, note=x),
    "efficiency": lambda x: charts.efficiency(
        x, [Series(x, LINE, LINE, LINE, LINE), Series(x, LINE, LINE, dashed=True)], x, x, note=x
    ),
    "histogram": lambda x: charts.histogram(x, [0, 1, 2], [3, 4], x, note=x),
    "bars": lambda x: charts.bars(x, [(x, 1.0, 0)], unit=x, legend=[(x, 0)]),
    "heat_map": lambda x: heat_map(x, [[1, 2], [3, 4]], [x, x], note=x),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_hostile_text_stays_text(name: str) -> None:
    for attack in ATTACKS:
        built = BUILDERS[name](attack)
        shown = read(page.page(attack, [built], lead=attack, footer=attack))
        assert "script" not in shown.tags
        assert (
            shown.texts[0].strip()
            == attack.translate({0: "\ufffd", 0xD800: "\ufffd", 0x1B: "\ufffd"}).strip()
        )


def test_strings_mixed_with_markup_are_escaped_again_not_trusted() -> None:
    bold = element("strong", "x")
    assert isinstance(bold, Html)
    assert not isinstance(bold + "<script>", Html)
    assert escape(f"{bold}<script>") == "&lt;strong&gt;x&lt;/strong&gt;&lt;script&gt;"
    assert concat(bold, None, "<i>") == "<strong>x</strong>&lt;i&gt;"


@pytest.mark.parametrize("tag", ["script", "iframe", "img", "form", "style", "foreignObject", "p onclick=x"])
def test_tags_that_are_not_listed_are_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        element(tag, "x")


@pytest.mark.parametrize("name", ["onclick", "style", "src", "srcset", "action", "xlink:href", "x y"])
def test_attributes_that_are_not_listed_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        element("p", "x", **{name: "1"})


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)", " javascript:alert(1)", "JAVASCRIPT:x", "data:text/html,x", "https://evil.example",
        "//evil.example", "\\\\evil.example", "/\\evil.example", "java\nscript:x", "\x01javascript:x", "file:///etc",
    ],
)  # fmt: skip
def test_links_that_leave_the_folder_tree_are_refused(target: str) -> None:
    with pytest.raises(ValueError, match="links"):
        page.link("x", target)


@pytest.mark.parametrize("target", ["#part", "run-1/report.html", "../a/b.html", "a?b=c:d"])
def test_links_to_neighbours_are_allowed(target: str) -> None:
    assert read(page.page("x", [page.link("x", target)])).links == [target]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\u2013"), (float("nan"), "\u2013"), (float("inf"), "\u221e"), (True, "yes"), (False, "no"),
        (0, "0"), (1234567, "1,234,567"), (0.8512, "0.851"), (12.345, "12.3"), (12345.6, "12,346"),
        (2.0, "2"), (0.00012, "1.2e-04"), (-0.5, "-0.500"), ([1, 2.5], "1, 2.500"), ({"a": 1}, "a: 1"),
        ("<", "&lt;"), ([], ""),
    ],
)  # fmt: skip
def test_values_are_shown_for_readers(value: object, text: str) -> None:
    assert page.show(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\u2013"), (0.4, "0.40 s"), (12.34, "12.3 s"), (59.99, "60.0 s"), (65, "1 min 05 s"),
     (3599.6, "1 h 00 min"), (7620, "2 h 07 min")],
)  # fmt: skip
def test_durations_are_shown_for_readers(value: float | None, text: str) -> None:
    assert page.seconds(value) == text


def test_columns_of_numbers_are_flush_right_and_others_are_not() -> None:
    html = page.table(
        ["name", "count", "gain"], [["a", 1, "+1.5"], ["b", None, "\u22120.5"], ["7", 2, "\u2013"]]
    )
    assert html.count('class="number"') == 2 * 4
    assert '<td class="number">1</td>' in html
    assert '<td class="whole">a</td>' in html


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError):
        page.table(["a", "b"], [["only one"]])


def test_large_figures_are_shortened_and_keep_the_exact_value() -> None:
    html = page.figures([Figure("characters", 22_500_000)])
    assert "22.5 M" in html
    assert "22,500,000" in html


def test_unknown_tones_are_refused() -> None:
    with pytest.raises(ValueError, match="tone"):
        page.verdict("excellent", "x")


def test_the_page_follows_light_and_dark_and_is_the_same_every_time() -> None:
    made = [page.page("x", [page.section("y", page.table(["a"], [[1]]))]) for _ in range(2)]
    assert made[0] == made[1]
    assert "prefers-color-scheme: dark" in made[0]
    assert read(made[0]).headings == ["x", "y"]


def test_pictures_are_inline_pngs_and_nothing_else():
    png = b"\x89PNG\r\n\x1a\n" + b"rest"
    text = page.page("t", [page.picture("<b>", png, '"n"')])
    shown = read(text)
    assert "img" in shown.tags and 'alt="&lt;b&gt;"' in text
    with pytest.raises(ValueError, match="only PNG"):
        page.picture("a", b"<svg onload='x()'>")
