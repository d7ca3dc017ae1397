import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from components.lib.pages import charts, page
from components.lib.pages.charts import FULL, HEIGHT, POINTS, WIDTH, Series
from tests.pages import Page, read

finite = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


def drawn(*parts: Markup) -> Page:
    return read(page.render("lib/pages/page.html.j2", "x", content=Markup("").join(parts)))


def shapes(chart: Markup, tag: str) -> list[dict[str, str]]:
    return [attributes for found, attributes in drawn(chart).shapes if found == tag]


def polyline(chart: Markup) -> list[list[float]]:
    (line,) = shapes(chart, "polyline")
    return [[float(number) for number in pair.split(",")] for pair in line["points"].split()]


@given(st.lists(finite, min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_linear_scales_hold_their_values_on_few_round_ticks(values):
    scale = charts.linear(values, 0, 100)
    hair = 1e-8 * (scale.high - scale.low)
    assert scale.low - hair <= min(values) and max(values) <= scale.high + hair
    assert 2 <= len(scale.ticks) <= 9
    steps = {
        round((b - a) / (scale.ticks[1] - scale.ticks[0]), 6) for a, b in itertools.pairwise(scale.ticks)
    }
    assert steps == {1.0}
    assert all(-1e-6 <= scale(value) <= 100 + 1e-6 for value in values)


def test_ticks_are_round_numbers():
    assert charts.linear([0.13, 0.87], 0, 1).ticks == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert charts.linear([3.0, 3.0], 0, 1).ticks[0] < 3 < charts.linear([3.0, 3.0], 0, 1).ticks[-1]
    assert charts.exact([1, 800], 0, 1).ticks == (200, 400, 600, 800)


def test_log_scales_show_equal_ratios_as_equal_distances():
    scale = charts.ratio([100, 200, 400, 1600], 0, 300)
    first, second, third, last = map(scale, (100, 200, 400, 1600))
    assert math.isclose(second - first, third - second)
    assert math.isclose(last - third, 2 * (second - first))
    assert scale.ticks == (100, 200, 400, 1600)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (1500, "1,500"), (20_000, "20k"), (2.5e6, "2.5M"), (1e-5, "1e-5"), (-3, "-3")],
)
def test_tick_labels_are_short(value, text):
    assert charts.label(value) == text


def test_a_line_goes_where_its_values_are():
    chart = charts.lines("c", [Series("s", [0, 5, 10], [0.0, 1.0, 0.0])], "step", "loss")
    (left, low), (middle, high), (right, end) = polyline(chart)
    assert middle - left == pytest.approx(right - middle)
    assert low == end == HEIGHT - charts.BOTTOM and high == charts.TOP


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_lines_stay_inside_the_drawing(points):
    x = sorted({a for a, _ in points})
    for a, b in polyline(charts.lines("c", [Series("s", x, [b for _, b in points][: len(x)])], "x", "y")):
        assert 0 <= a <= WIDTH and 0 <= b <= HEIGHT


def test_long_histories_are_averaged_not_cut():
    series = Series("s", list(range(10_000)), [float(i) for i in range(10_000)])
    points = polyline(charts.lines("c", [series], "step", "loss"))
    assert len(points) <= POINTS
    assert points[-1][0] == pytest.approx(WIDTH - charts.RIGHT, abs=0.2)


def test_a_loss_that_is_not_a_number_leaves_the_others():
    chart = charts.lines("c", [Series("s", [1, 2, 3], [1.0, math.nan, 2.0])], "step", "loss")
    assert len(polyline(chart)) == 2


def test_learning_curves_show_whiskers_names_and_zero():
    low, high = [-0.1, 0.1], [0.3, 0.4]
    given = [
        Series("linear", [10, 100], [0.1, 0.2], low, high, colour=1),
        Series("trunk", [10, 100], [0.2, 0.21]),
    ]
    chart = charts.learning_curves("c", given, "labels", "points")
    css = [line["class"] for line in shapes(chart, "line")]
    assert sum("whisker" in one for one in css) == 2 and not shapes(chart, "polygon")
    assert (
        len({path["d"] for path in shapes(chart, "path")}) == 2
        and "d1" in shapes(chart, "polyline")[0]["class"]
    )
    page = drawn(chart)
    assert "linear, 10: 0.100 [-0.100, 0.300]" in page.texts and {"linear", "trunk"} <= {*page.texts}
    above = charts.learning_curves("c", [Series("trunk", [10, 100], [0.3, 0.4])], "labels", "points")
    zero = [sum(line["class"] == "axis" for line in shapes(one, "line")) for one in (chart, above)]
    assert zero[0] == zero[1] + 1


@given(st.lists(st.floats(-50, 300), min_size=1, max_size=7))
@settings(max_examples=100, deadline=None)
def test_names_beside_lines_do_not_overlap(places):
    moved = charts.apart(places, 0, 200)
    assert all(0 <= place <= 200 for place in moved)
    assert all(b - a >= charts.LINE - 1e-9 for a, b in itertools.pairwise(sorted(moved)))
    assert sorted(range(len(places)), key=lambda i: (places[i], i)) == sorted(
        range(len(places)), key=lambda i: (moved[i], i)
    )


def test_histogram_areas_show_counts():
    heights = [
        float(bar["height"])
        for bar in shapes(charts.histogram("c", [0, 10, 20, 40], [5, 10, 0], "x"), "rect")
    ]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.02) and heights[2] == 0


def test_bars_are_as_long_as_their_values():
    chart = charts.bars("c", [("a", 30.0, 0), ("b", 60.0, charts.GREY)], {})
    widths = [float(bar["width"]) for bar in shapes(chart, "rect")]
    assert widths[1] == pytest.approx(2 * widths[0])
    assert {"1 min 00 s", "30.0 s"} <= {*drawn(chart).texts}


def test_the_heat_map_shades_shares_of_the_row():
    chart = charts.heat_map("c", [[3, 1], [0, 0]], ["cat", "dog"])
    assert "true cat, predicted dog: 1 of 4 (25%)" in drawn(chart).texts
    assert [float(cell["fill-opacity"]) for cell in shapes(chart, "rect")] == [0.76, 0.28, 0.04, 0.04]


@pytest.mark.parametrize("size", [2, 12, 20, 80])
def test_heat_maps_of_any_size_fit_the_page(size):
    names = [f"class-{i}-with-a-rather-long-name" for i in range(size)]
    chart = charts.heat_map("c", [[i + j for j in range(size)] for i in range(size)], names)
    width = float(shapes(chart, "svg")[0]["width"])
    right = [float(cell["x"]) + float(cell["width"]) for cell in shapes(chart, "rect")]
    assert width <= FULL and max(right) <= width
    apart = 1 if size < 80 else 2  # else names would lie on each other
    named = [text for text in drawn(chart).texts if text.startswith("class-") and text.endswith("…")]
    assert len(right) == size**2 - (apart > 1) and len(named) == 2 * size / apart


def test_nothing_to_draw_is_said():
    found = drawn(
        charts.lines("a", [], "x", "y"),
        charts.learning_curves("b", [Series("s", [], [])], "x", "y"),
        charts.histogram("c", [0], [], "x"),
        charts.bars("d", [], {}),
    )
    assert found.text.count("There are no values to draw.") == 4 and "svg" not in found.tags
