"""A model that is retrained as its folder of texts grows: whole runs in processes of their own."""

import json
from dataclasses import dataclass

import pytest

from components import STAGES
from components.lib.data.sources import find
from components.lib.data.sources.sample import fetch
from components.lib.registry.registered_models import Registered, Registry
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store
from tests.pipelines.test_local_run import Place, Run

pytestmark = pytest.mark.long

EARLY = {"preflight", "ingestion", "closing"}
SMALL = (
    "promotion.rules={noninferiority: {margin: 1.0}}",
    *"pretraining.start=champion pretraining.replay=0.25 pretraining.steps=6 finetuning.seeds=[0]".split(),
    *"tokenization.vocabulary_size=600 finetuning.steps=3 finetuning.test_examples=40".split(),
    "evaluation.replicates=100",
)


@dataclass
class Turn:
    """One run and what was registered after it."""

    run: Run
    trunk: Registered
    branch: Registered

    def output(self, store: Store, stage: str) -> Manifest:
        record = self.run.json(f"{stage}.json")
        return store.resolve(record["outputs"][0]["reference"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("continual"))


@pytest.fixture(scope="module")
def store(place):
    return Store(str(place.folder / "store"))


@pytest.fixture(scope="module")
def turns(place):
    """A folder with one file of texts; then with a second one; then unchanged; then a plain retraining."""
    texts = place.folder / "texts"
    texts.mkdir()
    lines = fetch(find("sample:topics/train")[0], place.folder).read_text().splitlines(keepends=True)
    words = [word for setting in (f"ingestion.sources=[{texts}]", *SMALL) for word in ("--set", setting)]

    def turn(*more: str) -> Turn:
        run = place.run(*words, *more)
        assert run.code == 0, run.output
        registry = Registry(f"sqlite:///{place.folder / 'mlflow.db'}")
        names = "trunkline-smoke", "trunkline-smoke-topics"
        return Turn(run, *(registry.require(name, "champion") for name in names))

    (texts / "a.jsonl").write_text("".join(lines[:500]))
    first = turn()
    (texts / "b.jsonl").write_text("".join(lines[450:700]))  # 50 of these are known
    return first, turn(), turn(), turn("--skip-unchanged", "--set", "pretraining.start=''")


def test_the_first_run_has_nothing_to_continue(turns, store):
    trunk = store.resolve(turns[0].trunk.reference)
    assert "no champion yet" in turns[0].run.output and set(trunk.key.inputs) == {"tokens"}


def test_only_the_new_file_is_read(turns, store):
    first, second = (turn.output(store, "ingestion") for turn in turns[:2])
    assert second.key.inputs["since"] == first.reference
    told = [json.loads(store.open(one, "statistics.json").read_text()) for one in (first, second)]
    names = [[source["name"].rpartition("/")[2] for source in one["sources"]] for one in told]
    assert names == [["a.jsonl"], ["b.jsonl"]]
    packs = [key for key in store.objects.keys("extraction-") if key.endswith("/manifest.json")]
    assert len(packs) == 2  # one a file: the old one was not read again
    assert second.facts["dropped"]["exact_duplicate"] >= 50
    assert sum(second.facts["documents"].values()) <= 200


def test_the_tokenizer_is_the_champions(turns, store):
    first, second = (turn.output(store, "tokenization") for turn in turns[:2])
    assert second.facts["kind"] == "given" and first.facts["kind"] != "given"
    for name in ("probes", "special", "vocab_size"):
        assert first.facts[name] == second.facts[name]


def test_the_trunk_starts_from_the_champion_and_replays(turns, store):
    before, trunk = (store.resolve(turn.trunk.reference) for turn in turns[:2])
    assert trunk.key.inputs["start"] == trunk.key.config["start"] == before.reference
    assert turns[1].trunk.tags["trunkline.pretraining"] == before.reference
    tokens = [turn.output(store, "tokenization").facts["documents"]["train"] for turn in turns[:2]]
    assert trunk.facts["corpus_samples"] == sum(tokens)


def test_it_is_promoted_by_noninferiority(turns):
    assert (
        [turn.trunk.version for turn in turns[:2]]
        == [turn.branch.version for turn in turns[:2]]
        == ["1", "2"]
    )
    (result,) = turns[1].run.json("exit.json")["results"]
    assert result["verdict"] == "promoted"


@pytest.mark.parametrize("number", [2, 3])
def test_nothing_new_is_passed_on(turns, number):
    """Whether the run would have started from the champion, or skips what the champion knows."""
    turn = turns[number]
    states = turn.run.states()
    assert {stage for stage in states if states[stage] == "passed"} == set(STAGES) - EARLY
    assert "the data is unchanged" in turn.run.output
    assert turn.run.json("exit.json")["status"] == turn.run.told_running() == "succeeded"
    assert turn.trunk.version == "2"
    index = (turn.run.folder.parent / "index.html").read_text()
    assert index.count("the data is unchanged") == 2
