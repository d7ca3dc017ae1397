import json
import os
import random

import pytest
from pyarrow import parquet

from components.ingestion import extraction, parquet_rows
from components.lib.modalities.text.ingestion import text_id
from components.lib.modalities.text.normalization import normalised
from components.lib.registry.retention.inventory import survey
from components.lib.registry.retention.marking import Policy, mark
from tests.made.corpora import nonsense, words
from tests.made.ingesting import Ingestion, write
from tests.pages import read


def test_a_folder_becomes_a_corpus(ingest, tmp_path):
    given = nonsense(200, "a")
    folder = write(tmp_path / "data", {"a.txt": given[:120], "b.txt": given[120:]})
    manifest = ingest(folder)
    train, validation = (ingest.table(manifest, split) for split in ("train", "validation"))
    assert train.column_names == ["id", "text", "source"]
    assert sorted(train["text"].to_pylist() + validation["text"].to_pylist()) == sorted(given)
    assert train["source"].to_pylist() == sorted(train["source"].to_pylist())
    for row in validation.to_pylist():
        assert row["id"] == text_id(row["text"]).hex()
    facts = manifest.facts
    assert facts["modality"] == "text" and facts["read"] == 200 and facts["sources"] == 2
    assert facts["documents"] == {"train": len(train), "validation": len(validation)} and len(validation) > 20
    assert sum(facts["characters"].values()) == sum(map(len, given))
    assert sum(facts["words"].values()) == 200 * 30
    assert {entry.name for entry in manifest.files} == {
        "train-00000.parquet",
        "validation-00000.parquet",
        "quarantine.parquet",
        "dropped.parquet",
        "statistics.json",
        "card.html",
    }
    assert (tmp_path / "card.html").read_text() == ingest.store.open(manifest, "card.html").read_text()


def test_names_of_files_may_be_any_bytes_and_links_may_loop(ingest, tmp_path):
    folder, given = tmp_path / "data", nonsense(30, "n")
    write(
        folder,
        {"plain.txt": given[:10], "line\nfeed.txt": given[10:20], os.fsdecode(b"caf\xe9.txt"): given[20:]},
    )
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to("..")
    manifest = ingest(str(folder))
    rows = [row for split in ("train", "validation") for row in ingest.table(manifest, split).to_pylist()]
    assert sorted(row["text"] for row in rows) == sorted(given)
    assert {row["source"].rpartition("/")[2] for row in rows if "caf" in row["source"]} == {"caf\\xe9.txt"}


def test_the_same_data_give_the_same_bytes_in_any_process(tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "BATCH", 5_000)
    folder = write(tmp_path / "data", {f"{i}.txt": nonsense(100, str(i)) for i in range(4)})
    manifests = [Ingestion(tmp_path / str(workers))(folder, workers=workers) for workers in (1, 2)]
    assert manifests[0].digest == manifests[1].digest


def test_where_row_groups_end_does_not_depend_on_the_order_of_arrival(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_rows, "ROW_GROUP", 5_000)
    given = {f"{name}.txt": [*nonsense(60, name), *nonsense(5, "copied"), "too short"] for name in "abcd"}
    folder, settings = tmp_path / "data", {"near_duplicates": 0, "shard_bytes": 20_000}
    grown = Ingestion(tmp_path / "grown")
    for name in "dbac":
        manifest = grown(write(folder, {f"{name}.txt": given[f"{name}.txt"]}), **settings)
    at_once = Ingestion(tmp_path / "at_once")
    assert manifest.digest == at_once(folder, **settings).digest
    files = [parquet.ParquetFile(grown.store.open(manifest, name)) for name in manifest.names("train")]
    assert len(files) > 1 and all(file.metadata.num_row_groups > 1 for file in files[:-1])


