import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.lib.core.errors import ConfigError, ConfigErrors
from components.lib.core.settings import did_you_mean, from_dict, setting, to_dict


@dataclass(frozen=True)
class Source:
    uri: str = setting(help="where it is")
    weight: float = setting(1.0, minimum=0.0)


@dataclass(frozen=True)
class Config:
    steps: int = setting(10, "optimizer steps", minimum=1, maximum=1000)
    rate: float = setting(1e-3, minimum=0.0)
    kind: str = setting("a", choices=("a", "b"))
    fast: bool = False
    sources: tuple[Source, ...] = ()
    counts: tuple[int, ...] = setting((1, 2), minimum=1)
    options: dict[str, Any] = setting({})
    limit: int | None = None

    def check(self) -> Iterator[ConfigError]:
        if self.fast and self.steps > 100:
            yield ConfigError("fast runs are short", where="steps")


@pytest.mark.parametrize(
    ("values", "attribute", "expected"),
    [
        ({}, "steps", 10),
        ({"steps": 20.0}, "steps", 20),
        ({"rate": 1}, "rate", 1.0),
        ({"counts": [3.0, 4]}, "counts", (3, 4)),
        ({"sources": [{"uri": "x"}]}, "sources", (Source("x"),)),
        ({"limit": None}, "limit", None),
        ({"limit": 3.0}, "limit", 3),
        ({"options": {"a": 1.0}}, "options", {"a": 1.0}),
        ({"fast": True}, "fast", True),
    ],
)
def test_values_become_fields(values, attribute, expected):
    built = getattr(from_dict(Config, values), attribute)
    assert built == expected and type(built) is type(expected)


@pytest.mark.parametrize(
    ("values", "where", "words"),
    [
        ({"stepz": 1}, "c.stepz", "did you mean 'steps'"),
        ({"steps": 1.5}, "c.steps", "wrong type"),
        ({"steps": "10"}, "c.steps", "int"),
        ({"steps": True}, "c.steps", "wrong type"),
        ({"steps": 0}, "c.steps", ">= 1"),
        ({"steps": 2000}, "c.steps", "<= 1000"),
        ({"steps": None}, "c.steps", "wrong type"),
        ({"rate": float("nan")}, "c.rate", "out of range"),
        ({"rate": float("inf")}, "c.rate", "out of range"),
        ({"kind": "c"}, "c.kind", "a, b"),
        ({"fast": "yes"}, "c.fast", "bool"),
        ({"fast": 1}, "c.fast", "wrong type"),
        ({"counts": 3}, "c.counts", "a list"),
        ({"counts": [1, 0]}, "c.counts", ">= 1"),
        ({"counts": [1, "x"]}, "c.counts[1]", "wrong type"),
        ({"options": []}, "c.options", "a mapping"),
        ({"sources": [{}]}, "c.sources[0].uri", "where it is"),
        ({"sources": [{"uri": "x", "wait": 1}]}, "c.sources[0].wait", "did you mean 'weight'"),
        ({"sources": ["x"]}, "c.sources[0]", "section"),
        ({"sources": [{"uri": "x", "weight": -1}]}, "c.sources[0].weight", ">= 0"),
        ({"fast": True, "steps": 500}, "steps", "fast runs are short"),
    ],
)
def test_wrong_value_is_named(values, where, words):
    with pytest.raises(ConfigErrors) as caught:
        from_dict(Config, values, "c")
    assert [error.where for error in caught.value.errors] == [where]
    assert words in str(caught.value)


def test_all_errors_come_at_once():
    with pytest.raises(ConfigErrors) as caught:
        from_dict(Config, {"a": 1, "steps": "x", "kind": "z", "sources": [{}]}, "c")
    assert {error.where for error in caught.value.errors} == {"c.a", "c.steps", "c.kind", "c.sources[0].uri"}
    assert caught.value.exit_code == 78


def test_not_a_mapping():
    with pytest.raises(ConfigErrors, match="1 setting is wrong"):
        from_dict(Config, [], "c")


configs = st.builds(
    Config,
    steps=st.integers(1, 100),
    rate=st.floats(0, 1e6),
    kind=st.sampled_from("ab"),
    fast=st.booleans(),
    sources=st.lists(st.builds(Source, uri=st.text(), weight=st.floats(0, 10))).map(tuple),
    counts=st.lists(st.integers(1, 10**6)).map(tuple),
    limit=st.none() | st.integers(-5, 5),
)


@given(configs)
def test_a_round_trip_through_json_and_floats_changes_nothing(config):
    """KFP turns the ints of a dict into floats on the way to a stage."""
    floats = json.loads(json.dumps(to_dict(config)), parse_int=float)
    assert from_dict(Config, floats) == config


@given(
    st.dictionaries(
        st.sampled_from(["steps", "rate", "kind", "fast", "counts", "x"]), st.none() | st.integers()
    )
)
def test_any_mapping_gives_a_config_or_typed_errors(values):
    try:
        assert isinstance(from_dict(Config, values), Config)
    except ConfigErrors as error:
        assert all(found.what and found.where for found in error.errors)


@pytest.mark.parametrize("options", [{"b": 1, "a": 2}, {"a": 2, "b": 1}])
def test_a_mapping_has_one_order(options):
    """KFP carries mappings as protobuf's, which have none."""
    assert list(from_dict(Config, {"options": options}).options) == ["a", "b"]


def test_did_you_mean():
    assert did_you_mean("stps", ["rate", "steps"]) == "did you mean 'steps'? known: rate, steps"
    assert did_you_mean("xyz", ["rate", "steps"]) == "known: rate, steps"
    assert did_you_mean("x", []) == "there are none"
