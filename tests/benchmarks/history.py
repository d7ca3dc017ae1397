"""One line of JSON a measurement, in tests/benchmarks/history.jsonl, with the machine it was taken on.

With SMALL=1 in the environment a benchmark takes seconds: it shows that it runs, and records nothing.
"""

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any, TypeVar

FILE = Path(__file__).with_name("history.jsonl")
SMALL = bool(os.environ.get("SMALL"))
T = TypeVar("T")


def sized(full: T, small: T) -> T:
    """The size that is asked for."""
    return small if SMALL else full


def record(name: str, figures: dict[str, Any]) -> None:
    """Appends the figures of a benchmark."""
    line = {
        "benchmark": name,
        "date": time.strftime("%Y-%m-%d"),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "machine": machine(),
        "figures": {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()},
    }
    if not SMALL:
        with FILE.open("a") as file:
            file.write(json.dumps(line) + "\n")


def machine() -> dict[str, Any]:
    """Processor, cores and the vector instructions that decide what pays."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = next((line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")), "")
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {flag} " in text]
    about = {"cpu": model or platform.processor(), "cores": os.cpu_count(), "flags": flags}
    return {**about, "load": round(os.getloadavg()[0], 1), "python": platform.python_version()}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
