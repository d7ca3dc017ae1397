"""Functions run by several processes that train together."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch

from components.lib.engine import distributed

PRELOAD = ["torch", "torch.distributed", "transformers", "components.lib.engine.loop"]
LIMIT = 120.0  # seconds


def run(function: Callable[..., Any], size: int, *arguments: Any) -> list[Any]:
    """`function(world, *arguments)` in `size` processes with one thread each; what each returned, by rank."""
    context = multiprocessing.get_context("forkserver")  # imports torch once, not once a process
    context.set_forkserver_preload(PRELOAD)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pipes, processes = [], []
    for rank in range(size):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_enter, args=(theirs, function, rank, size, port, arguments))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        answers = [pipe.recv() if pipe.poll(LIMIT) else "no answer" for pipe in pipes]
    finally:
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
    failed = [answer for answer in answers if not isinstance(answer, tuple)]
    assert not failed, "\n".join(failed)
    return [answer[0] for answer in answers]


def _enter(pipe: Any, function: Any, rank: int, size: int, port: int, arguments: tuple[Any, ...]) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    try:
        world = distributed.start()
        pipe.send((function(world, *arguments),))
        distributed.stop()
    except BaseException:
        pipe.send(f"rank {rank}: {traceback.format_exc()}")
        raise
