"""Made-up pairs: a painted shape with captions of it, and its class."""

import base64
import random
from typing import Any

from tests.made import image
from tests.made.image import sent as _sent

INGESTION: dict[str, Any] = {"near_duplicates": 0.0}
TOKENIZATION = {
    "image": {"height": 16, "width": 16},
    "text": {"kind": "wordpiece", "vocabulary_size": 300, "min_frequency": 1},
}
TRUNK = {
    "image": {"architecture": "cnn", "size": "nano", "crop": 0.5, "flip": 0.0, "patch": 4},
    "text": {"architecture": "modernbert", "size": "nano", "sequence_length": 24},
    "width": 32,
}
LABELLED = {"image_captioning": {"text": "caption"}}
WORDS = ("small", "plain", "lonely", "drawn", "painted", "strange", "quiet", "old")


def record(draw: random.Random) -> dict[str, Any]:
    """A shape, two captions of it, and its class."""
    made = image.record(draw)
    kind, number = made["label"], draw.randrange(10**6)
    captions = [f"a {draw.choice(WORDS)} {kind}", f"{kind} number {number}"]
    own = {"text": captions, "name": captions[1], "caption": f"this is a drawing of a {kind}"}
    return {"image": made["image"], "label": kind, **own}


def longer(record: dict[str, Any]) -> dict[str, Any]:
    """The same with a picture of fifty times as many pixels a side and a caption of 20,000 words."""
    grown = [[pixel for pixel in row for _ in range(50)] for row in record["image"] for _ in range(50)]
    long = f"{record['caption']} " * 3000
    return {**record, "image": grown, "text": [long], "name": long, "caption": long}


def sent(value: bytes | str) -> str:
    """An input as a client sends it."""
    return _sent(value) if isinstance(value, bytes) else value


EXAMPLE = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNkEIQAJkGKGACW0QQ/5dbbJgAAAABJRU5ErkJggg=="
    )
).decode()
BROKEN = ("", "no base64!", sent(b"no image"), sent(b"\x89PNG\r\n\x1a\n"))
