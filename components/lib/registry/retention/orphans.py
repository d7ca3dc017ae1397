"""Garbage collection of TrainJobs that nobody follows any more, by the leases in the store."""

from __future__ import annotations

from typing import Any

from components.lib.kubernetes.api import Cluster
from components.lib.kubernetes.pods import moment
from components.lib.registry.retention.report import Report
from components.lib.storage.store import Store

GRACE = 600.0  # seconds that pods have to notice it themselves and to save a checkpoint


def end(store: Store, cluster: Cluster, report: Report, now: float) -> None:
    """Deletes the TrainJobs of this store whose lease was not renewed for their `trunkline.orphan-minutes`.

    Raises:
        ServiceError, AccessError: if Kubernetes or the store does not answer.
    """
    for job in cluster.jobs():
        minutes = float(job["metadata"]["annotations"].get("trunkline.orphan-minutes", 0))
        if minutes and now - _followed(store, job, now) > 60 * minutes + GRACE:
            report.add("orphans", f"{cluster.namespace}/{job['metadata']['name']}", 0)
            if not report.dry:
                cluster.delete(job, wait=False)


def _followed(store: Store, job: dict[str, Any], now: float) -> float:
    """When somebody showed last that he follows it; now, if another store knows that."""
    place = f"launches/{job['metadata']['annotations'].get('trunkline.key', '')}"
    if job["spec"]["trainer"]["command"][-1] != f"{store.uri}/{place}":
        return now
    renewed = [entry.modified for entry in store.objects.entries(f"{place}/lease.")]
    return max([*renewed, moment(job["metadata"]["creationTimestamp"])])
