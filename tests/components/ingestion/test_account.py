"""What became of each line stands in the statistics, on the card, and decides whether a run goes on."""

import json
from pathlib import Path

import pytest

from components.lib.core.errors import DataError
from tests.made.corpora import nonsense
from tests.pages import read

SENTENCES = Path(__file__).parent.parent / "lib" / "data" / "formats" / "sentences.tsv"


def test_lines_add_up_and_guesses_are_told(ingest, tmp_path, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    (greek,) = [
        line.split("\t")[2] for line in SENTENCES.read_text().splitlines() if line.startswith("greek")
    ]
    texts = [f"{greek} {text}" for text in nonsense(60, "a")]
    (folder / "a.txt").write_bytes("\n".join([*texts, "", texts[0]]).encode("cp1253"))
    rows = "".join(f"{text};x\n" for text in nonsense(60, "b"))
    (folder / "b.csv").write_text(f"\ntext;label\n{rows}\n", encoding="utf-8")
    manifest = ingest(str(folder))
    statistics = json.loads(ingest.store.open(manifest, "statistics.json").read_bytes())
    lines = {"read": 125, "records": 121, "blank": 3, "header": 1, "quarantined": 0}
    assert statistics["account"] == manifest.facts["account"] == {"lines": lines}
    assert sorted(ingest.texts(manifest)) == sorted([*texts, *nonsense(60, "b")])
    told, card = capsys.readouterr().out, read(ingest.store.open(manifest, "card.html").read_text())
    for note in ("read as cp1253, with a confidence of", "semicolons between columns"):
        assert note in told and note in card.text


def test_lines_of_a_broken_record_count_one_by_one(ingest, tmp_path):
    """One record of eighty is below the limit, but it holds a fifth of the lines."""
    rows = [f"{text},x\n" for text in nonsense(80, "a")]
    rows[40] = '"' + "one line, of many words\n" * 20 + '" and more,x\n'
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(rows))
    with pytest.raises(DataError, match="too many records") as caught:
        ingest(str(tmp_path / "a.csv"), quarantine=0.02)
    assert "1 of 80 records, 21 of 100 lines" in caught.value.found
    assert ingest(str(tmp_path / "a.csv"), quarantine=0.25).facts["quarantined"] == 1
