import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from components.lib.core.errors import MissingError
from components.lib.data.images import png
from components.lib.pages import charts, page
from components.lib.pages.charts import Series
from components.lib.pages.page import Figure, part
from tests.pages import ATTACKS, Page, read

LINE = [1.0, 2.0]
PNG = png(np.zeros((1, 1, 3), np.uint8))

PARTS: dict[str, Callable[[str], Markup]] = {
    "section": lambda x: page.section(x, lambda: part("code", x)),
    "table": lambda x: part("table", [x, x], [[x, 1], [x, None], [[x, {x: x}], part("link", x, "#here")]], x),
    "figures": lambda x: part("figures", [Figure(x, x, x, tone="good", wide=True)]),
    "definitions": lambda x: part("definitions", {x: x, "list": [x, {x: x}]}),
    "verdict": lambda x: part("verdict", "bad", x, x),
    "listing": lambda x: part("listing", [x]),
    "stacked": lambda x: part("stacked", [x, part("badge", x)]),
    "pictures": lambda x: part("pictures", [(PNG, x)], True),
    "captioned": lambda x: part("captioned", x, x),
    "lines": lambda x: charts.lines(x, [Series(x, LINE, LINE)], x, x),
    "efficiency": lambda x: charts.learning_curves(
        x, [Series(x, LINE, LINE, LINE, LINE), Series(x, LINE, LINE, dashed=True)], x, x
    ),
    "histogram": lambda x: charts.histogram(x, [0, 1, 2], [3, 4], x),
    "bars": lambda x: charts.bars(x, [(x, 1.0, 0)], {x: 0}),
    "heat_map": lambda x: charts.heat_map(x, [[1, 2], [3, 4]], [x, x], x),
}


def shown(*parts: object, title: str = "x") -> str:
    return page.render("lib/pages/page.html.j2", title, content=Markup("").join(parts))


@pytest.mark.parametrize("name", PARTS)
def test_hostile_text_stays_text(name):
    for attack in ATTACKS:
        found = read(
            page.render(
                "lib/pages/page.html.j2", attack, lead=attack, footer=attack, content=PARTS[name](attack)
            )
        )
        visible = attack.translate({0: "\ufffd", 0xD800: "\ufffd", 0x1B: "\ufffd"}).strip()
        assert found.texts[0].strip() == visible
        assert [text for text in found.texts[3:-1] if visible in text]  # in the part itself


def test_what_went_wrong_stays_text():
    for attack in ATTACKS:
        assert read(shown(part("problem", attack)), gaps=True)


def test_only_our_own_markup_is_trusted():
    """No template or function but these marks text as safe, and every attribute has its quotes."""
    root = Path(page.__file__).parents[2]
    for path in root.rglob("*.html.j2"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"\|\s*safe|autoescape|=\{\{|<script|<iframe|<form|\son\w+=|url\(|href=\"[^{#]", text
        ), path
    marked = {path.name for path in root.rglob("*.py") if "Markup(" in path.read_text(encoding="utf-8")}
    assert marked == {"model_card.py"}


ELSEWHERE = (
    "javascript:a JAVASCRIPT:x data:text/html,x https://evil //evil /\\evil \x01javascript:x file:///etc"
)


@pytest.mark.parametrize("target", [*ELSEWHERE.split(), " javascript:a", "\\\\evil", "java\nscript:x"])
def test_links_that_leave_the_folder_tree_are_refused(target):
    with pytest.raises(ValueError, match="links"):
        part("link", "x", target)


@pytest.mark.parametrize("target", ["#part", "run-1/report.html", "../a/b.html", "a?b=c:d"])
def test_links_to_neighbours_are_allowed(target):
    assert read(shown(part("link", "x", target))).links == [target]


def test_pictures_are_inline_pngs_and_nothing_else():
    found = Page(
        shown(
            part("pictures", [(PNG, '<b>"'), (b"<svg onload='x()'>", "a"), ('iVBORw0KGgo" onload="x()', "b")])
        )
    )
    assert found.findings == [] and found.tags.count("img") == 1
    assert found.text.count("could not be drawn: it is not a PNG image") == 2


def test_what_cannot_be_drawn_says_so_in_its_place(capsys):
    def gone() -> Markup:
        raise MissingError("a committed file is gone", where="history.jsonl")

    parts = [
        page.section("Losses", gone),
        page.section("Data", lambda: part("table", ["a", "b"], [["only one"]])),
        charts.histogram("Lengths", [0, 1], [1, 2], "x"),
        charts.learning_curves("By labels", [Series("s", [0, 1], LINE)], "x", "y"),
        charts.heat_map("Matrix", [[1, 2]], ["a", "b"]),
        part("verdict", "good", "Still here"),
    ]
    found = read(shown(*parts), gaps=True)
    told = [text for text in found.texts if "could not be drawn" in text]
    assert told[0] == "could not be drawn: a committed file is gone (history.jsonl)"
    assert "2 cells" in told[1] and "edges" in told[2] and "division" in told[3] and "2 x 2" in told[4]
    for heading in ("Losses", "Data", "Lengths", "By labels", "Matrix", "Still here"):
        assert heading in found.texts
    assert capsys.readouterr().err.count("Traceback") == 4  # what is missing was foreseen


def test_a_page_that_cannot_be_drawn_says_so():
    found = read(page.render("evaluation/card.html.j2", "Evaluation of <b>", lead="x"), gaps=True)
    assert found.headings == ["Evaluation of <b>"]
    assert "could not be drawn: UndefinedError: 'facts' is undefined" in found.text


def test_values_are_shown_for_readers():
    given = [None, math.nan, math.inf, True, False, 0, 1234567, 0.8512, 12.345, 12345.6, 2.0, 0.00012, -0.5]
    expected = "\u2013 \u2013 \u221e yes no 0 1,234,567 0.851 12.3 12,346 2 1.2e-04 -0.500"
    assert [page.show(value) for value in given] == expected.split()
    assert page.show([1, {"a": 2.5}]) == "1, a: 2.500" and page.show([]) == ""


def test_durations_are_shown_for_readers():
    expected = "\u2013; 0.40 s; 12.3 s; 60.0 s; 1 min 05 s; 1 h 00 min; 2 h 07 min"
    given = [None, 0.4, 12.34, 59.99, 65, 3599.6, 7620]
    assert [page.seconds(value) for value in given] == expected.split("; ")


def test_columns_of_numbers_are_flush_right_and_others_are_not():
    rows = [["7", 1, "+1.5", "a"], ["8", None, "\u22120.5", 1], ["9", 2, "\u2013", part("badge", "x")]]
    assert page.numeric(rows, 4) == [False, True, True, False]
    html = part("table", ["name", "count", "gain", "any"], rows)
    assert html.count('class="number"') == 2 * 4 and '<td class="number">1</td>' in html
    assert '<td class="whole">a</td>' in html


def test_large_figures_are_shortened_and_keep_the_exact_value():
    html = part("figures", [Figure("characters", 22_500_000)])
    assert "22.5 M" in html and "22,500,000" in html


def test_the_page_follows_light_and_dark_and_is_the_same_every_time():
    made = [shown(page.section("y", lambda: part("table", ["a"], [[1]]))) for _ in range(2)]
    assert made[0] == made[1]
    assert "prefers-color-scheme: dark" in made[0]
    assert read(made[0]).headings == ["x", "y"]
