"""Extractive question answering: SQuAD's scores and JSON, answers by offset, windows over long contexts."""

import itertools
import json
import unicodedata

import numpy as np
import pytest
import torch

from components.lib.core.errors import DataError
from components.lib.data.classes import Unlabelled
from components.lib.data.formats import Layout, Record, Rejected
from components.lib.data.sources import read_records
from components.lib.engine.randomness import Draw
from components.lib.modalities.text.answers import scores
from components.lib.modalities.text.labelled import Reader
from components.lib.modalities.text.normalization import normalised
from components.lib.modalities.text.passages import ANSWER, best_spans, windowed
from components.lib.tasks import Reading, question_answering
from tests import made

# What was answered, the answers, and what torchmetrics 1.9's SQuAD says of them.
SQUAD = [
    ("The cat.", ["cat"], 1, 1.0),
    ("a dog and the cat", ["cat and dog", "the dog"], 0, 1.0),
    ("", ["x"], 0, 0.0),
    ("New  York-City", ["new york city", "NewYork"], 0, 0.4),
    ("$1,200", ["1200"], 1, 1.0),
    ("A.B.C", ["abc", "a b c"], 1, 1.0),
    ("cat cat dog", ["cat dog dog"], 0, 0.666667),
    ("in 1999", ["1999", "in the year 1999"], 0, 0.8),
    ("na\u00efve", ["naive"], 0, 0.0),
    ("", [], 1, 1.0),  # of SQuAD 2.0's own script
    ("x", [], 0, 0.0),
    ("x", ["the", "x"], 1, 1.0),
]


@pytest.mark.parametrize(("said", "answers", "exact", "f1"), SQUAD)
def test_scores_are_squads(said, answers, exact, f1):
    found = scores(said, answers)
    assert found[0] == exact and found[1] == pytest.approx(f1, abs=1e-6)


def parsed(context: object, answers: object) -> list[dict]:
    """As finetuning parses a record."""
    values = {"question": "Who?", "context": normalised(str(context)), "answers": answers}
    return question_answering.parse(values, Reading(raw={"context": context}))[1]


DECOMPOSED = unicodedata.normalize("NFD", "\u00c5ngstr\u00f6m met Bj\u00f6rk in Malm\u00f6")
HUB = {"text": ["Ada"], "answer_start": [4]}


@pytest.mark.parametrize(
    ("context", "text", "found"),
    [
        ("It is Ada.", "Ada", "Ada"),
        (" \r\n It is\r\nAda.", "Ada", "Ada"),
        ("\x00It is\x07 Ada.", " Ada", "Ada"),
        ("\U0001f600 It is Ada.", "Ada", "Ada"),
        (DECOMPOSED, unicodedata.normalize("NFD", "Malm\u00f6"), "Malm\u00f6"),
        ("a cat saw a cat", "a cat", "a cat"),
    ],
)
def test_an_answer_is_where_its_offset_says_in_the_context_as_it_is_read(context, text, found):
    at = context.rindex(text)
    (answer,) = parsed(context, [{"text": text, "answer_start": at}] * 2)
    assert normalised(context)[answer["start"] :].startswith(found) and answer["text"] == found
    assert normalised(context).rindex(found) == answer["start"]
    with pytest.raises(DataError, match="not at its offset"):
        parsed(context, [{"text": text, "answer_start": at + 1}])


def test_no_answer_no_label_and_other_forms():
    assert parsed("So Ada", {"text": [], "answer_start": []}) == parsed("So", []) == []
    assert parsed(" So Ada", HUB) == [{"text": "Ada", "start": 3}]
    with pytest.raises(Unlabelled):
        parsed("So", None)
    for odd in ({"text": ["a"]}, ["a"], [{"text": "a"}], [{"text": "So", "answer_start": "0"}], "So", 3):
        with pytest.raises(DataError):
            parsed("So", odd)
    with pytest.raises(DataError, match="empty"):
        parsed("So it is", [{"text": " ", "answer_start": 2}])


def test_squads_articles_are_records_of_their_questions(tmp_path):
    asked = [{"id": "1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}, {"id": "2"}]
    good = {
        "title": "T",
        "paragraphs": [{"context": "Ada.", "qas": asked}, {"context": "B", "qas": asked[:1]}],
    }
    bad = {"title": "U", "paragraphs": [{"context": "C"}, 3]}
    (tmp_path / "a.json").write_text(json.dumps({"version": "v2.0", "data": [good, bad, {"paragraphs": []}]}))
    layout = Layout(fields=("question", "context", "answers"))
    found = list(read_records(str(tmp_path / "a.json"), layout, accounts := []))
    fields = [one.fields for one in found if isinstance(one, Record)]
    assert fields[0] == {"title": "T", "context": "Ada.", **asked[0]} and fields[2]["context"] == "B"
    assert [isinstance(one, Rejected) for one in found] == [False] * 3 + [True] * 2 + [False]
    (account,) = accounts
    assert len({one.where for one in found}) == len(found) == account.read == 6
    assert (account.records, account.quarantined) == (4, 2)


@pytest.fixture(scope="module")
def reader() -> Reader:
    found = Reader.open(made.trunk_folder("text", "bert"))
    found.length = 24
    return found


def test_every_token_of_a_context_is_in_a_window_and_the_answer_where_it_stands(reader):
    context = " ".join(f"{word} of {number}" for number, word in enumerate(["Oslo", "Riga", "Quito"] * 6))
    place = context.index("Riga of 13")
    samples = windowed(reader, ["Where?"] * 2, [context] * 2, [[{"text": "Riga of 13", "start": place}], []])
    assert samples.many[0] == samples.many[1] > 3
    first, last = samples.offsets[0][0, 0], samples.offsets[samples.many[0] - 1][-1, 1]
    assert (first, last) == (0, len(context)) and max(map(len, samples.rows.ids)) <= 24
    ends = [(o[0, 0], o[-1, 1]) for o in samples.offsets[: samples.many[0]]]
    assert all(after[0] <= before[1] for before, after in itertools.pairwise(ends))
    seen = 0
    for row, (begin, end) in enumerate(samples.rows.targets):
        offsets, shift = samples.offsets[row], samples.inside[row]
        assert len(samples.rows.ids[row]) == len(samples.rows.types[row]) == shift + len(offsets) + 1
        if end:
            assert context[offsets[begin - shift][0] : offsets[end - shift][1]].strip() == "Riga of 13"
            seen += 1
    assert seen >= 1 and not any(samples.rows.targets[samples.many[0]])
    draws = [samples.drawn(Draw(np.array([0]), np.array([e]), 0)) for e in range(200)]
    shares = np.mean([bool(one.targets[0, 1]) for one in draws])
    assert 0.5 < shares < 0.8


def test_the_best_span_is_that_of_a_search_over_all(reader):
    torch.manual_seed(0)
    starts, ends = torch.randn(6, 50), torch.randn(6, 50)
    first, last = torch.tensor([4, 4, 10, 7, 48, 5]), torch.tensor([50, 20, 11, 47, 50, 5])
    margins, begins, stops = best_spans(starts, ends, first, last)
    for row in range(6):
        spans = [
            (float(starts[row, i] + ends[row, j]), i, j)
            for i in range(first[row], last[row])
            for j in range(i, min(int(last[row]), i + ANSWER))
        ]
        if not spans:
            assert margins[row] == -torch.inf
            continue
        best, begin, end = max(spans)
        assert (int(begins[row]), int(stops[row])) == (begin, end)
        assert float(margins[row]) == pytest.approx(best - float(starts[row, 0] + ends[row, 0]), abs=1e-5)
