import json

import pytest

from components.lib.registry.examples import difference
from components.lib.registry.model_server.limits import Limits
from components.lib.registry.model_server.protocol import Refused, joined, parse

LIMITS = Limits(records=4, characters=20)
SPLIT = {"columns": ["text"], "data": [["a"], ["b"]]}
TAKEN = [  # a body, its records; those of one name can be computed together
    ("list", {"inputs": ["a", "b"]}, 2),
    ("list", {"inputs": ["c"]}, 1),
    ("params", {"inputs": ["c"], "params": {"seed": 1}}, 1),
    ("params of another", {"inputs": ["c"], "params": {"seed": 2}}, 1),
    ("columns", {"inputs": {"question": ["a"], "context": ["b"]}}, 1),
    ("columns", {"inputs": {"context": ["c", "d"], "question": ["e", "f"]}}, 2),
    ("other columns", {"inputs": {"context": ["c"]}}, 1),
    ("split", {"dataframe_split": SPLIT}, 2),
    ("split", {"dataframe_split": {**SPLIT, "data": [["c"]]}}, 1),
    ("records", {"dataframe_records": [{"text": "a"}]}, 1),
    ("records", {"dataframe_records": [{"text": "b"}, {"text": "c"}]}, 2),
    ("records of others", {"dataframe_records": [{"question": "b"}]}, 1),
    ("vectors", {"instances": [[1.0, 2.0]]}, 1),
]
REFUSED = [
    (b"no JSON", 400, "no JSON"),
    (b'{"inputs": ' + b"[" * 100_000, 400, "no JSON"),
    ([1, 2], 400, "an object with one of"),
    ({"text": ["a"]}, 400, "an object with one of"),
    ({"inputs": ["a"], "instances": ["a"]}, 400, "an object with one of"),
    ({"inputs": ["a"], "more": 1}, 400, "only be params"),
    ({"inputs": ["a"], "params": [1]}, 400, "only be params"),
    ({"inputs": "a"}, 400, "a list of records"),
    ({"inputs": {"a": ["b"], "c": []}}, 400, "of one length"),
    ({"inputs": {"a": "b"}}, 400, "a list of records"),
    ({"dataframe_split": {"data": [["a"]]}}, 400, "columns and data alone"),
    ({"dataframe_records": {"a": ["b"]}}, 400, "a list of records"),
    ({"inputs": ["a"] * 5}, 413, "at most 4"),
    ({"inputs": ["a" * 21]}, 413, "at most 20"),
    ({"inputs": {"a": [{"deep": ["a" * 21]}]}}, 413, "at most 20"),
]


def encoded(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def test_requests_of_one_form_are_joined_and_others_are_not():
    found = [(name, parse(encoded(body), LIMITS), records) for name, body, records in TAKEN]
    assert [one.records for _, one, _ in found] == [records for *_, records in found]
    for name, one, _ in found:
        assert {other.key == one.key for label, other, _ in found if label == name} == {True}
        assert {other.key == one.key for label, other, _ in found if label != name} == {False}
    by_name = {name: [one for label, one, _ in found if label == name] for name, *_ in found}
    assert joined(by_name["list"]) == {"inputs": ["a", "b", "c"]}
    assert joined(by_name["columns"]) == {"inputs": {"question": ["a", "e", "f"], "context": ["b", "c", "d"]}}
    assert joined(by_name["split"])["dataframe_split"]["data"] == [["a"], ["b"], ["c"]]
    assert joined(by_name["params"]) == TAKEN[2][1]


@pytest.mark.parametrize(("body", "status", "words"), REFUSED)
def test_what_is_no_question_or_breaks_a_bound_is_refused(body, status, words):
    with pytest.raises(Refused, match=words) as refused:
        parse(encoded(body), LIMITS)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        ([{"label": "a", "score": 0.5}], [{"label": "a", "score": 0.5001}], True),
        ([{"label": "a", "score": 0.5}], [{"label": "a", "score": 0.52}], False),
        ([{"label": "a", "score": 0.5}], [{"label": "b", "score": 0.5}], False),
        ([{"label": "a"}], [{"label": "a"}, {"label": "a"}], False),
        ([{"label": "a"}], [{"labels": "a"}], False),
        ([{"start": 3}], [{"start": 4}], False),
        ([{"scores": '{"a": 0.5}'}], [{"scores": '{"a": 0.5001}'}], True),
        ([{"scores": '{"a": 0.5}'}], [{"scores": '{"a": 0.6}'}], False),
        ([{"answer": "12"}], [{"answer": "13"}], False),
        ([None, True], [None, True], True),
        ([True], [1.5], False),
        ([0.5], [None], False),
    ],
)
def test_answers_are_the_same_but_for_rounding(expected, found, same):
    assert (difference(expected, found) == "") == same
    assert same or "evaluated" in difference(expected, found)
