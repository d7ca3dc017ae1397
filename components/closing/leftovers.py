"""What outlives a run that did not succeed, ended: TrainJobs that nobody else wants, leases, MLflow runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from components.lib.core.errors import TrunklineError
from components.lib.core.patience import patiently
from components.lib.registry.tracking.termination import end_all
from components.lib.storage import exit_record
from components.lib.storage.exit_record.record import Record
from components.lib.storage.lease import Lease, leases
from components.lib.storage.store import Store

if TYPE_CHECKING:
    from components.lib.kubernetes.runs import RunCluster


def end(store: Store, run_id: str, status: str, ledger: Sequence[Record], cluster: RunCluster | None) -> None:
    """Ends it all; what cannot be ended is told, and does not keep the rest."""
    uri = next((str(one["tracking_uri"]) for one in ledger if one.get("tracking_uri")), "")
    killed = "KILLED" if status == exit_record.CANCELLED else "FAILED"
    acts: dict[str, Callable[[], None]] = {
        "TrainJobs": lambda: _trainjobs(store, run_id, cluster) if cluster else None,
        "leases": lambda: _leases(store, run_id),
        "MLflow runs": lambda: _mlflow(uri, run_id, killed, cluster) if uri else None,
    }
    for what, act in acts.items():
        try:
            act()
        except TrunklineError as error:
            print(f"closing: the {what} of this run are not ended: {error}", flush=True)


def _mlflow(uri: str, run_id: str, status: str, cluster: RunCluster | None) -> None:
    """Patient in a pod; on a laptop somebody waits for the end."""
    if cluster:
        patiently(lambda: end_all(uri, run_id, status), "closing")
    else:
        end_all(uri, run_id, status)


def _trainjobs(store: Store, run_id: str, cluster: RunCluster) -> None:
    """Deletes those that this run follows, but not one that another live run follows or waits for."""
    for job in cluster.jobs():
        name, notes = job["metadata"]["name"], job["metadata"].get("annotations") or {}
        lease = Lease(store.objects, f"launches/{notes.get('trunkline.key')}", run_id)
        holder = lease.holder()
        mine = holder.owner == run_id if holder else notes.get("trunkline.run") == run_id
        if not mine:
            continue
        if others := lease.wanted():
            print(f"closing: TrainJob {name} goes on for run {', '.join(others)}", flush=True)
            continue
        cluster.delete(job, wait=False)
        print(f"closing: deleted TrainJob {name}: its pods save their state and end", flush=True)


def _leases(store: Store, run_id: str) -> None:
    """Gives back what processes of this run held that were killed: whoever waits need not wait longer."""
    for folder in ("launches/", "aliases/"):
        for prefix in leases(store.objects, folder):
            Lease(store.objects, prefix, run_id).end()
