from __future__ import annotations

import io
import threading

import pytest

from pipelines.console import Console

CYAN, GREEN, RED, END = "\x1b[96m", "\x1b[92m", "\x1b[91m", "\x1b[0m"


def started(task):
    return f"00:00:00.000 - INFO - Executing task {CYAN}'{task}'{END}\n"


def ended(task, status="SUCCESS"):
    color = GREEN if status == "SUCCESS" else RED
    return f"00:00:01.000 - INFO - Task {CYAN}'{task}'{END} finished with status {color}{status}{END}\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def console(tmp_path):
    out = io.StringIO()
    console = Console(tmp_path / "logs" / "run.log", out)
    console.out = out
    yield console
    console.close()


def shown(console):
    return console.out.getvalue().splitlines()


def test_a_stage_is_one_line(console):
    console.write(started("ingest"))
    console.write("    [KFP Executor INFO]: Got executor_input:\n    {\n")
    console.write('        "inputs": {}\n    ingestion: made file:///store/x\n')
    console.write("    ingestion: 3 records in quarantine\n    other: made file:///y\n")
    console.write(ended("ingest"))
    (line,) = shown(console)
    assert line.split()[:2] == ["ingestion", "made"] and line.endswith("s  3 records in quarantine")
    log = console.path.read_text()
    assert "Got executor_input" in log and "Executing task" in log, "the log has everything"


@pytest.mark.parametrize(
    ("words", "state"),
    [(["reused"], "reused"), (["reused", "reused"], "reused"), (["reused", "made"], "made"),
     (["made", "reused"], "made"), ([], "done")],
)  # fmt: skip
def test_state_of_a_stage(console, words, state):
    console.write(started("tokenize") + "".join(f"    tokenization: {word} file:///x\n" for word in words))
    console.write(ended("tokenize"))
    assert shown(console)[0].split()[1] == state


def test_a_failed_stage(console):
    console.write(started("pretrain") + ended("pretrain", "FAILURE"))
    assert shown(console)[0].split()[:2] == ["pretraining", "failed"]
    assert console.failed == ["pretraining"]


def test_lines_in_pieces(console):
    for piece in (
        started("pre")[:-4],
        "flight'" + END + "\n",
        ended("preflight")[:9],
        ended("preflight")[9:],
    ):
        console.write(piece)
    assert len(shown(console)) == 1


def test_progress_is_overwritten_on_a_terminal(tmp_path):
    out = Terminal()
    console = Console(tmp_path / "run.log", out)
    console.write(started("pretrain"))
    for step in (1, 2):
        console.write(f"    pretraining [#] {step}/9  loss 1.0  0:0{step} to go\n")
    console.write(ended("pretrain"))
    console.close()
    assert out.getvalue().count("\n") == 1, "only the last line stays"
    assert "2/9" in out.getvalue() and out.getvalue().count("\r\x1b[K") == 4


def test_no_progress_in_a_short_stage_without_a_terminal(console):
    console.write(started("pretrain") + "    pretraining [#] 1/9  0:01 to go\n" + ended("pretrain"))
    assert len(shown(console)) == 1


def test_tasks_side_by_side_keep_their_lines(console):
    """KFP waits for each task of a loop in a thread of its own."""
    ready = threading.Barrier(2)

    def task(name, stage, number):
        console.write(started(name))
        ready.wait()
        console.write(f"    {stage}: note {number}\n")
        ready.wait()
        console.write(ended(name))

    threads = [
        threading.Thread(target=task, args=args)
        for args in (("finetune", "finetuning", 1), ("evaluate-2", "evaluation", 2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = sorted(shown(console))
    assert lines[0].split()[0] == "evaluation" and lines[0].endswith("note 2")
    assert lines[1].split()[0] == "finetuning" and lines[1].endswith("note 1")