def test_a_document_keeps_its_split_as_data_grow(ingest, tmp_path):
    folder = write(tmp_path / "data", {"a.txt": nonsense(300, "a")})
    before = {
        split: set(ingest.table(ingest(folder), split)["id"].to_pylist()) for split in ("train", "validation")
    }
    write(folder, {"0.txt": nonsense(200, "0"), "z.txt": nonsense(200, "z")})
    manifest = ingest(folder)
    for split, ids in before.items():
        assert ids <= set(ingest.table(manifest, split)["id"].to_pylist())
    assert (
        ingest(folder, validation=0.4).facts["documents"]["validation"]
        > manifest.facts["documents"]["validation"]
    )


def spoil(path, *, same_stat: bool) -> bytes:
    """Replaces a file's content; with `same_stat` nobody can tell without reading it."""
    status, data = path.stat(), path.read_bytes()
    path.write_bytes(b"?" * len(data))
    if same_stat:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return data


def test_a_rerun_with_one_file_added_reads_only_that_file(ingest, tmp_path):
    folder = write(tmp_path / "data", {"b.txt": nonsense(60, "b"), "d.txt": nonsense(60, "d")})
    ingest(folder)
    kept = {name: spoil(folder / name, same_stat=True) for name in ("b.txt", "d.txt")}
    write(folder, {"a.txt": nonsense(60, "a"), "c.txt": nonsense(60, "c")})
    grown = ingest(folder)
    assert not ingest.reused and grown.facts["documents"]["train"] > 150
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    at_once = Ingestion(tmp_path / "other")(folder)
    assert grown.digest == at_once.digest, "the corpus does not depend on the order of arrival"


def test_a_rerun_without_a_change_reads_nothing(ingest, tmp_path):
    folder = write(tmp_path / "data", {"a.txt": nonsense(60, "a")})
    evaluation = write(tmp_path / "evaluation", {"test.txt": nonsense(5, "t")})
    settings = {"decontaminate": [{"source": str(evaluation)}]}
    first = ingest(folder, **settings)
    for path in (folder / "a.txt", evaluation / "test.txt"):
        spoil(path, same_stat=True)
    assert ingest(folder, **settings).reference == first.reference and ingest.reused


def test_touched_and_changed_files(ingest, tmp_path):
    folder = write(tmp_path / "data", {"a.txt": nonsense(60, "a"), "b.txt": nonsense(60, "b")})
    first = ingest(folder)
    os.utime(folder / "a.txt", ns=(1, 1))
    assert ingest(folder).reference == first.reference and ingest.reused, "content decides, not the date"
    write(folder, {"a.txt": nonsense(60, "other")})
    assert ingest(folder).reference != first.reference
    (folder / "a.txt").unlink()
    assert ingest(folder).facts["read"] == 60


def test_the_survivor_of_near_copies_does_not_depend_on_order(tmp_path):
    draw = random.Random(0)
    family = [words(draw, 120)] * 5
    variants = [" ".join([*text[:i], "variant", *text[i + 1 :]]) for i, text in enumerate(family, 20)]
    others = nonsense(40, "o")
    kept = []
    for name, lines in (("one", variants + others), ("two", others + variants[::-1])):
        ingest = Ingestion(tmp_path / name)
        found = ingest.texts(ingest(write(tmp_path / name / "data", {"a.txt": lines})))
        kept.append(set(found) & set(variants))
    assert len(kept[0]) == 1 and kept[0] == kept[1]


def test_evaluation_sets_are_kept_out(ingest, tmp_path):
    given, secret = nonsense(100, "a", length=60), nonsense(12, "s", length=40)
    inside = f"{given[0]} {secret[0]} {given[1]}"  # a whole test document inside a longer text
    part = " ".join(secret[1].split()[:30] + given[2].split()[:10])  # most of it stands in a test document
    phrase = " ".join(
        given[3].split()[:45] + secret[2].split()[:14]
    )  # one shared phrase is not contamination
    upper = secret[3].upper().replace(" ", ", ")  # case and punctuation hide nothing
    lines = [*given, inside, part, phrase, upper, secret[4], "short one here today ok"]
    evaluation = write(tmp_path / "evaluation", {"test.txt": [*secret, "short one here today ok"]})
    settings = {"decontaminate": [{"source": str(evaluation)}]}
    manifest = ingest(write(tmp_path / "data", {"a.txt": lines}), **settings)
    assert manifest.facts["dropped"] == {"contaminated": 5}
    assert manifest.facts["evaluations"] == [{"source": str(evaluation), "documents": 13, "found": 2}]
    assert set(ingest.texts(manifest)) == {*given, phrase}


