"""A format that has every flaw, added by an entry point as a user adds one, and a Pillow with some flaws.

A file `x.hostile` has one document a line; at a line `!deed` its decoder says so, and does it.
"""

import json
import os
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
        stream.tally.read = number
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


ENTRY = """[trunkline.formats]
hostile = hostile_format
"""


class Project:
    """Runs ingestion with them, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {
            "flaws.py": FLAWS,
            "hostile_format.py": FORMAT,
            "sitecustomize.py": PILLOW,
            "hostile-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: hostile\nVersion: 1\n",
            "hostile-1.dist-info/entry_points.txt": ENTRY,
        }
        for name, text in files.items():
            (folder / "installed" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "installed" / name).write_text(text)
        self.environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder / 'installed'}"}

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
            cwd=ROOT,
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
