"""Parquet: only what is asked for is decoded, names of classes come from the schema."""

import json
from datetime import date

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.lib.core.errors import DataError
from components.lib.data.formats import Account, Layout, Record
from components.lib.data.sources import read_records

TEXTS = pa.array(["one", "two", "three"])
LATE = pa.array([3_000_000] * 3, pa.date32())  # beyond the year 9999
ZONE = pa.array([0, 1, 2], pa.timestamp("s", tz="Moon/Tycho"))


def read(tmp_path, table, wanted=()):
    parquet.write_table(table, tmp_path / "a.parquet")
    accounts: list[Account] = []
    found = list(read_records(str(tmp_path / "a.parquet"), Layout(fields=wanted), accounts))
    assert accounts[0].read == accounts[0].records + accounts[0].quarantined == 3
    return [one.fields if isinstance(one, Record) else one.reason for one in found]


@pytest.mark.parametrize("odd", [LATE, ZONE], ids=["date", "zone"])
def test_values_that_python_cannot_hold_cost_nothing_unless_they_are_asked_for(tmp_path, odd):
    table = pa.table({"text": TEXTS, "when": odd})
    assert read(tmp_path, table, ("text",)) == [{"text": text} for text in TEXTS.to_pylist()]
    assert read(tmp_path, table, ("text", "label"))[0] == {"text": "one", "when": None}  # it has none
    assert all("'when' cannot be read" in reason for reason in read(tmp_path, table, ("when",)))


def test_one_such_value_costs_its_row(tmp_path):
    days = pa.array([1, 3_000_000, 2], pa.date32())
    found = read(tmp_path, pa.table({"text": TEXTS, "when": days}))
    assert found[0] == {"text": "one", "when": date(1970, 1, 2)} and "cannot be read" in found[1]


LABEL = {"names": ["neg", "pos"], "_type": "ClassLabel"}
VALUES = [1, -1, 0]
NAMES = ["pos", None, "neg"]


@pytest.mark.parametrize(
    ("feature", "values", "expected"),
    [
        (LABEL, VALUES, NAMES),
        (LABEL, [1, None, 0], NAMES),
        ({"feature": LABEL, "_type": "Sequence"}, [[1, 0], [], None], [["pos", "neg"], [], None]),
        ({"feature": LABEL, "_type": "List"}, [[1], [0], [1]], [["pos"], ["neg"], ["pos"]]),
        ([LABEL], [[1], [0], [1]], [["pos"], ["neg"], ["pos"]]),
        ({"kind": LABEL}, [{"kind": one} for one in VALUES], [{"kind": one} for one in NAMES]),
        ({"feature": {"kind": LABEL}, "_type": "Sequence"}, [{"kind": [1]}] * 3, [{"kind": ["pos"]}] * 3),
        ([{"kind": LABEL}], [[{"kind": 0}]] * 3, [[{"kind": "neg"}]] * 3),
        ({"dtype": "int64", "_type": "Value"}, VALUES, VALUES),
    ],
)
def test_classes_have_the_names_that_the_schema_gives(tmp_path, feature, values, expected):
    described = json.dumps({"info": {"features": {"text": {"_type": "Value"}, "label": feature}}})
    table = pa.table({"text": TEXTS, "label": values}).replace_schema_metadata({"huggingface": described})
    assert [row["label"] for row in read(tmp_path, table)] == expected


def test_a_number_of_no_class_is_told(tmp_path):
    described = json.dumps({"info": {"features": {"label": LABEL}}})
    table = pa.table({"label": [0, 7, 1]}).replace_schema_metadata({"huggingface": described})
    found = read(tmp_path, table)
    assert found[0] == {"label": "neg"} and "7 is the number of none of the classes neg, pos" in found[1]


def test_a_column_that_is_named_twice_is_refused(tmp_path):
    table = pa.Table.from_arrays([TEXTS, TEXTS, TEXTS], ["text", "text", "label"])
    with pytest.raises(DataError, match="names a column twice"):
        read(tmp_path, table, ("text", "label"))
    assert read(tmp_path, table, ("label",))[0] == {"label": "one"}
