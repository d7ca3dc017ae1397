import pytest

from components.lib.core.errors import ConfigError, ConfigErrors, TrunklineError
from components.lib.core.settings import from_dict
from components.preflight import settings
from components.preflight.plan import resolve
from components.pretraining.config import Config as Pretraining

VALUES = {
    "a": {"b": 1, "c": {"d": 2, "e": [1, 2]}},
    "tasks": [{"name": "topics", "x": {"y": 1}}, {"name": "spans", "x": {"y": 2}}],
    "words": ["one", "two"],
}


@pytest.mark.parametrize(
    ("overrides", "path", "expected"),
    [
        ({}, "a.b", 1),
        ({"a": {"b": 3}}, "a", {"b": 3, "c": {"d": 2, "e": [1, 2]}}),
        ({"a": {"c": {"d": 3}}}, "a.c", {"d": 3, "e": [1, 2]}),
        ({"a.c": {"d": 3}}, "a.c", {"d": 3}),
        ({"a.c.d": 3}, "a.c", {"d": 3, "e": [1, 2]}),
        ({"a.c.f.g": 3}, "a.c.f", {"g": 3}),
        ({"n.m": 3}, "n", {"m": 3}),
        ({"a": {"c.d": 3}}, "a.c", {"d": 3, "e": [1, 2]}),
        ({"a.b": None}, "a.b", None),
        ({"a.c.e": [3]}, "a.c.e", [3]),
        ({"a.b": 3, "a": {"b": 4}}, "a.b", 3),  # the longer key, whatever the order
        ({"a": {"b": 4}, "a.b": 3}, "a.b", 3),
        ({"a.c.d": 3, "a.c": {"e": []}}, "a.c", {"d": 3, "e": []}),
        ({"words": ["three"]}, "words", ["three"]),
        ({"words": []}, "words", []),
        ({"tasks": []}, "tasks", []),
        ({"tasks": ["spans"]}, "tasks", VALUES["tasks"][1:]),
        ({"tasks": [{"name": "new"}]}, "tasks", [{"name": "new"}]),
        ({"tasks.topics.x.y": 5}, "tasks", [{"name": "topics", "x": {"y": 5}}, VALUES["tasks"][1]]),
        (
            {"tasks": {"spans": {"x": {"z": 6}}}},
            "tasks",
            [VALUES["tasks"][0], {"name": "spans", "x": {"y": 2, "z": 6}}],
        ),
    ],
)
def test_merge(overrides, path, expected):
    before = str(VALUES)
    merged = settings.merge(VALUES, overrides)
    for key in path.split("."):
        merged = merged[key]
    assert merged == expected
    assert str(VALUES) == before, "a preset is not changed"


@pytest.mark.parametrize(
    ("overrides", "where", "words"),
    [
        ({"a.b.c": 1}, "a.b", "plain value"),
        ({"tasks.topicz.x": 1}, "tasks", "did you mean 'topics'"),
        ({"tasks": ["spanz"]}, "tasks", "did you mean 'spans'"),
        ({"tasks": {"none": {}}}, "tasks", "known: topics, spans"),
    ],
)
def test_override_that_leads_nowhere(overrides, where, words):
    with pytest.raises(ConfigError) as caught:
        settings.merge(VALUES, overrides)
    assert caught.value.where.startswith(where) and words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("-2E+4", -2e4),
        ("1.5e3", 1500.0),
        ("1", 1),
        ("1.0", 1.0),
        ("x", "x"),
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
        ("", None),
        ("null", None),
        ("true", True),
        ("1e", "1e"),
        ("2e5x", "2e5x"),
    ],
)
def test_yaml_as_people_mean_it(text, value):
    parsed = settings.parse(text, "here")
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "'a' stands twice"),
        ("a: [1", "preset.yaml:"),
        ("a: b: c", "preset.yaml:1"),
        ("!!python/object:os.system {}", "YAML"),
    ],
)
def test_text_that_is_no_preset(text, words, tmp_path, monkeypatch):
    (tmp_path / "preset.yaml").write_text(text)
    monkeypatch.setenv("TRUNKLINE_PRESETS", str(tmp_path))
    with pytest.raises(TrunklineError) as caught:
        settings.load("preset")
    assert caught.value.exit_code == 78 and words in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"- a\n", b"text"])
def test_file_that_is_no_preset(data, tmp_path, monkeypatch):
    (tmp_path / "preset.yaml").write_bytes(data)
    monkeypatch.setenv("TRUNKLINE_PRESETS", str(tmp_path))
    with pytest.raises(TrunklineError) as caught:
        settings.load("preset")
    assert caught.value.family in ("user", "data")


