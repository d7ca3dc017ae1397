"""One mark-and-sweep collection: mark, hide, mark again, then restore or delete."""

from __future__ import annotations

import time

from components.lib.core.errors import MissingError
from components.lib.core.failpoints import reach
from components.lib.registry.registered_models import Registry
from components.lib.registry.retention.inventory import CONDEMNED, Files, Inventory, Output, survey
from components.lib.registry.retention.marking import Marks, Policy, mark
from components.lib.registry.retention.report import Report
from components.lib.storage.objects import Objects
from components.lib.storage.store import Store


def collect(store: Store, registry: Registry, policy: Policy, now: float | None = None) -> Report:
    """Hides what nothing needs and deletes what has been hidden for long enough.

    Any number of collections, killed ones too, end in the same state: each step is repeated by the next.

    Args:
        now: the time of the collection, in seconds since 1970.

    Raises:
        ServiceError, AccessError: if the store or the registry does not answer; nothing is deleted then.
        ConfigError, DataError, IntegrityError: if it cannot be told what is needed.
    """
    now = time.time() if now is None else now
    report = Report(dry=not policy.delete)
    _hide(store.objects, registry, policy, now, report)
    reach("retention.hidden")
    # Who registered or reused something meanwhile is seen now; later ones do not find what is hidden.
    inventory = survey(store.objects)
    marks = mark(inventory, registry.versions(), policy, now)
    report.missing = marks.missing
    _settle(store.objects, inventory, marks, policy, now, report)
    _sweep(store.objects, inventory, marks, report)
    return report


def _hide(objects: Objects, registry: Registry, policy: Policy, now: float, report: Report) -> None:
    inventory = survey(objects)
    marks = mark(inventory, registry.versions(), policy, now)
    for place, output in inventory.outputs.items():
        if place in marks.why:
            report.add("needed", place, inventory.files[output.folder].bytes)
        elif report.dry or _condemn(objects, output):
            report.add("condemned", place, inventory.files[output.folder].bytes)


def _condemn(objects: Objects, output: Output) -> bool:
    """Moves a manifest; not if it is another one by now, made anew since."""
    objects.write(_marker(output), output.text)
    manifest = f"{output.place}/manifest.json"
    try:
        unchanged = objects.read(manifest) == output.text
    except MissingError:  # another collector was first
        return False
    if unchanged:
        objects.delete(manifest)
    return unchanged


def _settle(
    objects: Objects, inventory: Inventory, marks: Marks, policy: Policy, now: float, report: Report
) -> None:
    """Puts back what is needed after all, deletes what has waited long enough."""
    for folder, output in inventory.hidden.items():
        files, shown = inventory.files[folder], inventory.outputs.get(output.place)
        if shown is not None and shown.folder == folder:  # a killed collection began to hide it
            if not report.dry:
                objects.delete(_marker(output))
        elif shown is None and output.place in marks.why:
            _restore(objects, output, files, report)
        elif output.modified > now - policy.grace or output.place in report.names["condemned"]:
            report.add("waiting", output.place, files.bytes)
        else:
            report.add("deleted", output.place, files.bytes)
            if not report.dry:
                _delete(objects, files)
                objects.delete(_marker(output))


def _restore(objects: Objects, output: Output, files: Files, report: Report) -> None:
    """Puts a manifest back; if a file is gone, it stays hidden and is told of."""
    sizes = {f"{output.folder}/{file.name}": file.bytes for file in output.manifest.files}
    if any(files.sizes.get(name) != size for name, size in sizes.items()):
        report.missing += (output.place,)
        return
    report.add("restored", output.place, files.bytes)
    if not report.dry:
        objects.write(f"{output.place}/manifest.json", output.text, if_absent=True)
        objects.delete(_marker(output))


def _sweep(objects: Objects, inventory: Inventory, marks: Marks, report: Report) -> None:
    """Deletes files of attempts that were never committed or lost the race, and forgotten checkpoints."""
    shown = {output.folder for output in inventory.outputs.values()} | inventory.hidden.keys()
    for row, folders in (("litter", inventory.files), ("checkpoints", inventory.checkpoints)):
        for folder, files in folders.items():
            if folder not in shown and files.sizes and files.newest <= marks.since:
                report.add(row, folder, files.bytes)
                if not report.dry:
                    _delete(objects, files)


def _delete(objects: Objects, files: Files) -> None:
    for key in files.sizes:
        objects.delete(key)
        reach("retention.deleting")


def _marker(output: Output) -> str:
    return f"{CONDEMNED}/{output.folder}.json"
