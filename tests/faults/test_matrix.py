"""Every row of the fault matrix has a test."""

import re
from pathlib import Path

from tests.faults.matrix import ROWS

TESTS = Path(__file__).parents[1]


def test_each_row_is_shown_by_a_test():
    text = "".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    named = {
        row
        for mark in re.findall(r"(?:mark\.fault|row)\(([^)]*)\)", text)
        for row in re.findall(r"F\d\d", mark)
    }
    assert named == ROWS.keys() and list(ROWS) == [f"F{number:02}" for number in range(1, 32)]
