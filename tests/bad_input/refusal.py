"""What each row of the matrix of bad input must show: one typed error, as a user and as a machine see it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from components.lib.core.errors import (
    LIMIT,
    AccessError,
    ConfigError,
    ConfigErrors,
    DataError,
    IntegrityError,
    MissingError,
    ServiceError,
    TrunklineError,
    revived,
)
from components.lib.storage.stage import Context, read_records, stage
from components.lib.storage.store import Store

Kind = tuple[int, type[TrunklineError]]  # exit code and class of an error

DATA, MISSING, SERVICE = (65, DataError), (66, MissingError), (69, ServiceError)
ACCESS, SETTING, SETTINGS = (77, AccessError), (78, ConfigError), (78, ConfigErrors)
DAMAGE = (65, IntegrityError)


class Row(NamedTuple):
    """One bad input: what is given, what the error says, where it says it is, of which kind it is."""

    given: Any
    what: str
    where: str = ""
    kind: Kind = DATA
    settings: dict[str, Any] = {}  # noqa: RUF012


def rows(table: Mapping[str, Any] | Sequence[Row]) -> pytest.MarkDecorator:
    """A test for each row of a table, called by its key or by what is given."""
    if isinstance(table, Mapping):
        return pytest.mark.parametrize("row", table.values(), ids=list(table))
    return pytest.mark.parametrize("row", table, ids=[str(row.given) for row in table])


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs work as a stage does, and returns the error that it left in the ledger of the run."""

    def refuse(name: str, work: Callable[[Context], Any], store: Path | None = None) -> dict[str, Any]:
        place = str(store or tmp_path / "store")
        with (
            pytest.raises(SystemExit) as caught,
            stage(name, {"store": place, "run": {"run_id": tmp_path.name}}) as context,
        ):
            work(context)
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        (record,) = read_records(Context(Store(place), run_id=tmp_path.name))
        error: dict[str, Any] = record["error"]
        assert caught.value.code == error["exit_code"] and record["status"] == "failed"
        assert f"{name} failed: {error['what']}" in printed
        return error

    return refuse


def judge(error: dict[str, Any], row: Row) -> None:
    """The error is the expected one, says what is right or what to do, and survives as JSON."""
    assert (error["kind"], error["exit_code"]) == (row.kind[1].__name__, row.kind[0]), error
    assert revived(json.loads(json.dumps(error))).to_dict() == error
    one: dict[str, Any] = error.get("errors", [error])[0]
    told = " ".join(one[part] for part in ("what", "found", "expected", "fix"))
    assert row.what in told and row.where in one["where"], error
    assert one["found"] or one["expected"] or one["fix"], "nothing tells what is right"
    assert all(len(one[part]) <= LIMIT + 50 for part in ("what", "where", "found", "expected", "fix"))


# Root may do everything; without these two capabilities it may do what the modes of files say.
LIMITED = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
ALMIGHTY = bool(LIMITED) and not shutil.which("setpriv")
RUN = """
import sys
from components.lib.core.errors import TrunklineError
try:
    exec(sys.argv[1])
except TrunklineError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def as_anybody(code: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Runs code, in which '{}' is the place, in a process that files can be closed to."""
    words = [*LIMITED, sys.executable, "-c", RUN, code.format(str(place))]
    return subprocess.run(words, capture_output=True, text=True, check=False)
