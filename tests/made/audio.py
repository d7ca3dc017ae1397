"""Made-up clips: letters as tones, one after the other; the last one names the class."""

import base64
from typing import Any

from components.lib.data import tones

INGESTION: dict[str, Any] = {}
TOKENIZATION = {"rate": tones.RATE}
TRUNK = {"size": "nano", "seconds": 0.5}
LABELLED: dict[str, dict[str, str]] = {}
record = tones.record


def longer(record: dict[str, Any]) -> dict[str, Any]:
    """The same record, hundreds of times as long."""
    audio = record["audio"]
    return {**record, "audio": {**audio, "array": audio["array"] * 400}}


def sent(value: bytes) -> str:
    """An input as a client sends it."""
    return base64.b64encode(value).decode()


BROKEN = ("", "no base64!", sent(b"no sound"), sent(b"RIFF\0\0\0\0WAVE"), None)  # refused where it is served
