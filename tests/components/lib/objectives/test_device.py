"""What a GPU would have to wait for, found without one."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.components.lib.objectives.test_contract import CASES


def test_no_pass_leaves_the_device_or_waits_for_it():
    command = [sys.executable, "-W", "ignore", "-m", "tests.components.lib.objectives.device"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1]) == {f"{name} {kind}": None for name, kind in CASES}
