"""`python -m components.lib.registry.model_server NAME`: serves the champion of a model, and follows it."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import uvicorn

from components.lib.core.errors import TrunklineError
from components.lib.registry.model_server.app import Metrics, Service
from components.lib.registry.model_server.batching import Batcher
from components.lib.registry.model_server.follower import Follower
from components.lib.registry.model_server.limits import Limits
from components.lib.registry.registered_models import CHAMPION, Registry


class _Server(uvicorn.Server):
    """Signals are ours: after SIGTERM, requests come in for a while, as who sends them learns of it late."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(words: list[str] | None = None) -> int:
    """Serves until it is told to stop; returns 0, or the exit code of a typed error."""
    arguments = _parser().parse_args(words)
    limits = Limits(**{one.name: getattr(arguments, one.name) for one in fields(Limits)})
    try:
        registry = Registry(arguments.tracking_uri)
    except TrunklineError as error:
        print(f"serving: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
        asyncio.run(_serve(arguments, limits, registry, Path(scratch)))
    return 0


async def _serve(arguments: argparse.Namespace, limits: Limits, registry: Registry, scratch: Path) -> None:
    metrics = Metrics()
    batcher = Batcher(limits, metrics.batch.observe)
    service = Service(batcher, metrics)
    where = {"store": arguments.store, "scratch": scratch, "refused": metrics.refused.inc}
    follower = Follower(registry, arguments.name, arguments.alias, batcher, **where)
    server = _Server(
        uvicorn.Config(
            service.app(),
            host=arguments.host,
            port=arguments.port,
            access_log=False,
            log_level="warning",
            timeout_keep_alive=75,  # longer than load balancers keep theirs
            timeout_graceful_shutdown=int(limits.seconds) + 1,
            lifespan="off",
        )
    )

    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told.set)

    async def stop() -> None:
        await told.wait()
        service.draining = True
        print(f"serving: told to stop: requests come in for {limits.linger:.0f} s more", flush=True)
        await asyncio.sleep(limits.linger)
        server.should_exit = True

    parts = (batcher.run(), follower.run(), stop())
    background = [loop.create_task(part) for part in parts]
    await server.serve()
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    if batcher.served is not None:
        batcher.served.worker.end()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m components.lib.registry.model_server", description=__doc__
    )
    environ = os.environ
    parser.add_argument("name", help="of the registered model")
    parser.add_argument("--alias", default=CHAMPION, help="that is followed")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument(
        "--store", default=environ.get("TRUNKLINE_STORE", ""), help="else that of the version"
    )
    parser.add_argument("--tracking-uri", default=environ.get("MLFLOW_TRACKING_URI", ""), help="MLflow")
    for one in fields(Limits):
        kind = type(one.default)
        parser.add_argument(f"--{one.name}", type=kind, default=one.default, help=f"bound: {one.default:g}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
