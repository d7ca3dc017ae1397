"""A copy of the project with a format that has every flaw, added as a user adds one, and a Pillow with some.

A file `x.hostile` has one document a line; at a line `!deed` its decoder says so, and does it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.architecture.imports import ROOT

FLAWS = """
import ctypes
import os
import re
import signal
import time


def grow():
    held = []
    while True:
        held.append(bytes(256 << 20))


DEEDS = {
    "spin": lambda: re.match("(a+)+$", "a" * 64 + "b"),  # native, and without letting go of the interpreter
    "hang": lambda: time.sleep(1000),
    "pause": lambda: time.sleep(3),
    "allocate": grow,
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "bug": lambda: {}["x"],
}
"""

FORMAT = '''
"""A format whose decoder has every flaw."""

from dataclasses import dataclass

import sys

import flaws
from components.lib.data.formats import Record, place

SUFFIXES = (".hostile",)


@dataclass(frozen=True)
class Config:
    """No dials."""


def read(stream, config, encoding):
    for number, line in enumerate(stream.file.read().decode().splitlines(), 1):
        if line.startswith("!"):
            print("begun", file=sys.stderr, flush=True)
            flaws.DEEDS[line[1:]]()
        yield Record({"text": line}, place(stream, number))
'''

PILLOW = """
import flaws
from PIL import Image

sound = Image.open


def flawed(file, *arguments, **named):
    data = file.getvalue()
    for name, deed in flaws.DEEDS.items():
        if data.endswith(f"!{name}".encode()):
            deed()
    return sound(file, *arguments, **named)


Image.open = flawed
"""

RUN = """
import json, sys, time
from pathlib import Path
from components.ingestion.config import configured
from components.ingestion.run import run
from components.lib.storage.stage import stage
from pyarrow import parquet

folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
with stage("ingestion", {"store": str(folder / "store"), "run": {}}) as context:
    made = run(configured(settings), context, corpus=folder / "corpus.json", card=folder / "card.html")
    quarantine = parquet.read_table(context.store.open(made, "quarantine.parquet")).to_pylist()
    print(json.dumps({
        "reference": made.reference, "notices": context.notices, "facts": made.facts,
        "reused": context.outputs[-1]["reused"], "quarantine": quarantine,
        "files": {file.name: file.sha256 for file in made.files},
    }))
"""


class Project:
    """Runs ingestion in the copy, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "project"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "components", self.root / "components", ignore=ignored)
        (self.root / "flaws.py").write_text(FLAWS)
        (self.root / "components/lib/data/formats/hostile.py").write_text(FORMAT)
        pillow = folder / "pillow"
        pillow.mkdir()
        (pillow / "sitecustomize.py").write_text(PILLOW)
        self.environment = {**os.environ, "PYTHONPATH": f"{self.root}:{pillow}"}

    def start(self, source: Path, store: str = "store", **settings: Any) -> subprocess.Popen[str]:
        """Starts a run in a session of its own."""
        values = {
            "sources": [str(source)],
            "modality": "text",
            "format_options": {"txt": {"unit": "line"}},
            "workers": 1,
            "validation": 0.2,
            "quarantine": 1.0,
            "timeout": 2,
            **settings,
        }
        folder = self.folder / store
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(folder), json.dumps(values)],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(self, source: Path, store: str = "store", **settings: Any) -> dict[str, Any]:
        """What a run made that succeeds."""
        with self.start(source, store, **settings) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found
