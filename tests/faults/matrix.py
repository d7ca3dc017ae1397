"""The fault matrix: a test names its rows by `@pytest.mark.fault("F01")`; `make faults` prints all of it."""

from collections import defaultdict

import pytest

ROWS = {
    "F01": "a process is killed, once and again, at random steps",
    "F02": "all are killed while a checkpoint is written, before and after its commit",
    "F03": "all are killed while old checkpoints are deleted",
    "F04": "a process hangs",
    "F05": "a request to stop: to the launcher, to torchrun, to one process, to all",
    "F06": "a request to stop, and too little time for it",
    "F07": "a second request to stop",
    "F08": "S3 fails at every n-th request: 500, 503, 429, reset",
    "F09": "S3 is down for a while",
    "F10": "S3 is down for good",
    "F11": "S3 is slow",
    "F12": "S3 answers with a body that is cut short or damaged",
    "F13": "S3 does it, and the answer is lost",
    "F14": "several writers of one key",
    "F15": "credentials that run out",
    "F16": "a clock that is wrong or jumps",
    "F17": "MLflow is down, ill or hangs, and comes back",
    "F18": "MLflow does it, and the answer is lost",
    "F19": "registration and promotion are killed at each request",
    "F20": "a full disk",
    "F21": "token shards with flipped bits",
    "F22": "damaged checkpoints, and those of other settings",
    "F23": "a writer is killed between its files",
    "F24": "two runs of one training, or one model, at once; one thought dead",
    "F25": "a step that runs twice, at once or after its success",
    "F26": "a loss that is not finite, or a spike, on one process",
    "F27": "a process dies for want of memory",
    "F28": "errors that trying again cannot mend; a loop of crashes",
    "F29": "two processes, then one, then two",
    "F30": "kills and failing requests at random",
    "F31": "a worker of a Ray cluster, or one of its machines, is lost",
}


class Matrix:
    """Collects the results of rows, from all processes that run tests, and prints them."""

    def __init__(self) -> None:
        self.results: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)  # row: test: (outcome, why)
        self.seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        report = yield
        rows = [row for mark in item.iter_markers("fault") for row in mark.args]
        report.user_properties.extend(("fault", row) for row in rows)
        return report

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("fault"):
                if unknown := set(mark.args) - ROWS.keys():
                    raise pytest.UsageError(f"{item.nodeid}: no such row of the fault matrix: {unknown}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        why = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
        for row in {row for name, row in report.user_properties if name == "fault"}:
            self.results[row][report.nodeid] = (report.outcome, why)
            self.seconds[row] += report.duration

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """A matrix with a hole in it has not passed."""
        if _whole(session.config) and exitstatus == 0 and ROWS.keys() - self.results.keys():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter, config: pytest.Config) -> None:
        if config.getoption("-m") != "fault" or hasattr(config, "workerinput"):
            return
        terminalreporter.section("fault matrix")
        shown = {row for row in ROWS if _whole(config) or row in self.results}
        for row, what in ((row, what) for row, what in ROWS.items() if row in shown):
            for line in self.lines(row, what):
                terminalreporter.write_line(line)

    def lines(self, row: str, what: str) -> list[str]:
        """The row, and below it what was skipped or failed, and which tests show it."""
        found = self.results.get(row, {})
        outcomes = {outcome for outcome, _ in found.values()}
        worst = next((o for o in ("failed", "skipped", "passed") if o in outcomes), "NOT RUN")
        counts = f"{len(found)} test{'s' * (len(found) != 1)}"
        tests = sorted({name.rpartition("/")[2].partition("[")[0] for name in found})
        notes = [f"skipped: {why}" for outcome, why in sorted(set(found.values())) if outcome == "skipped"]
        head = f"{row}  {worst:<8} {counts:<9} {self.seconds[row]:6.1f} s  {what}"
        return [head, *(f"       {line}" for line in (*notes, *tests))]


def _whole(config: pytest.Config) -> bool:
    """Whether all of the matrix was asked for."""
    options = config.option
    if hasattr(config, "workerinput"):
        return False
    return options.markexpr == "fault" and not options.keyword and config.args_source.name != "ARGS"
