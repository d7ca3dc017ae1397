"""Any file of any format: every record is kept, dropped or quarantined; only a told error ends it."""

from __future__ import annotations

import os
import pickle
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.ingestion.config import Config, configured
from components.ingestion.record_reader import Fetched, RecordReader
from components.lib import modalities
from components.lib.core.errors import InternalError, TrunklineError
from components.lib.data.sources import Object
from tests.fuzzing.mutation import WHOLE, mutated

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20"))  # of a test; `make fuzz` asks for thousands
QUICK = EXAMPLES < 100
SECONDS, MEGABYTES = 10, 1024  # what an input of some hundred bytes may take
IMAGES = ("npz", "npy", "idx", "pixels", "webdataset", "images")
fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize=QUICK,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def config_of(kind: str) -> Config:
    """How a user would have such a file read."""
    name = WHOLE[kind][0]
    given: dict[str, Any] = {
        "modality": "text",
        "sources": [name],
        "format_options": {"txt": {"unit": "line"}},
    }
    if kind in IMAGES:
        given |= {"modality": "image", "format_options": {"pixels": {"height": 8, "width": 8}}}
    if kind in ("idx", "npz", "npy", "pixels", "webdataset"):
        given["format"] = kind
    return configured(given | ({"text": "tokens"} if kind == "conll" else {}))


def ingested(config: Config, path: Path, data: bytes) -> dict[str, Any]:
    """What reading and cleaning make of a file, without the processes that they have in a run."""
    path.write_bytes(data)
    file = Fetched(Object(path.name, "1", len(data), str(path)), path, "", len(data))
    reader, batches, error = RecordReader(config, 1 << 20), [], ""
    try:
        for request in ((0, file), None):
            batches += reader(request)
    except TrunklineError as found:
        assert not isinstance(found, InternalError), found
        error = f"{type(found).__name__} {found}".replace(str(path), "")
    cleaner = modalities.load(config.modality, "ingestion").cleaner(config.own, [])
    payloads = [payload for batch in batches for payload in pickle.loads(batch.payloads)]
    cleaned = cleaner(payloads) if payloads else None
    rejects = [item for batch in batches for _, item in batch.rejects]
    return {"payloads": payloads, "rejects": rejects, "cleaned": cleaned, "error": error}


@pytest.mark.parametrize("kind", WHOLE)
@fuzzed
@given(drawn=st.data())
def test_every_record_is_kept_dropped_or_quarantined(
    kind: str, drawn: st.DataObject, tmp_path_factory: Any
) -> None:
    name, whole = WHOLE[kind]
    folder = tmp_path_factory.getbasetemp() / f"fuzz-{kind}"
    folder.mkdir(exist_ok=True)
    data, config = drawn.draw(mutated(whole)), config_of(kind)
    began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, again = (ingested(config, folder / name, data) for _ in range(2))
    assert time.monotonic() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MEGABYTES << 10
    assert found["payloads"] == again["payloads"] and found["rejects"] == again["rejects"]
    assert found["error"] == again["error"]
    assert all(item.where and item.reason for item in found["rejects"])
    if (cleaned := found["cleaned"]) is not None:
        assert len(cleaned.reasons) + len(cleaned.broken) == len(found["payloads"])
        assert cleaned.reasons == again["cleaned"].reasons and cleaned.broken == again["cleaned"].broken
