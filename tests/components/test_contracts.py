"""Contracts of the small plugins: filters, formats, sources, stores, rules of the gate, launchers.

The cases are the files of each folder and the entry points, also those that were added a minute ago.
"""

import dataclasses
import gzip
import importlib.util
import inspect
import json
import re
from pathlib import Path

import pytest

from components.lib import modalities
from components.lib.core import plugins
from components.lib.core.errors import MissingError, TrunklineError
from components.lib.core.settings import from_dict
from components.lib.data import sources
from components.lib.data.formats import Layout, Record, Rejected
from components.lib.modalities.text import filters
from components.lib.modalities.text.words import document
from components.lib.storage.objects import connect
from components.promotion import gate
from tests.architecture import imports
from tests.components.lib.core import test_plugins

FILTERS, FORMATS = "components.lib.modalities.text.filters", "components.lib.data.formats"
SOURCES, STORES = "components.lib.data.sources", "components.lib.storage.objects"
RULES, LAUNCHERS = "components.promotion.rules", "components.pretraining.launchers"

TEXTS = ["", " \n\n", "one", "word " * 3000, "# # # 1 2 3", "\u4f60\u597d\uff0c\u4e16\u754c\u3002" * 40]
CONTENTS = {
    "nothing": b"",
    "a line": b"one line of text\n",
    "bytes": bytes(range(256)) * 5,
    "JSON": b'{"text": "a", "label": 3}\n[1]\n"x"\n{',
    "half a gzip": gzip.compress(b"text\n" * 1000)[:40],
    "a header": b"\x93NUMPY\x01\x00\x76\x00",
    "an archive": b"PK\x03\x04" + b"\0" * 40,
}


def test_every_constant_that_a_plugin_declares_is_read():
    """Outside its folder by its name, or in its own file: else it promises what nobody checks."""
    texts = {path: re.sub(r'"""[^"]*"""', "", path.read_text()) for path in imports.sources()}
    for package, name in test_plugins.PLUGINS:
        own = Path(importlib.util.find_spec(plugins.module(package, name)).origin)
        for constant in plugins.declared(package, name).constants:
            readers = [path for path, text in texts.items() if re.search(rf'[."\']{constant}\b', text)]
            inside = len(re.findall(rf"\b{constant}\b", texts.get(own, "")))
            imported = any(re.search(rf"import .*\b{constant}\b", text) for text in texts.values())
            assert readers or inside > 1 or imported, f"{own} declares {constant} and nobody reads it"


@pytest.mark.parametrize("name", plugins.names(FILTERS))
def test_a_filter_gives_its_reason_in_a_line_or_none(name):
    rule = filters.load(filters.check({name: {}}))[name]
    for text in TEXTS:
        reason = rule(document(text))
        assert reason is None or (isinstance(reason, str) and reason and "\n" not in reason)


@pytest.mark.parametrize("name", plugins.names(FORMATS))
def test_a_format_declares_what_it_reads(name):
    says = plugins.declared(FORMATS, name).constants
    assert all(suffix.startswith(".") for suffix in says["SUFFIXES"])  # none: it is asked for by name
    wanted = {content for modality in modalities.names() for content in modalities.load(modality).READS}
    assert says.get("HOLDS") in {None, *wanted}
    assert isinstance(says.get("ARCHIVE", False), bool)
    others = {s for o in plugins.names(FORMATS) if o != name for s in _suffixes(o)}
    assert others.isdisjoint(says["SUFFIXES"])


def _suffixes(name: str) -> tuple[str, ...]:
    return plugins.declared(FORMATS, name).constants["SUFFIXES"]


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", plugins.names(FORMATS))
def test_a_format_hands_on_what_it_cannot_read(name, content, tmp_path):
    """As a Rejected with its place and reason, or as a typed error of the whole file; never otherwise.

    What it read is what it gave, to the line.
    """
    path = tmp_path / f"file{(*_suffixes(name), '.data')[0]}"
    path.write_bytes(CONTENTS[content])
    try:
        found = list(sources.read_records(str(path), Layout(name), accounts := []))
    except TrunklineError as error:
        assert error.what and str(path) in str(error)
        return
    (account,) = accounts
    spans = {kind: sum(one.span for one in found if isinstance(one, kind)) for kind in (Record, Rejected)}
    assert (account.records, account.quarantined) == (spans[Record], spans[Rejected])
    assert account.read == sum((*spans.values(), account.blank, account.header))
    for one in found:
        assert isinstance(one, Record | Rejected) and one.where.startswith(str(path))
        assert not isinstance(one, Rejected) or (one.reason and one.excerpt.isprintable())


