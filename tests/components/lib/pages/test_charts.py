from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.lib.pages import chart_frame, charts, page
from components.lib.pages.chart_frame import HEIGHT, WIDTH
from components.lib.pages.charts import POINTS, Series
from components.lib.pages.heatmap import heat_map
from tests.pages import read

finite = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


def polylines(html: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'<polyline[^>]*points="([^"]*)"', html)
    return [[tuple(map(float, pair.split(","))) for pair in text.split()] for text in found]  # type: ignore[misc]


@given(st.lists(finite, min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_linear_scales_hold_their_values_on_few_round_ticks(values: list[float]) -> None:
    scale = chart_frame.linear(values, 0, 100)
    hair = 1e-8 * (scale.high - scale.low)
    assert scale.low - hair <= min(values) and max(values) <= scale.high + hair
    assert 2 <= len(scale.ticks) <= 9
    steps = {
        round((b - a) / (scale.ticks[1] - scale.ticks[0]), 6) for a, b in itertools.pairwise(scale.ticks)
    }
    assert steps == {1.0}
    assert all(-1e-6 <= scale(value) <= 100 + 1e-6 for value in values)


def test_ticks_are_round_numbers() -> None:
    assert chart_frame.linear([0.13, 0.87], 0, 1).ticks == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert chart_frame.linear([3.0, 3.0], 0, 1).ticks[0] < 3 < chart_frame.linear([3.0, 3.0], 0, 1).ticks[-1]
    assert chart_frame.exact([1, 800], 0, 1).ticks == (200, 400, 600, 800)


def test_log_scales_show_equal_ratios_as_equal_distances() -> None:
    scale = chart_frame.ratio([100, 200, 400, 1600], 0, 300)
    first, second, third, last = map(scale, (100, 200, 400, 1600))
    assert math.isclose(second - first, third - second)
    assert math.isclose(last - third, 2 * (second - first))
    assert scale.ticks == (100, 200, 400, 1600)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (1500, "1,500"), (20_000, "20k"), (2.5e6, "2.5M"), (1e-5, "1e-5"), (-3, "-3")],
)
def test_tick_labels_are_short(value: float, text: str) -> None:
    assert chart_frame.label(value) == text


def test_a_line_goes_where_its_values_are() -> None:
    html = charts.lines("c", [Series("s", [0, 5, 10], [0.0, 1.0, 0.0])], "step", "loss")
    (left, low), (middle, high), (right, end) = polylines(html)[0]
    assert middle - left == pytest.approx(right - middle)
    assert low == end == HEIGHT - chart_frame.BOTTOM and high == chart_frame.TOP


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_lines_stay_inside_the_drawing(points: list[tuple[float, float]]) -> None:
    x = sorted({a for a, _ in points})
    html = charts.lines("c", [Series("s", x, [b for _, b in points][: len(x)])], "x", "y")
    for place in itertools.chain(*polylines(html)):
        assert 0 <= place[0] <= WIDTH and 0 <= place[1] <= HEIGHT


def test_long_histories_are_averaged_not_cut() -> None:
    series = Series("s", list(range(10_000)), [float(i) for i in range(10_000)])
    points = polylines(charts.lines("c", [series], "step", "loss"))[0][: POINTS + 1]
    assert len(points) <= POINTS
    assert points[-1][0] == pytest.approx(WIDTH - chart_frame.RIGHT, abs=0.2)


def test_efficiency_shows_bands_whiskers_and_zero() -> None:
    low, high = [-0.1, 0.1], [0.3, 0.4]
    html = charts.efficiency("c", [Series("gain", [10, 100], [0.1, 0.2], low, high)], "labels", "points")
    assert html.count("whisker") == 2 and html.count("<polygon") == 1
    assert "gain, 10: 0.100 [-0.100, 0.300]" in html
    above = charts.efficiency("c", [Series("gain", [10, 100], [0.3, 0.4])], "labels", "points")
    assert html.count('class="axis"') == above.count('class="axis"') + 1  # the line at zero


def test_histogram_areas_show_counts() -> None:
    html = charts.histogram("c", [0, 10, 20, 40], [5, 10, 0], "characters")
    heights = [float(h) for h in re.findall(r'<rect[^>]*height="([\d.]+)"', html)]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.02) and heights[2] == 0
    with pytest.raises(ValueError, match="edges"):
        charts.histogram("c", [0, 1], [1, 2], "x")


def test_bars_are_as_long_as_their_values() -> None:
    html = charts.bars("c", [("a", 30.0, 0), ("b", 60.0, charts.GREY)], unit="s")
    widths = [float(w) for w in re.findall(r'<rect[^>]*width="([\d.]+)"', html)]
    assert widths[1] == pytest.approx(2 * widths[0])
    assert "1 min 00 s" in html and "30.0 s" in html


def test_the_heat_map_shades_shares_of_the_row() -> None:
    html = heat_map("c", [[3, 1], [0, 0]], ["cat", "dog"])
    assert "true cat, predicted dog: 1 of 4 (25%)" in html
    shades = [float(s) for s in re.findall(r'fill-opacity="([\d.]+)"', html)]
    assert shades == [0.76, 0.28, 0.04, 0.04]
    with pytest.raises(ValueError, match="2 x 2"):
        heat_map("c", [[1, 2]], ["a", "b"])


@pytest.mark.parametrize("size", [2, 12, 20, 80])
def test_heat_maps_of_any_size_fit_the_page(size: int) -> None:
    names = [f"class-{i}-with-a-rather-long-name" for i in range(size)]
    html = heat_map("c", [[i + j for j in range(size)] for i in range(size)], names)
    width = float(re.findall(r'<svg[^>]*width="(\d+)"', html)[0])
    right = [float(x) + float(w) for x, w in re.findall(r'<rect[^>]*width="([\d.]+)"[^>]*x="([\d.]+)"', html)]
    assert width <= chart_frame.FULL and all(edge <= width for edge in right)


def test_nothing_to_draw_is_said() -> None:
    built = [charts.lines("a", [], "x", "y"), charts.efficiency("b", [Series("s", [], [])], "x", "y")]
    built += [charts.histogram("c", [0], [], "x"), charts.bars("d", [])]
    shown = read(page.page("x", built))
    assert shown.text.count("There are no values to draw.") == 4 and "svg" not in shown.tags
