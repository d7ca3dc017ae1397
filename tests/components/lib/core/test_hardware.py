"""Containers use the cores of their own quota; stages that miss a reserved GPU refuse to run on the CPU."""

import os

import pytest
import torch

from components.lib.core import hardware
from components.lib.core.errors import ConfigError
from components.lib.storage.stage import stage
from components.pretraining import watchdog

VISIBLE = torch.cuda.device_count()


@pytest.mark.parametrize(
    ("reserved", "quota", "expected"),
    [
        ("", "max 100000\n", 4),
        ("3", "max 100000\n", 3),
        ("8", "max 100000\n", 4),
        ("", "250000 100000\n", 2),
        ("", "50000 100000\n", 1),
        ("3", "200000 100000\n", 3),
        ("", None, 4),
    ],
)
def test_a_container_does_not_take_its_node_for_its_own(tmp_path, monkeypatch, reserved, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(hardware, "QUOTA", tmp_path / "cpu.max")
    if quota:
        (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setenv(hardware.CPUS, reserved)
    assert hardware.cores() == expected


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ("low 0\noom 3\noom_kill 2\n", "the kernel ended 2 processes at the limit of memory, 4.0 GiB"),
        ("low 0\noom 0\noom_kill 0\n", ""),
        (None, ""),
    ],
)
def test_a_process_that_the_kernel_ended_for_memory_is_told_with_the_limit(
    tmp_path, monkeypatch, events, said
):
    """By whoever started it and lives, in its own container."""
    for name, path in (("EVENTS", "memory.events"), ("CEILING", "memory.max")):
        monkeypatch.setattr(hardware, name, tmp_path / path)
    (tmp_path / "memory.max").write_text(str(4 << 30))
    if events:
        (tmp_path / "memory.events").write_text(events)
    assert hardware.out_of_memory() == said
    (tmp_path / "log").mkdir()
    lost = watchdog._cause(tmp_path / "log", 1, "exitcode  : -9")
    assert said in lost.found and "SIGKILL" in lost.found
    assert lost.fix.startswith("lower pretraining.micro_batch" if said else "if memory ran out, lower")


@pytest.mark.parametrize("reserved", ["", "0", str(VISIBLE)])
def test_what_is_visible_is_enough(monkeypatch, reserved):
    monkeypatch.setenv(hardware.ACCELERATORS, reserved)
    hardware.check_accelerators()


def test_a_stage_whose_accelerators_are_not_visible_does_not_work_on_the_cpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(hardware.ACCELERATORS, str(VISIBLE + 1))
    with pytest.raises(ConfigError, match="not seen"):
        hardware.check_accelerators()
    settings = {"store": str(tmp_path), "run": {"run_id": "r", "tracking_uri": "", "details": {}}}
    with pytest.raises(SystemExit) as caught, stage("pretraining", settings):
        pytest.fail("it began")
    assert caught.value.code == 78
    said = capsys.readouterr().err
    assert f"{VISIBLE}, by torch {torch.__version__}" in said and "TORCH_INDEX" in said
