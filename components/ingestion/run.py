"""Ingestion: sources -> corpus (clean, deduplicated, split shards), quarantine and data card."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from components.ingestion import account, increment, packs, statistics
from components.ingestion import card as cards
from components.ingestion.assembly import assemble, quarantined
from components.ingestion.config import Config
from components.ingestion.evaluation_index import index
from components.ingestion.extraction import extract
from components.ingestion.packs import Slice
from components.ingestion.record_reader import Beside, joins, layout_of
from components.ingestion.statistics import Statistics
from components.lib import executors, modalities
from components.lib.core.errors import DataError
from components.lib.data import formats
from components.lib.data.listing import Object, PassedOver
from components.lib.data.sifting import sift
from components.lib.data.sources import find_all
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context, patient
from components.lib.storage.store import Draft, Store


@patient
def run(config: Config, context: Context, *, corpus: Path, card: Path) -> Manifest:
    """Writes the corpus manifest to `corpus` and the data card to `card`.

    Objects that an earlier run has read under the same settings are not read again. The corpus depends on
    the content and the names of its sources alone: not on the order of their arrival, nor on earlier runs.
    With `config.since` it holds what is new since that corpus, which is the output if nothing is.

    Raises:
        ConfigError: for an unknown rule, format or option.
        DataError: if nothing is left of the data, or more of it is unreadable than `quarantine` allows.
        TrunklineError: if a source cannot be had; see `components.lib.data.sources.find`.
    """
    formats.check(config.format_options)
    own: Any = modalities.load(config.modality, "ingestion")
    own.identity(config.own, bool(config.decontaminate))  # refuses unknown rules before anything is read
    passed = PassedOver()
    beside: list[Object] | None = [] if joins(config) else None
    objects = sift(find_all(config.sources, passed), layout_of(config, config), passed, beside)
    evaluations = _indexed(config, context)
    settings = _identity(config, evaluations, beside or ())
    parts = _extracted(config, context.store, evaluations, settings, objects, beside or ())
    for part in parts:
        passed.merge(part.source["passed_over"])
    if passed.counts:
        context.tell(f"passed over {passed}")
    _check_quarantine(parts, context, config.quarantine)
    parts, older = increment.split(context.store, config.since, parts)
    inputs = increment.inputs(config.since, parts)
    key = Key("ingestion", packs.VERSION, {**settings, **_output(config, own)}, inputs)
    if not parts and older:  # nothing is new: what there is is the output
        key = context.store.resolve(config.since).key

    def build(draft: Draft) -> None:
        assemble(config, context.store, parts, evaluations, draft, older)
        draft.measured["read"] = packs.references([*older, *parts], evaluations)

    manifest = context.produce(key, build, corpus)
    _write_card(context.store, manifest, passed, card)
    account.tell(context, manifest.facts, passed, own)
    return manifest


def _output(config: Config, own: Any) -> dict[str, Any]:
    """Which settings decide what becomes of what was extracted."""
    names = ("near_duplicates", "validation", "shard_bytes")
    settling = own.settling(config.own) if hasattr(own, "settling") else {}
    return {**{name: getattr(config, name) for name in names}, **settling}


def _indexed(config: Config, context: Context) -> list[Manifest]:
    """The indexes of the evaluation sets, each once."""
    passed = PassedOver()
    indexes = [index(context.store, entry, config, passed) for entry in config.decontaminate]
    if passed.counts:
        context.tell(f"passed over beside the evaluation sets {passed}")
    apart = [entry.source for entry in config.decontaminate if entry.group and not config.group]
    if apart:
        context.tell(f"ingestion.group is not set: documents of the groups of {', '.join(apart)} are kept")
    return list({made.reference: made for made in indexes}.values())


def _write_card(store: Store, corpus: Manifest, passed: PassedOver, card: Path) -> None:
    """The corpus' data card, with what this run passed over, which is not part of the corpus."""
    card.parent.mkdir(parents=True, exist_ok=True)
    if not passed.counts:
        shutil.copyfile(store.open(corpus, "card.html"), card)
        return
    modality = str(corpus.facts["modality"])
    own: Any = modalities.load(modality, "ingestion")
    plain = json.loads(store.open(corpus, "statistics.json").read_bytes())
    shown = Statistics.from_dict(plain, modality, own.COLUMNS)
    card.write_text(cards.render(shown, own, passed.table), encoding="utf-8")


