"""Bounds of a model server: what a client may send, how long it waits, how many wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What is more than this is refused, with a sentence that says which bound it broke.

    Attributes:
        bytes: of the body of a request (413).
        records: inputs of a request (413).
        characters: of one text among the inputs; files in base64 count too (413).
        seconds: from the first byte of a request to its answer (408, 504); also of one batch.
        queue: requests that wait or are read at once (503).
        batch: records that are computed at once, if several requests wait.
        threads: that a model computes with on processors; more than one pay for large models alone.
        loading: seconds in which a version must be loaded and have answered its examples.
        linger: seconds after SIGTERM in which requests still come in, as load balancers learn of it late.
    """

    bytes: int = 16 << 20
    records: int = 1000
    characters: int = 8 << 20
    seconds: float = 60.0
    queue: int = 256
    batch: int = 64
    threads: int = 1
    loading: float = 600.0
    linger: float = 5.0
