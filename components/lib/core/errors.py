"""Typed exception hierarchy: what is wrong, where, what is expected, the fix, and whether a retry may help.

Exit codes follow BSD's sysexits.h, so that a shell, Argo or a JobSet failure policy can act on them.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from components.lib.core.redaction import plain

LIMIT = 2_000  # characters of any one message part: Kubernetes keeps 4 KB of a termination message


class TrunklineError(Exception):
    """An error that a person can act on.

    Args:
        what: what is wrong, in one sentence.
        where: the file:line, row, URI or dotted setting.
        found: the offending value.
        expected: what would have been right.
        fix: the next thing to do.
    """

    family: str = "internal"
    exit_code: int = 70
    retriable: bool = False

    def __init__(
        self, what: str, *, where: str = "", found: object = "", expected: object = "", fix: str = ""
    ) -> None:
        super().__init__(what)
        self.what = _clip(what)
        self.where = _clip(where)
        self.found = _clip(found)
        self.expected = _clip(expected)
        self.fix = _clip(fix)
        self.stage = ""

    def __str__(self) -> str:
        parts = [("where", self.where), ("found", self.found), ("expected", self.expected), ("fix", self.fix)]
        lines = [self.what, *(f"  {name}: {value}" for name, value in parts if value)]
        return "\n".join(lines)

    @property
    def reason(self) -> str:
        """All but the place, in one line: why a record was rejected."""
        what = f"{self.what}: {self.found}" if self.found else self.what
        return "; ".join([what, *([f"expected: {self.expected}"] if self.expected else []), self.fix]).rstrip(
            "; "
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON copy of the error, for the run's ledger and the exit record."""
        names = "family stage what where found expected fix retriable exit_code".split()
        return {"kind": type(self).__name__, **{name: getattr(self, name) for name in names}}


class InternalError(TrunklineError):
    """A bug of ours (EX_SOFTWARE)."""


class UsageError(TrunklineError):
    """A command was called with the wrong words (EX_USAGE)."""

    family, exit_code = "user", 64


class DataError(TrunklineError):
    """The user's data cannot be used as it is (EX_DATAERR)."""

    family, exit_code = "data", 65


class IntegrityError(DataError):
    """Bytes in the store are not the bytes that were committed."""


class MissingError(TrunklineError):
    """An input that was named does not exist (EX_NOINPUT)."""

    family, exit_code = "user", 66


class ServiceError(TrunklineError):
    """A service that we need does not answer (EX_UNAVAILABLE); trying again may help."""

    family, exit_code, retriable = "service", 69, True


class OutputError(TrunklineError):
    """An output cannot be written: disk full, read-only file system (EX_CANTCREAT)."""

    family, exit_code = "service", 73


class Interrupted(TrunklineError):
    """The run was told to stop and saved its state: run it again to resume (EX_TEMPFAIL)."""

    family, exit_code, retriable = "service", 75, True


class WorkerLost(Interrupted):
    """A training process died or hangs; the last checkpoint stands: run it again to resume (EX_TEMPFAIL)."""


class Orphaned(Interrupted):
    """Nobody follows this work any more: it saved its state and frees its machines (EX_PROTOCOL)."""

    exit_code = 76


class AccessError(TrunklineError):
    """Credentials are missing, expired or not allowed to do this (EX_NOPERM)."""

    family, exit_code = "user", 77


class ConfigError(TrunklineError):
    """A setting is unknown, of the wrong type, out of range or contradicts another (EX_CONFIG)."""

    family, exit_code = "user", 78


class ConfigErrors(ConfigError):
    """All that is wrong with the settings, in one report."""

    def __init__(self, errors: Iterable[TrunklineError]) -> None:
        self.errors = tuple(errors)
        count = len(self.errors)
        super().__init__(f"{count} {'setting is' if count == 1 else 'settings are'} wrong")

    def __str__(self) -> str:
        return "\n".join([self.what, *(str(error) for error in self.errors)])

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "errors": [error.to_dict() for error in self.errors]}


class Obstacles(ConfigErrors):
    """All that is in the way of a run besides its settings; its kind is that of the first that lasts."""

    def __init__(self, errors: Iterable[TrunklineError]) -> None:
        super().__init__(errors)
        lasting = [error for error in self.errors if not error.retriable]
        settings = [error for error in lasting if isinstance(error, ConfigError)]
        first = next(iter([*settings, *lasting, *self.errors]))
        self.what = f"{len(self.errors)} {'things are in the way' if lasting else 'services fail'}"
        if len(settings) == len(self.errors):
            self.what = f"{len(self.errors)} settings are wrong"
        self.family, self.exit_code, self.retriable = first.family, first.exit_code, first.retriable


def unexpected(error: Exception) -> InternalError:
    """Wraps an unforeseen exception; its traceback goes to stderr, for a bug report."""
    traceback.print_exception(error)
    return InternalError(f"{type(error).__name__}: {error}", fix="this is a bug: please report it")


@contextmanager
def collected() -> Iterator[list[TrunklineError]]:
    """Gathers errors in a list and raises them together at the end.

    Raises:
        ConfigErrors: if the list is not empty when the block ends.
    """
    errors: list[TrunklineError] = []
    yield errors
    if errors:
        raise ConfigErrors(errors)


def revived(record: Mapping[str, Any]) -> TrunklineError:
    """Deserialises what `to_dict` made, in another process perhaps."""
    kinds = {kind.__name__: kind for kind in _kinds(TrunklineError)}
    error: TrunklineError
    if record.get("errors"):
        several = Obstacles if record["kind"] == Obstacles.__name__ else ConfigErrors
        error = several([revived(entry) for entry in record["errors"]])
    else:
        parts = {name: record[name] for name in ("where", "found", "expected", "fix")}
        error = kinds.get(record["kind"], TrunklineError)(record["what"], **parts)
    error.stage = record["stage"]
    return error


def root_cause(errors: Sequence[TrunklineError]) -> TrunklineError:
    """Root cause: the first error that is not WorkerLost."""
    return next((error for error in errors if not isinstance(error, WorkerLost)), errors[0])


def _kinds(kind: type[TrunklineError]) -> Iterator[type[TrunklineError]]:
    yield kind
    for special in kind.__subclasses__():
        yield from _kinds(special)


def _clip(value: object) -> str:
    text = plain(value)
    return text if len(text) <= LIMIT else f"{text[:LIMIT]}... ({len(text)} characters)"
