"""The fault matrix: each test names its row; `make faults` ends with a table of rows and results."""

from __future__ import annotations

from collections import defaultdict

import pytest

ROWS = pytest.StashKey[dict]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = defaultdict(list)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" or report.outcome != "passed":
        for marker in item.iter_markers("fault"):
            for row in marker.args:
                item.config.stash[ROWS][row].append((report.outcome, item.name, report.duration))


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, {})
    if not rows or config.getoption("-m", default="") != "":
        return
    terminalreporter.section("fault matrix")
    for row in sorted(rows):
        results = [outcome for outcome, _, _ in rows[row]]
        seconds = sum(duration for _, _, duration in rows[row])
        counts = ", ".join(f"{results.count(kind)} {kind}" for kind in sorted(set(results)))
        terminalreporter.write_line(f"{row}  {counts:<24} {seconds:7.1f} s")
