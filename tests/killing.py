"""A process that dies at one of its calls to MLflow."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from tests.faults.proxy import Fault

PRELOAD = ["mlflow", "transformers", "components.promotion.application", "tests.models"]
LIMIT = 60.0  # seconds

CHANGES = ("create_", "set_", "update_", "log_", "finalize_", "delete_")


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the program catches it."""


class Calls:
    """Counts the main thread's changing calls; those from `limit` on do not happen."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.made = limit, 0

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                if self.limit is not None and self.made >= self.limit:
                    raise Killed
                self.made += 1
            return call(*arguments, **named)

        return wrapped


@contextmanager
def dying(limit: int | None) -> Iterator[Calls]:
    """Within, the program dies before its change number `limit` (from 0); None lets it live."""
    from mlflow import MlflowClient

    calls = Calls(limit)
    names = [name for name in dir(MlflowClient) if name.startswith(CHANGES)]
    with mock.patch.multiple(
        MlflowClient, **{name: calls.wrap(getattr(MlflowClient, name)) for name in names}
    ):
        yield calls


def started(work: Callable[..., None], *arguments: str) -> multiprocessing.Process:
    """`work`, in a process of its own that has what registering imports."""
    context = multiprocessing.get_context("forkserver")  # imports mlflow once
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=work, args=arguments)
    process.start()
    return process  # type: ignore[return-value]


def killed_at(fault: Fault, process: multiprocessing.Process) -> bool:
    """Kills a process when the fault strikes its request; False if it ended well before."""
    while not fault.struck and process.is_alive():
        time.sleep(0.02)
    if not fault.struck:
        process.join(LIMIT)
        assert process.exitcode == 0
        return False
    process.kill()
    process.join(LIMIT)
    assert process.exitcode == -9
    return True


def state(client: Any) -> dict[str, Any]:
    """Everything that the registry holds, without ids and times that differ from run to run."""
    found: dict[str, Any] = {}
    for model in client.search_registered_models():
        versions = {}
        for version in client.search_model_versions(f"name = '{model.name}'"):
            tags = {name: text for name, text in version.tags.items() if name not in VARYING}
            versions[str(version.version)] = {"tags": tags, "card": version.description}
        aliases = {alias: str(version) for alias, version in model.aliases.items()}
        found[model.name] = {"aliases": aliases, "versions": versions}
    return found


VARYING = ("trunkline.model_id", "trunkline.store")
