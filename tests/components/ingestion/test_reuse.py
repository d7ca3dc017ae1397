from __future__ import annotations

from components.lib.registry.retention.inventory import survey
from components.lib.registry.retention.marking import Policy, mark
from tests.made.corpora import nonsense
from tests.made.ingestion import write


def test_what_a_corpus_was_assembled_from_is_kept_with_it(ingest, tmp_path):
    """Else the next run would have to read all sources again, if they still are there."""
    manifest = ingest(write(tmp_path / "data", {"a.txt": nonsense(50, "a"), "b.txt": nonsense(50, "b")}))
    ingest.store.objects.write("runs/r/ingestion.json", f'{{"outputs": ["{manifest.reference}"]}}'.encode())
    found = survey(ingest.store.objects)
    assert len(found.outputs) > 1
    for output in found.outputs.values():
        output.modified = 0.0
    now = found.runs["r"].newest + 1
    marks = mark(found, [], Policy(unregistered=True), now)
    assert marks.why.keys() == found.outputs.keys()
