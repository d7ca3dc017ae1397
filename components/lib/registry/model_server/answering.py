"""The process that holds a model: loads it, answers batches that come through a pipe."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ANSWERED, UNUSABLE, BROKEN, UNDIVIDED = "answered", "unusable", "broken", "undivided"


def answer(pipe: Connection, folder: Path, threads: int) -> None:
    """Answers until the pipe is closed.

    Sends (ANSWERED, None) once the model is loaded. Gets (content, records of each request) then, and sends
    (ANSWERED, a JSON text each), (UNUSABLE, why, of which the client is told), (BROKEN, why), or UNDIVIDED
    where there is not one prediction a record.
    """
    for each in (signal.SIGTERM, signal.SIGINT):  # the process above says when: its requests come first
        signal.signal(each, signal.SIG_IGN)
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    os.environ["TOKENIZERS_PARALLELISM"] = "false" if threads == 1 else "true"
    try:
        model = _loaded(folder, threads)
    except BaseException as error:  # whatever the code of a model raises, SystemExit too
        traceback.print_exc()
        pipe.send((BROKEN, f"{type(error).__name__}: {error}"))
        return
    pipe.send((ANSWERED, None))
    while True:
        try:
            content, counts = pipe.recv()
        except EOFError:
            return
        pipe.send(_answered(model, content, counts))


def _loaded(folder: Path, threads: int) -> Any:
    import mlflow.pyfunc
    import torch

    torch.set_num_threads(threads)
    return mlflow.pyfunc.load_model(str(folder))


def _answered(model: Any, content: dict[str, Any], counts: list[int]) -> tuple[str, Any]:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    try:
        data = {form: value for form, value in content.items() if form != "params"}
        table = scoring_server.infer_and_parse_data(data, model.metadata.get_input_schema())
        found = model.predict(table, params=content.get("params"))
        rows = scoring_server._get_jsonable_obj(found, pandas_orient="records")
        if len(counts) == 1:
            return ANSWERED, [_written(rows)]
        if not isinstance(rows, list) or len(rows) != sum(counts):
            return UNDIVIDED, ""
        places = [sum(counts[:number]) for number in range(len(counts) + 1)]
        return ANSWERED, [_written(rows[a:b]) for a, b in pairwise(places)]
    except MlflowException as error:
        if error.get_http_status_code() < 500:
            return UNUSABLE, str(error.message)
        traceback.print_exc()
        return BROKEN, str(error.message)
    except (TypeError, ValueError, KeyError) as error:  # as pandas says that a table is none
        print(f"an input cannot be answered: {error!r}", file=sys.stderr, flush=True)
        return UNUSABLE, f"{type(error).__name__}: {error}"
    except Exception as error:
        traceback.print_exc()
        return BROKEN, f"{type(error).__name__}: {error}"


def _written(rows: Any) -> bytes:
    from mlflow.pyfunc.scoring_server import NumpyEncoder

    return json.dumps({"predictions": rows}, cls=NumpyEncoder).encode()
