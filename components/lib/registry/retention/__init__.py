"""Garbage collector of the store: mark and sweep, with a grace period in which outputs are hidden.

    condemned/<stage>/<key>/<attempt>.json    the manifest of an output that is hidden; its files stay

An output is needed if a registered version, an output of a recent run, a run that has not ended or a fresh
manifest leads to it. To hide it is to move its manifest: what has no manifest does not exist, so no new run
can find it. If it turns out to be needed after all, the manifest is put back; else, after the grace period,
its files are deleted. All doubts end in an error before anything is touched: a registry that does not answer
or names nothing of this store, a damaged manifest, a damaged ledger.
"""

from components.lib.registry.retention.collection import collect
from components.lib.registry.retention.marking import Policy
from components.lib.registry.retention.report import Report

__all__ = ["Policy", "Report", "collect"]
