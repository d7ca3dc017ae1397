"""Sample of every source and of the labelled data, read before any work: told now, not when a stage fails.

Files are decoded in a process of its own: one that hangs or kills its decoder must not end preflight, and is
left to ingestion, which puts it in quarantine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.lib.core.errors import DataError, MissingError, TrunklineError, revived
from components.lib.core.settings import from_dict, to_dict
from components.lib.data.formats import is_name
from components.lib.tasks import LENGTH
from components.preflight.plan import Plan

if TYPE_CHECKING:
    from components.lib.data.formats import Layout
    from components.lib.data.listing import Object

RECORDS = 20  # of a source
PATIENCE = 20.0  # seconds for all of them
NEAR = 16 << 20  # bytes of a file that is fetched for it
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """What a source is read as.

    Attributes:
        where: the setting that names it.
        corpus: the modality whose ingestion reads it; empty for labelled records.
        fields: role -> field; those of labelled records must be there.
    """

    where: str
    uri: str
    format: str = "auto"
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    encoding: str = "auto"
    reads: tuple[str, ...] = ()
    corpus: str = ""
    fields: dict[str, str] = field(default_factory=dict)


def look(plan: Plan, store: str) -> list[TrunklineError]:
    """What is wrong with the data of a plan, as far as a few records of each source show it."""
    found = [to_dict(source) for source in _sources(plan)]
    command = [sys.executable, "-m", __name__]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            command,
            input=json.dumps([store, found]),
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return []
    if done.returncode:  # a decoder was killed, or a library is not in this image
        why = (done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"preflight: no sample of the data could be read: {why}", flush=True)
        return []
    return [revived(record) for record in json.loads(done.stdout)]


def _sources(plan: Plan) -> Iterator[Source]:
    from components.lib import modalities

    stages, tasks = plan.checked
    config = stages["ingestion"]
    name, reads = config.modality, tuple(modalities.load(config.modality).READS)
    for number, uri in enumerate(config.sources):
        where, options = f"ingestion.sources[{number}]", config.format_options
        yield Source(where, uri, config.format, options, config.encoding, reads, name, config.fields)
    for task in tasks:
        reads = tuple(modalities.load(task["finetuning"].modality).READS)
        for split in ("train", "test"):
            if given := getattr(task["finetuning"], split):
                fields = {**given.fields, **({"group": given.group} if given.group else {})}
                if split == "test":
                    sliced = task["finetuning"].slices
                    fields |= {f"slice {name}": name for name in sliced if name != LENGTH}
                fields = {role: name for role, name in fields.items() if is_name(name)}
                yield Source(
                    f"tasks.{task['name']}.{split}",
                    given.source,
                    given.format,
                    given.format_options,
                    given.encoding,
                    reads=reads,
                    fields=fields,
                )


def check(source: Source) -> None:
    """Reads a few records.

    Raises:
        TrunklineError: as the stage that reads it would: if there is nothing, it cannot be had or read, or
            no record has the fields that are named.
    """
    from components.lib.data import sources
    from components.lib.data.formats import Account, Layout
    from components.lib.data.groups import fields_of
    from components.lib.data.listing import PassedOver
    from components.lib.data.sifting import sift

    asked = fields_of(source.fields, "")
    layout = Layout(source.format, source.options, source.encoding, source.reads, asked, joined=True)
    errors: list[TrunklineError] = []
    beside: list[Object] = []
    entries = sift(sources.find(source.uri), layout, PassedOver(), beside)
    if not _is_near(entries[0]):
        return
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        try:
            for item in islice(_first(entries, beside, layout, Path(folder)), RECORDS):
                if isinstance(item, Account):
                    continue
                error = _unusable(item, source)
                if error is None:
                    return
                errors.append(error)
        except DataError as error:
            errors.append(error)
    if errors and (len(entries) == 1 or isinstance(errors[0], MissingError)):  # of many, one may be broken
        raise errors[0]


def _is_near(entry: Object) -> bool:
    """Whether an object is on this machine, or small."""
    from components.lib.data import sources

    return sources.scheme(entry.uri) not in ("s3", "https", "hf") or 0 <= entry.size < NEAR


def _first(entries: list[Object], beside: list[Object], layout: Layout, folder: Path) -> Iterator[Any]:
    """The records of the first object, with what annotations beside it say of it."""
    from components.lib.core import plugins
    from components.lib.data import sources
    from components.lib.data.listing import PassedOver

    head = getattr(plugins.load(sources.__name__, sources.scheme(entries[0].uri)), "head", None)
    path = head(entries[0], folder, RECORDS) if head else sources.fetch(entries[0], folder)
    files = sources.fetch_beside(beside, folder) if all(map(_is_near, beside)) else []
    names = [entry.name for entry in entries]
    notes = sources.noted(names, files, layout, PassedOver()) if files else None
    yield from sources.open_records(entries[0], path, layout, PassedOver(), notes)


def _unusable(item: Any, source: Source) -> TrunklineError | None:
    """Why the stage would not take a record, as far as can be seen without its libraries."""
    from components.lib import modalities
    from components.lib.data.formats import Rejected

    try:
        if source.corpus and not isinstance(item, Rejected):
            item = modalities.load(source.corpus, "ingestion").payload(item, source.fields)
        if isinstance(item, Rejected):
            return DataError("none of the first records can be used", where=item.where, found=item.reason)
        for name in () if source.corpus else source.fields.values():
            item.required(name)
    except MissingError as error:
        return error
    return None


def main() -> None:
    """Reads sources from the standard input, and writes what is wrong with them."""
    from components.lib.storage import source_cache
    from components.lib.storage.store import Store

    store, found = json.load(sys.stdin)
    errors: list[TrunklineError] = []
    with source_cache.of(Store(store)):
        for source in (from_dict(Source, one) for one in found):
            try:
                check(source)
            except TrunklineError as error:
                error.where = f"{source.where}: {error.where}" if error.where else source.where
                errors.append(error)
    json.dump([error.to_dict() for error in errors], sys.stdout)


if __name__ == "__main__":
    main()
