"""`hf:` against a server that speaks the Hub's API, by the Hub's own client in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.lib.storage.stage import OFFLINE
from tests.fakes.hub_server import serving

FILES = {
    "README.md": b"# A data set\n",
    "data/train-0.jsonl": b'{"text": "first"}\n{"text": "second"}\n',
    "data/train-1.jsonl": b'{"text": "third"}\n',
    "data/test-0.jsonl": b'{"text": "held out"}\n',
}
READ = """
import json, sys
from components.lib.core.errors import TrunklineError
from components.lib.data.sources import find, read_records
try:
    print(json.dumps([[entry.name, entry.size] for entry in find(sys.argv[1])]))
    print(json.dumps([record.fields["text"] for record in read_records(sys.argv[1])]))
except TrunklineError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def read(address: str, uri: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """The Hub's client reads its settings when it is imported."""
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", READ, uri],
        capture_output=True,
        text=True,
        check=False,
        env={**{name: text for name, text in os.environ.items() if name not in OFFLINE}, **settings},
    )


def test_a_split_of_a_data_set_on_the_hub(tmp_path):
    with serving("owner/name", FILES) as address:
        train = read(address, "hf:owner/name", tmp_path)
        test = read(address, "hf:owner/name?split=test", tmp_path)
    assert train.returncode == test.returncode == 0, train.stderr + test.stderr
    names, texts = map(json.loads, train.stdout.splitlines())
    assert names == [["hf:owner/name/data/train-0.jsonl", 37], ["hf:owner/name/data/train-1.jsonl", 18]]
    assert texts == ["first", "second", "third"] and json.loads(test.stdout.splitlines()[1]) == ["held out"]


@pytest.mark.parametrize(
    ("uri", "code", "what"),
    [("hf:owner/other", 66, "cannot be found"), ("hf:owner/name?split=dev", 66, "known: test, train")],
)
def test_what_the_hub_does_not_have(tmp_path, uri, code, what):
    with serving("owner/name", FILES) as address:
        done = read(address, uri, tmp_path)
    assert done.returncode == code and what in done.stdout, done.stdout + done.stderr[-2000:]
