"""`make acceptance`: asks a cluster every row, prints a line for each, and removes what it has made.

The exit code is 0 only if everything that was asked held, and nothing of it is left. Ctrl-C, SIGTERM and the
end of the terminal remove it as well; what a killed acceptance has left, `--remove NAME` does.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import FrameType

from components.lib.core.errors import ConfigError, TrunklineError, UsageError
from pipelines import cluster
from pipelines.kubeflow import Kubeflow
from tests.acceptance import preflight, removal, rows, trainer_rows
from tests.acceptance.asking import Asking, NotAsked, Unmet
from tests.acceptance.cluster import Site
from tests.acceptance.inside import NAME, Inside

FAILED, INTERRUPTED = 1, 130
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Row = Callable[[Asking], str]
ASKED: Mapping[str, Row] = {**rows.ROWS, **trainer_rows.ROWS}


def main(words: list[str] | None = None) -> int:
    """Asks; returns the exit code."""
    arguments = _parser().parse_args(words)
    try:
        wanted = arguments.rows.split()
        if strange := sorted(set(wanted) - set(ASKED)):
            what, expected = "there is no such row", ", ".join(ASKED)
            raise UsageError(what, where="ROWS", found=", ".join(strange), expected=expected)
        asking = _asking(arguments)
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if arguments.remove:
        return _finish(asking, _print)
    name = asking.inside.name
    _print(f"all that is made is called {name}, and removed at the end; if this is killed: REMOVE={name}")
    for other in asking.site.acceptances():
        _print(f"also there: {other}; if nobody asks it any more: REMOVE={other.split()[0]}")
    return ask(asking, wanted, _print)


def _print(line: str) -> None:
    """A reader that is gone, such as a terminal or `tee`, keeps nothing from being removed."""
    with suppress(OSError):
        print(line, flush=True)


def ask(asking: Asking, wanted: list[str], say: Callable[[str], None]) -> int:
    """Asks the rows, those of these names or all, and removes what was made, whatever happens."""
    heard = [one for one in ENDS if signal.getsignal(one) is not signal.SIG_IGN]  # as under nohup
    codes, before = [0], {number: signal.signal(number, _interrupt) for number in heard}
    try:
        for name, row in _rows(asking, wanted):
            print(
                f"{time.strftime('%H:%M:%S')} {name}, at most {asking.seconds / 60:.0f} minutes",
                file=sys.stderr,
            )
            line = _answer(asking, row if asking.known or name in preflight.ROWS else _unknown)
            say(f"{name:<10} {line}")
            if line.startswith("FAILED"):
                asking.failed.append(name)
                codes.append(FAILED)
    except KeyboardInterrupt:
        codes.append(INTERRUPTED)
    finally:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        if codes[-1] == INTERRUPTED:
            say("interrupted: what was made is removed, which takes a minute or three")
        codes.append(_finish(asking, say))
        for number, former in before.items():
            signal.signal(number, former)
    return max(codes)


def _finish(asking: Asking, say: Callable[[str], None]) -> int:
    left = removal.remove(asking)
    gone = "all that was made is gone" + f", but {', '.join(asking.used)}, which others use" * bool(
        asking.used
    )
    say(f"{'removal':<10} {'FAILED: ' + '; '.join(left) if left else f'ok: {gone}'}")
    return FAILED if left else 0


def _rows(asking: Asking, wanted: list[str]) -> Iterator[tuple[str, Row]]:
    """Preflight comes first, as others follow from what it finds."""
    yield from preflight.ROWS.items()
    for name, row in ASKED.items():
        if not wanted or name in wanted:
            yield name, row if name not in trainer_rows.ROWS or _trained(asking) else preflight.trainer


def _trained(asking: Asking) -> bool:
    """Whether the rows about Trainer can be asked."""
    asking.trainer &= "trainer" not in asking.failed
    return asking.trainer


def _unknown(asking: Asking) -> str:
    raise NotAsked("store and MLflow do not answer")


def _answer(asking: Asking, row: Row) -> str:
    begun, before = time.monotonic(), set(asking.started)
    asking.deadline = begun + asking.seconds
    try:
        said = f"ok: {row(asking)}"
    except NotAsked as reason:
        said = f"not asked: {reason}"
    except Unmet as found:
        said = f"FAILED: {found}"
    except Exception as error:  # a row that breaks keeps no other
        kind = "" if isinstance(error, TrunklineError) else f"{type(error).__name__} "
        said = f"FAILED: expected: an answer; found: {kind}{' '.join(str(error).split())[:400]}"
    if said.startswith("FAILED"):
        asking.abandon(set(asking.started) - before)
    return f"{said} ({time.monotonic() - begun:.0f} s)"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _asking(arguments: argparse.Namespace) -> Asking:
    from kubernetes.config import ConfigException

    token, here = arguments.remove.removeprefix(NAME) or uuid.uuid4().hex[:8], cluster.load()
    server = Kubeflow(arguments.endpoint)
    try:
        site = Site()
    except ConfigException as error:
        fix = "kubectl config use-context ..., or KUBECONFIG"
        raise ConfigError("kubectl knows no cluster", where="KUBECONFIG", found=error, fix=fix) from error
    inside = Inside(site, here, token, arguments.store, arguments.tracking_uri)
    resources = {"cpu": arguments.cpu, "memory": arguments.memory}
    words = (server, site, here, inside, arguments.trainer, arguments.seconds, arguments.steps, resources)
    asking = Asking(*words, every=arguments.every)
    if arguments.remove:
        asking.known = inside.ask("recall", inside.store)
    return asking


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    endpoint = os.environ.get("KF_PIPELINES_ENDPOINT", "")
    parser.add_argument("--endpoint", default=endpoint, help="of Kubeflow Pipelines")
    parser.add_argument("--trainer", action="store_true", help="asks the rows about Kubeflow Trainer, too")
    parser.add_argument("--seconds", type=float, default=1500.0, help="that a row may take")
    parser.add_argument("--rows", default="", help="names of rows; empty: all")
    parser.add_argument("--store", default="", help="s3://bucket/prefix; empty: the cluster's own")
    parser.add_argument("--tracking-uri", default="", help="MLflow; empty: the cluster's own")
    parser.add_argument(
        "--steps", type=int, default=12_000, help="of a training that must last a minute or two"
    )
    parser.add_argument("--remove", default="", help="what an acceptance of this name has left; asks nothing")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--cpu", default="200m", help="of a pod of a TrainJob")
    parser.add_argument("--memory", default="2Gi", help="of a pod of a TrainJob")
    return parser


if __name__ == "__main__":
    sys.exit(main())