def test_evaluation_sets_of_tokens(ingest, tmp_path):
    secret = nonsense(3, "s", length=40)
    rows = "\n\n".join("\n".join(f"{word} O" for word in text.split()) for text in secret)
    (tmp_path / "test.conll").write_text(rows)
    data = write(tmp_path / "data", {"a.txt": [*nonsense(50, "a"), *secret]})
    manifest = ingest(data, decontaminate=[{"source": str(tmp_path / "test.conll"), "text": "tokens"}])
    assert manifest.facts["dropped"] == {"contaminated": 3}


def test_control_characters_are_removed_and_counted(ingest, tmp_path):
    lines = [*nonsense(50, "a"), "one two\x00 three\x07 four \ufeff five", "cafe\u0301 two three four five"]
    manifest = ingest(write(tmp_path / "data", {"a.txt": lines}))
    found = set(ingest.texts(manifest))
    assert "one two three four  five" in found and "caf\u00e9 two three four five" in found
    statistics = json.loads(ingest.store.open(manifest, "statistics.json").read_text())
    assert statistics["altered"] == 1
    assert normalised("a\r\nb\u2028c\ud800") == "a\nb\nc"


def test_shards_have_a_bounded_size(ingest, tmp_path):
    given = nonsense(400, "a", length=60)
    manifest = ingest(write(tmp_path / "data", {"a.txt": given}), shard_bytes=20_000)
    names = manifest.names("train", ".parquet")
    assert len(names) > 4 and names[1] == "train-00001.parquet"
    for name in names:
        table = ingest.table(manifest, name)
        assert sum(len(text.encode()) for text in table["text"].to_pylist()) <= 20_000
        assert manifest.file(name).rows == len(table)
    assert sorted(ingest.texts(manifest)) == sorted(given)


def test_objects_of_s3_are_read_once(ingest, s3, tmp_path):
    from components.lib.storage.objects.s3 import client

    bucket = s3.removeprefix("s3://")
    for name in ("a", "b"):
        body = "".join(f"{text}\n" for text in nonsense(60, name)).encode()
        client().put_object(Bucket=bucket, Key=f"data/{name}.txt", Body=body)
    first = ingest(f"{s3}/data")
    assert first.facts["read"] == 120
    assert ingest(f"{s3}/data").reference == first.reference and ingest.reused
    assert set(ingest.table(first, "train")["source"].to_pylist()) == {f"{s3}/data/a.txt", f"{s3}/data/b.txt"}


def test_the_card_shows_hostile_data_as_text(ingest, tmp_path):
    attack = "<script>alert(1)</script> <img src=x onerror=alert(2)> one two three four five"
    data = write(tmp_path / "data", {"<b>.txt": [attack], "a.txt": nonsense(60, "a")})
    ingest(data, decontaminate=[{"source": str(write(tmp_path / "e", {"<i>.txt": nonsense(2, "e")}))}])
    page = read((tmp_path / "card.html").read_text())
    assert {"records read", "61"} <= {*page.texts} and "<b>.txt" in page.text and "svg" in page.tags


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


@pytest.mark.parametrize("count", [2, 3, 10])
def test_of_few_documents_one_is_held_out(ingest, tmp_path, count):
    """That of the lowest hash, whatever the share, so that tiny data run whole."""
    lines = [f"boat number {number} sails over the {number * 7} th sea today" for number in range(count)]
    folder = write(tmp_path / "few", {"a.txt": lines})
    facts = ingest(folder, validation=1e-6).facts
    assert facts["documents"] == {"train": count - 1, "validation": 1}
