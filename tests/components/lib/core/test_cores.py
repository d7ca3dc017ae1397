from __future__ import annotations

import os

import pytest

from components.lib.core import cores


@pytest.mark.parametrize(
    ("kept", "quota", "expected"),
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
def test_a_container_does_not_take_its_node_for_its_own(tmp_path, monkeypatch, kept, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    if quota:
        (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setenv("TRUNKLINE_CPUS", kept)
    assert cores.cores() == expected
