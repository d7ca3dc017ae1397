"""A confusion matrix as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

from components.lib.pages.chart_frame import FULL, LONGEST, RIGHT, WIDTH, drawing, text
from components.lib.pages.markup import Html, concat, element

TOP = 8
LETTER = 6.1  # pixels, of a label's font
LARGEST = 40.0  # pixels of a cell
READABLE = 22.0  # smaller cells hold no number


def heat_map(
    caption: str, counts: Sequence[Sequence[float]], names: Sequence[str], *, note: str = ""
) -> Html:
    """Rows are true classes, columns predictions, shades and numbers are per cent of the row.

    Raises:
        ValueError: if `counts` is not a square of the size of `names`.
    """
    size = len(names)
    if not size or len(counts) != size or any(len(row) != size for row in counts):
        raise ValueError(f"{size} classes need a {size} x {size} matrix")
    room = 16 + LETTER * min(max(map(len, names)), LONGEST)
    width = WIDTH if (WIDTH - room - RIGHT) / size >= READABLE else FULL
    cell = min((width - room - RIGHT) / size, LARGEST)
    parts = []
    for i, row in enumerate(counts):
        parts.append(text(names[i], room - 8, TOP + (i + 0.5) * cell + 4, anchor="end", css="small"))
        for j, count in enumerate(row):
            place = (room + j * cell, TOP + i * cell)
            parts.append(_cell(count, sum(row), (names[i], names[j]), place, cell))
    below = TOP + size * cell
    for j, name in enumerate(names):
        turn = f"translate({room + (j + 0.5) * cell + 3:.1f} {below + 9:.1f}) rotate(-55)"
        label = text(name, 0, 0, anchor="end", css="small")
        parts.append(element("g", label, transform=turn))
    return drawing(caption, *parts, note=note, size=(width, round(below + 10 + 0.85 * room)))


def _cell(
    count: float, total: float, names: tuple[str, str], place: tuple[float, float], size: float
) -> Html:
    share = count / total if total else 0.0
    hint = f"true {names[0]}, predicted {names[1]}: {count:g} of {total:g} ({share:.0%})"
    (x, y), side = place, size - 1
    shade = round(0.04 + 0.96 * share, 2)
    corner = {"x": x + 0.5, "y": y + 0.5, "width": side, "height": side}
    box = element("rect", element("title", hint), class_="heat", fill_opacity=shade, **corner)
    if size < READABLE or share < 0.005:
        return box
    css = "small on-heat" if share > 0.7 else "small value" if share > 0.1 else "small"
    return concat(box, text(f"{share * 100:.0f}", x + size / 2, y + size / 2 + 4, anchor="middle", css=css))
