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


@pytest.fixture
def console(tmp_path):
    out = io.StringIO()
    console = Console(tmp_path / "logs" / "run.log", out)
    console.out = out
    yield console
    console.close()


def shown(console, *texts):
    """The lines of a console after it was written to, each as words."""
    for text in texts:
        console.write(text)
    return [line.split() for line in console.out.getvalue().splitlines()]


def test_a_stage_is_one_line_and_the_log_has_everything(console):
    noise = "    [KFP Executor INFO]: Got executor_input:\n    {\n" + '        "inputs": {}\n'
    said = "    ingestion: made file:///store/x\n    ingestion: 3 records in quarantine\n    other: made file:///y\n"
    (line,) = shown(console, started("ingest"), noise, said, ended("ingest"))
    assert line[:2] == ["ingestion", "made"] and line[3:] == ["s", "3", "records", "in", "quarantine"]
    assert console.path.read_text() == started("ingest") + noise + said + ended("ingest")


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (["reused"], "reused"),
        (["reused", "reused"], "reused"),
        (["reused", "made"], "made"),
        (["made", "reused"], "made"),
        ([], "done"),
    ],
)
def test_state_of_a_stage(console, words, state):
    said = "".join(f"    tokenization: {word} file:///x\n" for word in words)
    assert shown(console, started("tokenize") + said + ended("tokenize"))[0][1] == state


def test_a_stage_that_passes_on_says_why(console):
    said = started("tokenize") + "    tokenization: passed on: the data is unchanged\n" + ended("tokenize")
    (line,) = shown(console, said)
    assert line[1] == "passed" and line[4:] == ["the", "data", "is", "unchanged"]


def test_a_failed_stage(console):
    (line,) = shown(console, started("pretrain") + ended("pretrain", "FAILURE"))
    assert line[:2] == ["pretraining", "failed"] and [one.stage for one in console.failed] == ["pretraining"]


def test_lines_in_pieces(console):
    text = started("preflight") + ended("preflight")
    assert len(shown(console, *(text[start : start + 7] for start in range(0, len(text), 7)))) == 1


def test_progress_is_overwritten_on_a_terminal_and_left_out_of_a_short_stage_elsewhere(tmp_path, console):
    out = io.StringIO()
    out.isatty = lambda: True
    terminal = Console(tmp_path / "run.log", out)
    steps = [f"    pretraining [#] {step}/9  loss 1.0  0:0{step} to go\n" for step in (1, 2)]
    text = started("pretrain") + "".join(steps) + ended("pretrain")
    terminal.write(text)
    terminal.close()
    assert out.getvalue().count("\n") == 1, "only the last line stays"
    assert "2/9" in out.getvalue() and out.getvalue().count("\r\x1b[K") == 4
    assert len(shown(console, text)) == 1


def test_tasks_side_by_side_keep_their_lines(console):
    """KFP waits for each task of a loop in a thread of its own."""
    ready = threading.Barrier(2)

    def task(name, stage, number):
        for text in (started(name), f"    {stage}: note {number}\n", ended(name)):
            console.write(text)
            ready.wait()

    sides = (("finetune", "finetuning", 1), ("evaluate-2", "evaluation", 2))
    threads = [threading.Thread(target=task, args=side) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((line[0], line[-1]) for line in shown(console)) == [
        ("evaluation", "2"),
        ("finetuning", "1"),
    ]
