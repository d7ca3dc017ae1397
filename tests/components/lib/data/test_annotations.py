"""Annotations beside images, as their tools write them: joined to labelled images, told of a corpus."""

import json

import numpy as np
import pytest

from components.lib.data.formats import Layout
from components.lib.data.images import png
from components.lib.data.listing import PassedOver
from components.lib.data.sources import read_records
from tests.bad_input.broken import zipped

IMAGES = Layout(reads=("image",))
PNG = png(np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8))
COCO = {
    "images": [{"id": 7, "file_name": "a.png", "width": 40}, {"id": 8, "file_name": "b.png"}],
    "annotations": [
        {"image_id": 7, "bbox": [1, 2, 3, 4], "category_id": 5, "iscrowd": 0},
        {"image_id": 7, "bbox": [0, 0, 40, 20], "category_id": 6, "iscrowd": 1},
    ],
    "categories": [{"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}],
}
VOC = (
    "<annotation><filename>{}.png</filename><object><name>cat</name><difficult>0</difficult><bndbox>"
    "<xmin>3</xmin><ymin>1</ymin><xmax>10</xmax><ymax>9</ymax></bndbox></object></annotation>"
)
CAT = [{"box": [2.0, 0.0, 10.0, 9.0], "label": "cat"}]
YOLO = {"label": "cat", "box": [8.0, 4.0, 12.0, 8.0]}
# id: files, fields of the images a and b besides `image`
LAYOUTS: dict[str, tuple[dict[str, str], dict[str, object], dict[str, object]]] = {
    "metadata.csv": (
        {"in/a.png": "", "in/b.png": "", "in/metadata.csv": "file_name,label,site\na.png,x,1\nb.png,y,2\n"},
        {"label": "x", "site": "1"},
        {"label": "y", "site": "2"},
    ),
    "metadata.jsonl in a folder above": (
        {"t/a.png": "", "t/b.png": "", "metadata.jsonl": '{"file_name": "t/a.png", "text": "one"}\n'},
        {"label": "t", "text": "one"},
        {"label": "t"},
    ),
    "COCO": (
        {"train/a.png": "", "train/b.png": "", "annotations/instances.json": json.dumps(COCO)},
        {
            "label": "train",
            "objects": [
                {"box": [1, 2, 4, 6], "label": "cat"},
                {"box": [0, 0, 40, 20], "label": "dog", "crowd": True},
            ],
        },
        {"label": "train", "objects": []},
    ),
    "YOLO": (
        {
            "images/train/a.png": "",
            "images/train/b.png": "",
            "labels/train/a.txt": "1 0.25 0.3 0.1 0.2\n",
            "data.yaml": "names: [dog, cat]\n",
        },
        {"label": "train", "objects": [{"label": "cat", "box": [8.0, 4.0, 12.0, 8.0]}]},
        {"label": "train", "objects": []},
    ),
    "YOLO beside, polygons": (
        {
            "d/a.png": "",
            "d/b.png": "",
            "d/a.txt": "0 .2 .2 .3 .2 .3 .4 .2 .4\n",
            "d/b.txt": "",
            "d/classes.txt": "cat",
        },
        {"label": "d", "objects": [{"label": "cat", "box": [8.0, 4.0, 12.0, 8.0]}]},
        {"label": "d", "objects": []},
    ),
    "Pascal VOC": (
        {
            "JPEGImages/a.png": "",
            "JPEGImages/b.png": "",
            "Annotations/a.xml": VOC.format("a"),
            "Annotations/b.xml": VOC.format("b"),
            "ImageSets/Main/train.txt": "a\nb\n",
        },
        {"label": "JPEGImages", "objects": CAT},
        {"label": "JPEGImages", "objects": CAT},
    ),
    "captions": (
        {"d/a.png": "", "d/b.png": "", "d/a.txt": "a view of 3 boats\n", "d/b.txt": "another"},
        {"label": "d", "text": "a view of 3 boats"},
        {"label": "d", "text": "another"},
    ),
}


def written(folder, files) -> str:
    for name, text in files.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG if name.endswith("png") else text.encode())
    return str(folder / "data")


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_annotations_are_joined_to_labelled_images_and_told_of_a_corpus(ingest, tmp_path, layout):
    files, *expected = layout
    source, passed = written(tmp_path, files), PassedOver()
    found = list(read_records(source, IMAGES, passed=passed))
    assert all(record.fields.pop("image") == PNG for record in found)
    approximately = [
        {
            **fields,
            **(
                {"objects": [{**o, "box": pytest.approx(o["box"])} for o in fields["objects"]]}
                if "objects" in fields
                else {}
            ),
        }
        for fields in expected
    ]
    assert [record.fields for record in found] == approximately
    lists, empty = "ImageSets" in str(files), files.get("d/b.txt") == ""
    assert passed.counts == {
        **({"annotations of images that are not there": 1} if lists else {}),
        **({"empty files": 1} if empty else {}),
    }
    manifest = ingest(source, modality="image", validation=0, quarantine=0, near_duplicates=0)
    beside = len(files) - 2 - empty
    assert manifest.facts["read"] == 2 and manifest.facts["quarantined"] == 0
    assert f"{beside} annotations of images (" in ingest.notices[0]


def test_what_fits_no_image_is_told(tmp_path):
    rows = "file_name,label\na.png,x\nc.png,y\na.png,z\n"
    source = written(
        tmp_path,
        {"a.png": "", "metadata.csv": rows, "d.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a/>', "e.json": "{"},
    )
    passed = PassedOver()
    (record,) = read_records(source, IMAGES, passed=passed)
    assert record.fields["label"] == "x"
    assert passed.counts == {
        "annotations of images that are not there": 1,
        "further rows of an image in a table of annotations": 1,
        "annotations that cannot be read": 1,
    }


def test_tables_of_a_zip_of_images_are_no_data(ingest, tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"0.csv": b"file_name\n", "a.png": PNG, "b.txt": b"0 0 0 0 0"}))
    manifest = ingest(tmp_path / "a.zip", modality="image", validation=0, quarantine=0)
    assert manifest.facts["read"] == 1 and "2 annotations of images" in ingest.notices[0]
