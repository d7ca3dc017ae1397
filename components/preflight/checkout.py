"""The git commit that runs: of the checkout, or of the image that was built from it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def commit() -> str:
    """The git commit of the checkout, or of the image that was built from it; empty if neither is known."""
    if "TRUNKLINE_COMMIT" in os.environ:
        return os.environ["TRUNKLINE_COMMIT"]
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=3, check=False).stdout.strip()
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