def _identity(config: Config, evaluations: Sequence[Manifest], beside: Sequence[Object]) -> dict[str, Any]:
    """Which settings decide what is extracted."""
    own: Any = modalities.load(config.modality, "ingestion")
    held = [[[file.name, file.sha256] for file in made.files] for made in evaluations]  # wherever it was made
    return {
        "modality": config.modality,
        "layout": [config.format, config.format_options, config.encoding],
        "evaluations": [artifacts.sha256(artifacts.canonical(files)) for files in held],
        "signatures": config.near_duplicates > 0,
        "fields": config.fields,
        **({"group": config.group} if config.group else {}),
        **({"beside": [[one.name, one.identity] for one in beside]} if beside else {}),
        **own.identity(config.own, bool(config.decontaminate)),
    }


def _extracted(
    config: Config,
    store: Store,
    evaluations: Sequence[Manifest],
    settings: dict[str, Any],
    objects: Sequence[Object],
    beside: Sequence[Object],
) -> list[Slice]:
    """The rows of every object, in their order; reads what no earlier run has read."""
    stage = f"extraction-{artifacts.sha256(artifacts.canonical([packs.VERSION, settings]))[:16]}"
    held = packs.known(store, stage)
    missing = [entry for entry in objects if (entry.name, entry.identity) not in held]
    if missing:
        notes = Beside([entry.name for entry in objects], beside) if beside else None
        with closing(executors.start(config.engine, config.address, config.workers, "ingestion")) as executor:
            made = extract(executor, config, store, evaluations, missing, stage, notes)
        held |= packs.by_source(made)
    return [held[entry.name, entry.identity] for entry in objects]


def _check_quarantine(parts: Sequence[Slice], context: Context, budget: float) -> None:
    """Tells what was guessed and what could not be read; raises DataError if it is too much.

    A file that is set aside whole is one record, and all of its bytes: it is named, as more went with it.
    A record that cannot be read may be many lines, for nobody knows what stood in them.
    """
    account.tell_notes(context, statistics.notes(parts))
    lost = [part.source for part in parts if "lost" in part.source]
    if lost:
        first = "; ".join(f"{formats.printable(one['name'])}: {one['lost']}" for one in lost[:3])
        context.tell(f"files set aside, as they cannot be decoded to their end: {len(lost):,} ({first})")
    broken = sum(part.source["quarantined"] for part in parts)
    read = broken + sum(part.source["rows"] for part in parts)
    gone = sum(source["bytes"] for source in lost)
    size = sum(part.source["bytes"] for part in parts)
    lines = Counter[str]()
    for part in parts:
        lines.update(part.source["account"].get("lines", {}))
    of = lines["read"] - lines["blank"] - lines["header"]
    if broken <= budget * read and gone <= budget * size and lines["quarantined"] <= budget * of:
        return
    rows = quarantined(context.store, parts).slice(0, 5).to_pylist()
    examples = "; ".join(f"{row['location']}: {row['reason']}" for row in rows)
    more = f", {lines['quarantined']:,} of {of:,} lines" * (lines["quarantined"] > broken)
    more += f", {gone:,} of {size:,} bytes in whole files" * bool(lost)
    what, found = "too many records cannot be read", f"{broken:,} of {read:,} records{more}: {examples}"
    expected = f"at most {budget:.2%} of records, lines and bytes (setting ingestion.quarantine)"
    fix = "correct the data or the settings of their format, or raise the limit"
    raise DataError(what, where=rows[0]["location"], found=found, expected=expected, fix=fix)