@pytest.mark.parametrize("name", plugins.names(SOURCES))
def test_a_source_lists_fetches_and_refuses(name, tmp_path):
    plugin = plugins.load(SOURCES, name)
    hooks = {"find": 1, "fetch": 2, "parse": 1, "keep": 2}
    for hook, count in hooks.items():
        found = getattr(plugin, hook, None)
        assert found is None or len(inspect.signature(found).parameters) == count, hook
    assert plugin.find and plugin.fetch
    for rest in ("", "//", "no such thing", "/no/such/thing", "//host.invalid/\x00"):
        with pytest.raises(TrunklineError):
            sources.check(f"{name}:{rest}")
            sources.find(str(tmp_path / "missing"))


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A root of the store `file`; that of another is the fixture of its name."""
    return str(tmp_path / "root")


@pytest.mark.parametrize("name", plugins.names(STORES))
def test_a_store_keeps_objects_under_flat_keys(name, request, tmp_path):
    objects = connect(request.getfixturevalue(name))
    assert objects.write("a/b.txt", b"one") and not objects.write("a/b.txt", b"two", if_absent=True)
    assert objects.write("a/c.txt", b"three", if_absent=True) and objects.read("a/b.txt") == b"one"
    source = tmp_path / "upload"
    source.write_bytes(b"x" * 1000)
    objects.upload(source, "deep/er/d.bin")
    objects.download("deep/er/d.bin", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == source.read_bytes()
    assert objects.write("a1/b", b"") and objects.write("a/b.txt", b"one")
    assert list(objects.keys("")) == ["a/b.txt", "a/c.txt", "a1/b", "deep/er/d.bin"]
    assert list(objects.keys("a")) == ["a/b.txt", "a/c.txt", "a1/b"]
    assert [(entry.key, entry.bytes) for entry in objects.entries("a/")] == [("a/b.txt", 3), ("a/c.txt", 5)]
    assert all(entry.modified > 1e9 for entry in objects.entries(""))
    place = objects.local("a/b.txt")
    assert place is None or place.read_bytes() == b"one"
    objects.delete("a/b.txt")
    objects.delete("a/b.txt")
    assert list(objects.keys("a/")) == ["a/c.txt"] and connect(objects.uri).read("a/c.txt") == b"three"
    for missing in (lambda: objects.read("a/b.txt"), lambda: objects.download("no", tmp_path / "no")):
        with pytest.raises(MissingError):
            missing()


def _facts(champion: bool, measured: bool) -> dict:
    entry = {end: value if measured else None for end, value in (("value", 0.7), ("low", 0.6), ("high", 0.8))}
    metrics = {"accuracy": entry, "calibration_error": entry}
    says = {"low": 0.0, "high": 1.0, "title": "a metric"}
    metric = {"accuracy": {"better": "higher", **says}, "calibration_error": {"better": "lower", **says}}
    facts = {
        "task": "topics",
        "primary": "accuracy",
        "confidence": 0.95,
        "metric": metric,
        "metrics": metrics,
    }
    known = {"champion": {"name": "m", "version": "1", "reference": "r"}, "difference": metrics}
    gaps = {"metric": "accuracy", "size": 1.0, "bounded": True, "values": [-1.0, 0.0], "counts": [1, 9]}
    row = {"field": "language", "value": "de", "examples": 10}
    row |= dict.fromkeys(("champion_gaps", "anchor_gaps"), gaps if champion and measured else None)
    facts |= {"slices": [row], "anchor": known["champion"], "anchor_gaps": gaps if champion else None}
    return {**facts, **(known if champion else dict.fromkeys(known))}


@pytest.mark.parametrize("name", plugins.names(RULES))
def test_a_rule_judges_any_evaluation_in_a_sentence(name):
    (rule,) = gate.load({name: {}})
    for facts in (_facts(champion, measured) for champion in (False, True) for measured in (False, True)):
        finding = rule.judge(facts)
        if finding is not None:
            assert isinstance(finding.passed, bool) and finding.reason and "\n" not in finding.reason
            assert json.dumps(dataclasses.asdict(finding))
        assert isinstance(gate.judge([rule], facts)["passed"], bool)


@pytest.mark.parametrize("name", plugins.names(LAUNCHERS))
def test_a_launcher_takes_a_job_and_its_options(name):
    declared = plugins.declared(LAUNCHERS, name)
    assert declared.summary and declared.config is not None and from_dict(declared.config, {})
    launch = plugins.load(LAUNCHERS, name).launch
    assert list(inspect.signature(launch).parameters) == ["job", "options"] and launch.__doc__
