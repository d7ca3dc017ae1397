"""HTTP of a model server: `/invocations`, `/health`, `/ready`, `/version`, `/metrics`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.lib.registry.model_server.batching import Batcher
from components.lib.registry.model_server.limits import Limits
from components.lib.registry.model_server.protocol import Question, Refused, parse

BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
VERSION = "X-Trunkline-Version"


class Metrics:
    """What Prometheus reads."""

    def __init__(self) -> None:
        self.registry = place = CollectorRegistry()
        sizes = [1 << power for power in range(11)]
        self.requests = Counter("trunkline_requests", "Requests, by status", ["status"], registry=place)
        self.seconds = Histogram(
            "trunkline_request_seconds", "From first byte to answer", buckets=BUCKETS, registry=place
        )
        self.batch = Histogram(
            "trunkline_batch_records", "Records computed at once", buckets=sizes, registry=place
        )
        self.waiting = Gauge("trunkline_requests_waiting", "Requests that wait", registry=place)
        words = ["name", "version"]
        self.version = Gauge("trunkline_served", "1 for the version with traffic", words, registry=place)
        self.refused = Counter("trunkline_versions_refused", "Versions that stayed out", registry=place)


class Service:
    """Routes to a batcher, within limits; `draining` once it was told to stop."""

    def __init__(self, batcher: Batcher, metrics: Metrics) -> None:
        self.batcher, self.metrics, self.draining = batcher, metrics, False
        self._reading = 0

    def app(self) -> Starlette:
        """The ASGI application."""
        routes: dict[str, Callable[[Request], Response]] = {
            "/health": self._health,
            "/ping": self._health,
            "/ready": self._ready,
            "/version": self._version,
            "/metrics": self._metrics,
        }
        found = [Route(path, _later(answer), methods=["GET"]) for path, answer in routes.items()]
        return Starlette(routes=[*found, Route("/invocations", self._invocations, methods=["POST"])])

    async def _invocations(self, request: Request) -> Response:
        start = time.monotonic()
        self._reading += 1
        try:
            answer = await self._answered(request, start + self.batcher.limits.seconds)
        except Refused as error:
            headers = {"Retry-After": "1"} if error.status == 503 else {"Connection": "close"}
            answer = JSONResponse({"error": str(error)}, error.status, headers)
        finally:
            self._reading -= 1
        if self.draining:
            answer.headers["Connection"] = "close"  # the next one goes to another server
        self.metrics.requests.labels(str(answer.status_code)).inc()
        self.metrics.seconds.observe(time.monotonic() - start)
        return answer

    async def _answered(self, request: Request, until: float) -> Response:
        limits = self.batcher.limits
        kind, _, rest = request.headers.get("content-type", "").partition(";")
        if kind.strip() != "application/json" or rest.strip().lower() not in ("", "charset=utf-8"):
            raise Refused(415, "the content type must be application/json, in UTF-8")
        if self._reading > limits.queue:
            raise Refused(503, f"{limits.queue} requests are under way already: come again later")
        body = await _read(request, limits, until)
        question: Question = parse(body, limits)
        found, served = await self.batcher.ask(question, until)
        return Response(found, headers={VERSION: served.version}, media_type="application/json")

    def _health(self, request: Request) -> Response:
        return Response("\n")

    def _ready(self, request: Request) -> Response:
        served = self.batcher.served
        if self.draining or served is None:
            return Response("stopping\n" if self.draining else "no version is served yet\n", 503)
        return Response("\n") if served.worker.alive else Response("the model starts anew\n", 503)

    def _version(self, request: Request) -> Response:
        served = self.batcher.served
        if served is None:
            return JSONResponse({"error": "no version is served yet"}, 503)
        names = ("name", "version", "reference", "evaluated")
        return JSONResponse({name: getattr(served, name) for name in names})

    def _metrics(self, request: Request) -> Response:
        metrics, served = self.metrics, self.batcher.served
        metrics.waiting.set(self.batcher.waiting)
        metrics.version.clear()
        if served is not None:
            metrics.version.labels(served.name, served.version).set(1)
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4")


async def _read(request: Request, limits: Limits, until: float) -> bytes:
    """The body; raises Refused 413 as soon as it is too large, 408 where it does not come in time."""
    if int(request.headers.get("content-length") or 0) > limits.bytes:
        raise Refused(413, f"the body is larger than {limits.bytes} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(until - time.monotonic()):
            async for part in request.stream():
                body += part
                if len(body) > limits.bytes:
                    raise Refused(413, f"the body is larger than {limits.bytes} bytes")
    except TimeoutError:
        raise Refused(408, f"the body did not come within {limits.seconds:.0f} s") from None
    except ClientDisconnect:
        raise Refused(400, "the client went away") from None
    return bytes(body)


def _later(answer: Callable[[Request], Response]) -> Callable[[Request], object]:
    """In the event loop itself: Starlette gives a plain function a thread, which may have to wait for one."""

    async def answered(request: Request) -> Response:
        return answer(request)

    return answered
