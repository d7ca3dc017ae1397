"""What is data and what is passed over: the same for folders, archives and buckets."""

import io
import os
import tarfile
import zipfile

import pytest

from components.lib.data import listing
from components.lib.data.formats import Layout
from components.lib.data.listing import PassedOver
from components.lib.data.sources import find, read_records

ROW = b'{"text": "a record"}\n'
# id: the files, which of them are data, how many are passed over by reason
LAYOUTS: dict[str, tuple[list[str], list[str], dict[str, int]]] = {
    "Spark, one part": (
        ["part-00000.jsonl", "_SUCCESS", ".part-00000.jsonl.crc", "_temporary/0/part-1.jsonl"],
        ["part-00000.jsonl"],
        {listing.SYSTEM: 2, listing.HIDDEN: 1},
    ),
    "Delta": (
        ["part-0.jsonl", "_delta_log/0.json", "_delta_log/1.json"],
        ["part-0.jsonl"],
        {listing.SYSTEM: 2},
    ),
    "a column that begins so": (["_day=1/part-0.jsonl"], ["_day=1/part-0.jsonl"], {}),
    "Hub": (
        ["data/a.jsonl", "README.md", "LICENSE", "dataset_infos.json", ".gitattributes", "sub/ReadMe.txt"],
        ["data/a.jsonl"],
        {listing.DOCUMENTATION: 3, listing.DESCRIPTION: 1, listing.HIDDEN: 1},
    ),
    "prose alone": (["a.md", "b/README.md", "readmes.md"], ["a.md", "b/README.md", "readmes.md"], {}),
    "macOS": (
        ["a.txt", "__MACOSX/._a.txt", "b/._c.txt", "b/.DS_Store", "b/c.txt"],
        ["a.txt", "b/c.txt"],
        {listing.HIDDEN: 2, listing.MACOS: 1},
    ),
    "strangers": (
        ["a.txt", "b.txt", "c.txt", "x.docx", "Thumbs.db"],
        ["a.txt", "b.txt", "c.txt"],
        {listing.UNKNOWN: 2},
    ),
    "nothing in it": (["a.txt", "b.empty.txt"], ["a.txt"], {listing.EMPTY: 1}),
    "odd names": (["100%#?.txt", "Yahoo!/a.txt", "wow!/b c.txt"],) * 2 + ({},),
}


def content(name: str) -> bytes:
    return b"" if ".empty." in name else ROW if name.endswith(("json", "jsonl")) else name.encode()


def folder(place, names, s3) -> str:
    for name in names:
        path = place / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(name))
    return str(place / "data")


def zipped(place, names, s3) -> str:
    with zipfile.ZipFile(place / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, content(name))
    return str(place / "a.zip")


def tarred(place, names, s3) -> str:
    with tarfile.open(place / "a.tar.gz", "w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content(name))
            archive.addfile(info, io.BytesIO(content(name)))
    return str(place / "a.tar.gz")


def bucket(place, names, s3) -> str:
    from components.lib.storage.objects.s3 import client

    for name in names:
        client().put_object(Bucket=s3.removeprefix("s3://"), Key=f"in [v1]/{name}", Body=content(name))
    return f"{s3}/in [v1]"


@pytest.mark.parametrize("made", [folder, zipped, tarred, bucket])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_what_is_data_does_not_depend_on_where_it_lies(tmp_path, s3, layout, made):
    names, data, expected = layout
    source, passed = made(tmp_path, names, s3), PassedOver()
    found = list(read_records(source, Layout(), passed=passed))
    places = [record.where[len(source) :].lstrip("!/.").partition(":")[0] for record in found]
    assert sorted(places) == data
    counts = dict(passed.counts)
    if made is folder:  # a folder that is not data is one name
        assert counts.keys() == expected.keys()
    else:
        assert counts == expected
    assert sum(passed.counts.values()) + len(data) == len(names) or made is folder


def test_links_to_folders_are_followed_once_and_circles_are_cut(tmp_path):
    names = ["cat/1.txt", "cat/2.txt", "deep/er/3.txt"]
    source = folder(tmp_path, names, "")
    folder(tmp_path / "elsewhere", ["4.txt", "sub/5.txt"], "")
    links = {
        "dog": "../elsewhere/data",
        "again": "../elsewhere/data",
        "deep/er/up": "..",
        "deep/out": "../..",
        "cat/gone.txt": "nowhere.txt",
        "cat/self": "self",
        "file.txt": "cat/1.txt",
    }
    for name, target in links.items():
        os.symlink(target, f"{source}/{name}")
    os.mkfifo(f"{source}/pipe.txt")
    passed = PassedOver()
    found = [entry.name.removeprefix(f"{source}/") for entry in find(source, passed)]
    assert found == ["again/4.txt", "again/sub/5.txt", *names, "file.txt"]
    assert passed.counts == {listing.CYCLE: 2, listing.TWICE: 1, listing.DANGLING: 2, listing.SPECIAL: 1}
    assert str(passed).startswith("6: 2 links that lead nowhere (gone.txt, self)")


@pytest.mark.parametrize("made", [folder, bucket])
def test_what_exists_or_is_spelled_out_wins_over_a_rule(tmp_path, s3, made):
    source = made(tmp_path, ["_x/a.txt", "b [1]/c.txt", "b [1]/d*.txt", "README.md", "_y.txt"], s3)

    def names(place: str) -> list[str]:
        return [entry.name.removeprefix(f"{source}/") for entry in find(f"{source}/{place}")]

    assert names("_x/*.txt") == names("_x") == ["_x/a.txt"] and names("_y.txt") == ["_y.txt"]
    assert names("_y*") == ["_y.txt"] and names("_x/a.txt") == ["_x/a.txt"]
    assert names("b [1]") == names("b [1]/*") == ["b [1]/c.txt", "b [1]/d*.txt"]
    assert names("b [1]/d*.txt") == ["b [1]/d*.txt"] and names("README.md") == ["README.md"]
    (record,) = read_records(f"{source}/README.md")
    assert record.fields == {"text": "README.md"}
