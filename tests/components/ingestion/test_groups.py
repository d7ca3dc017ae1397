"""Documents of a group (patient, speaker, file) are on one side of the split, and of none that is tested."""

import gzip
import json
from collections import defaultdict

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.lib.core.errors import DataError
from components.preflight.plan import resolve
from tests.made.corpora import nonsense
from tests.made.ingesting import Ingestion, write


def visits(seed: str, patients: range, each: int = 4) -> list[tuple[str, int]]:
    """(text, patient), those of one patient far apart."""
    given = nonsense(len(patients) * each, seed)
    return list(zip(given, [*patients] * each, strict=True))


def lines(given: list[tuple[str, object]], name: str = "patient") -> list[str]:
    return [json.dumps({"text": text, name: group}) for text, group in given]


def sides(ingest: Ingestion, manifest, given: list[tuple[str, object]]) -> dict[object, set[str]]:
    """Group -> the splits that its documents are in."""
    of, found = dict(given), defaultdict(set)
    for split in ("train", "validation"):
        for text in ingest.table(manifest, split)["text"].to_pylist():
            found[of[text]].add(split)
    return found


def test_a_group_stays_on_one_side_also_as_data_grow(ingest, tmp_path):
    given = visits("a", range(80))
    folder = write(tmp_path / "data", {"a.jsonl": lines(given)})
    manifest = ingest(folder, group="patient")
    before = sides(ingest, manifest, given)
    assert len(before) == 80 and all(len(splits) == 1 for splits in before.values())
    held_out = sum(splits == {"validation"} for splits in before.values())
    assert 5 < held_out < 30
    assert manifest.facts["groups"] == {"train": 80 - held_out, "validation": held_out}
    assert manifest.facts["documents"]["validation"] == 4 * held_out
    card = (tmp_path / "card.html").read_text()
    assert "its group (patient)" in card and "groups" in card
    more = visits("b", range(40, 160))
    write(folder, {"b.jsonl": lines(more)})
    after = sides(ingest, ingest(folder, group="patient"), given + more)
    assert len(after) == 160 and all(len(splits) == 1 for splits in after.values())
    assert {group: after[group] for group in before} == before
    apart = Ingestion(tmp_path / "apart")
    assert sum(len(splits) for splits in sides(apart, apart(folder), given + more).values()) > 160


def test_files_of_any_format_name_the_same_group(ingest, tmp_path):
    given = visits("a", range(30), each=3)
    write(tmp_path / "data", {"a.jsonl": lines(given[:30])})
    rows = "".join(f"{text}, {group} \n" for text, group in given[30:60])
    (tmp_path / "data" / "b.csv").write_text(f"text,patient\n{rows}")
    numbers = {"text": [text for text, _ in given[60:]], "patient": [float(group) for _, group in given[60:]]}
    parquet.write_table(pa.table(numbers), tmp_path / "data" / "c.parquet")
    manifest = ingest(tmp_path / "data", group="patient")
    assert sum(manifest.facts["groups"].values()) == 30
    assert all(len(splits) == 1 for splits in sides(ingest, manifest, given).values())
    other = Ingestion(tmp_path / "other")
    assert other(tmp_path / "data", group="patient", workers=2).digest == manifest.digest


def test_a_file_can_be_the_group(ingest, tmp_path):
    given = [(text, f"{number}.txt") for number in range(40) for text in nonsense(5, str(number))]
    names = sorted({name for _, name in given})
    folder = write(tmp_path / "data", {name: [t for t, n in given if n == name] for name in names})
    manifest = ingest(folder, group="@file")
    assert sum(manifest.facts["groups"].values()) == 40
    assert all(len(splits) == 1 for splits in sides(ingest, manifest, given).values())


@pytest.mark.parametrize("value", ["{}", '{"patient": null}', '{"patient": " "}', '{"patient": [1]}'])
def test_a_record_without_a_group_is_set_aside(ingest, tmp_path, value):
    given = [*lines(visits("a", range(50))), json.dumps({"text": "of nobody", **json.loads(value)})]
    folder = write(tmp_path / "data", {"a.jsonl": given})
    with pytest.raises(DataError, match="too many records cannot be read"):
        ingest(folder, group="patient", quarantine=0)
    manifest = ingest(folder, group="patient", quarantine=0.01)
    (broken,) = ingest.table(manifest, "quarantine").to_pylist()
    assert broken["location"] == f"{folder}/a.jsonl:201" and "group 'patient'" in broken["reason"]
    assert sum(manifest.facts["documents"].values()) == 200


def test_groups_of_an_evaluation_set_are_not_trained_on(ingest, tmp_path):
    given = visits("a", range(60))
    folder = write(tmp_path / "data", {"a.jsonl": lines(given)})
    tested = lines([(given[0][0], "0"), *((text, 59) for text in nonsense(3, "t"))], "who")
    test = write(tmp_path / "test", {"t.jsonl": tested})
    entry = {"source": str(test), "group": "who"}
    manifest = ingest(folder, group="patient", decontaminate=[entry])
    assert manifest.facts["dropped"] == {"contaminated": 1, "contaminated_group": 7}
    assert not sides(ingest, manifest, given).keys() & {0, 59}
    assert "its group is in an evaluation set" in (tmp_path / "card.html").read_text()
    assert not ingest.notices
    without = ingest(folder, decontaminate=[entry])
    assert without.facts["dropped"] == {"contaminated": 1}
    assert "ingestion.group is not set" in ingest.notices[0] and str(test) in ingest.notices[0]


def test_increments_and_files_that_cannot_be_read_have_groups_too(ingest, tmp_path):
    given, more = visits("a", range(50)), visits("b", range(50))
    folder = write(tmp_path / "data", {"a.jsonl": lines(given)})
    first = ingest(folder, group="patient")
    write(folder, {"b.jsonl": lines(more)})
    (folder / "c.jsonl.gz").write_bytes(gzip.compress("\n".join(lines(more)).encode())[:-9])
    second = ingest(folder, group="patient", since=first.reference, quarantine=1.0)
    assert sum(second.facts["documents"].values()) == 200 and "c.jsonl.gz" in ingest.notices[0]
    before, after = sides(ingest, first, given), sides(ingest, second, more)
    assert before == after
    assert (
        ingest(folder, group="patient", since=second.reference, quarantine=1.0).reference == second.reference
    )


def test_the_group_of_a_test_set_is_kept_out_by_preflight():
    test = {"source": "sample:topics/test", "group": "author"}
    task = {"name": "topics", "train": {"source": "sample:topics/train"}, "test": test}
    (entry,) = resolve("smoke", {"tasks": [task]}).stages["ingestion"]["decontaminate"]
    assert entry["group"] == "author" and entry["source"] == test["source"]
