"""Settings of closing: the end of a run as KFP sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """The end of a run as KFP sees it.

    Attributes:
        store: URI of the store; empty: the one of the environment.
        run_id: the run, which names its ledger.
        state: SUCCEEDED, FAILED, CANCELLED of KFP's local runners; COMPLETE, FAILED, RUNNING, ... of its
            server, whose word for the graph is not always up to date.
        message: KFP's own words, which are generic; the ledger knows more.
    """

    store: str
    run_id: str
    state: str
    message: str = ""