def test_presets_of_a_cluster_come_before_those_of_the_image(tmp_path, monkeypatch):
    """A ConfigMap that is not there is an empty folder."""
    for name, text in (("a/own", "x: 1"), ("a/smoke", "x: 2"), ("b/smoke", "x: 3"), ("b/other", "x: 4")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.setenv("TRUNKLINE_PRESETS", f"{tmp_path}/none:{tmp_path}/a:{tmp_path}/b")
    assert list(settings.presets()) == ["other", "own", "smoke"]
    assert settings.load("smoke") == {"x": 2} and settings.load("other") == {"x": 4}


def test_unknown_preset_lists_what_exists():
    with pytest.raises(ConfigError) as caught:
        settings.load("quikstart")
    assert "did you mean 'quickstart'" in caught.value.fix and "smoke" in caught.value.fix


@pytest.mark.parametrize("preset", settings.presets())
def test_every_preset_is_complete(preset):
    plan = resolve(preset, {})
    assert set(plan.stages) == set(settings.STAGE_SECTIONS)
    assert from_dict(Pretraining, plan.stages["pretraining"]).steps > 0
    first = settings.presets()[preset].read_text().splitlines()[0]
    assert first.startswith("# "), "a preset says first what it does"


def test_defaults_and_derived_values_reach_the_tasks():
    plan = resolve(
        "smoke", {"finetuning.steps": 7, "tasks.topics.finetuning.batch": 9, "registration.name": "mine"}
    )
    (task,) = plan.tasks
    assert task["name"] == task["finetuning"]["task"] == "topics"
    assert (task["finetuning"]["steps"], task["finetuning"]["batch"]) == (7, 9)
    assert task["evaluation"]["model"] == "mine-topics"
    kept_out = [entry["source"] for entry in plan.stages["ingestion"]["decontaminate"]]
    assert kept_out == ["sample:topics/test"]


def test_no_tasks_is_a_valid_list():
    assert resolve("smoke", {"tasks": []}).tasks == []
    assert resolve("bert-base-8gpu", {}).tasks == []


def test_kfp_floats_make_no_difference():
    given = {
        "pretraining.steps": 20.0,
        "finetuning": {"seeds": [0.0, 1.0]},
        "pretraining.trunk.sequence_length": 32.0,
    }
    assert resolve("smoke", given).stages["pretraining"]["steps"] == 20


def test_an_override_of_another_type_is_refused():
    with pytest.raises(ConfigError, match="a mapping"):
        resolve("smoke", [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("architecture", "cut", "told"),
    [("cnn", 16, 1), ("resnet", 16, 1), ("vit", 16, 0), ("cnn", 0, 0), ("cnn", 128, 0)],
)
def test_batch_norms_that_see_a_part_of_the_batch_are_told(architecture, cut, told):
    changes = {
        "pretraining.trunk": {"architecture": architecture, "size": "nano"},
        "pretraining.micro_batch": cut,
        "pretraining.objective": {"rotation": {}},
        "pretraining.global_batch": 128,
    }
    found = resolve("image-simclr", changes).warnings
    assert [warning.where for warning in found] == ["pretraining.micro_batch"] * told
    assert all("micro-batch" in str(warning) and "fix: " in str(warning) for warning in found)
    assert resolve("text-mlm", {"pretraining.micro_batch": 8}).warnings == ()


@pytest.mark.parametrize("mode", [{"mode": "lora"}, {"mode": "partial", "layers": 1}])
def test_what_has_no_layer_is_not_adapted_by_layers(mode):
    trunk = {"architecture": "static", "size": "nano"}
    assert resolve("smoke", {"pretraining.trunk": trunk, "finetuning": mode}).tasks
    with pytest.raises(ConfigErrors, match="no layer that could learn"):
        resolve("smoke", {"pretraining.trunk": {**trunk, "depth": 0}, "finetuning": mode})


def test_a_spectral_start_takes_a_step():
    given = {"pretraining.trunk": {"architecture": "static", "size": "nano"}, "pretraining.start": "spectral"}
    assert resolve("smoke", {**given, "pretraining.learning_rate": 0}).start == "spectral"
    with pytest.raises(ConfigErrors, match="training makes this start"):
        resolve("smoke", {**given, "pretraining.steps": 0})


@pytest.mark.parametrize(
    ("changes", "lacks", "able"),
    [
        ({"pretraining.objective": {"masked_lm": {}}}, "tokens and bidirectional", "bert or modernbert"),
        ({"pretraining.objective": {"causal_lm": {}}}, "tokens and causal", "gpt2 or llama"),
        ({"tasks.topics.kind": "token_classification"}, "tokens", "bert"),
        ({"pretraining.trunk.architecture": "bert", "pretraining.start": "spectral"}, "spectral", "static"),
    ],
)
def test_what_static_embeddings_cannot_do_is_refused_by_name(changes, lacks, able):
    given = {"pretraining.trunk": {"architecture": "static", "size": "nano"}, **changes}
    with pytest.raises(ConfigErrors) as caught:
        resolve("smoke", given)
    told = str(caught.value)
    assert f"the trunk does not offer {lacks}" in told and f"architecture {able}" in told
