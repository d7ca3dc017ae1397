"""Made-up data of every modality, small enough for a test, taken through the real stages.

`tests/made/x.py` belongs to the modality x; a package of somebody else brings its own by an entry point of
the group `trunkline.made`. It declares

    INGESTION, TOKENIZATION     settings that make the stages quick
    TRUNK                       settings `pretraining.trunk` of a tiny trunk, without an architecture
    LABELLED                    task -> role -> field of its records, where that is not the role's default
    EXAMPLE                     an input of a model that is served, if the modality declares none
    record(draw) -> dict        one record, with every field that ingestion or a task reads
    longer(record) -> dict      the same with far more in it than a model reads
    sent(value) -> value        an input as a client sends it; BROKEN: inputs that are refused then

The contract suites try on it every objective, task, mode and start whose NEEDS the modality OFFERS.
"""

import atexit
import json
import random
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from components.ingestion import config as ingestion_config
from components.ingestion import run as ingestion
from components.lib import modalities, tasks
from components.lib.core import plugins
from components.lib.core.settings import from_dict
from components.lib.data.formats import Record
from components.lib.models import loading
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.tokenization import config as tokenization_config
from components.tokenization import run as tokenization

OBJECTIVES, TASKS = "components.lib.objectives", "components.lib.tasks"
HEADS = "components.lib.models.heads"
COUNT, EXAMPLES = 60, 24  # records of a corpus, and labelled ones


@cache
def folder() -> Path:
    """Scratch of this process."""
    made = Path(tempfile.mkdtemp(prefix="trunkline-made-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def of(modality: str) -> Any:
    """The module that makes up data of a modality."""
    return plugins.load(__name__, modality)


def example(modality: str) -> Any:
    """An input of a model that is served."""
    declared = modalities.load(modality).EXAMPLE
    return of(modality).EXAMPLE if declared is None else declared


def records(modality: str, count: int = COUNT, seed: int = 0) -> list[dict[str, Any]]:
    """The same for the same seed."""
    draw = random.Random(seed)
    return [of(modality).record(draw) for _ in range(count)]


def source(modality: str, count: int = COUNT, seed: int = 0) -> str:
    """A file of records, as ingestion and tasks name it."""
    path = folder() / f"{modality}-{count}-{seed}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records(modality, count, seed)))
    return str(path)


@cache
def tokens(modality: str) -> tuple[Store, Manifest]:
    """What tokenization hands over, in a store of its own."""
    there, corpus = folder() / modality, folder() / modality / "corpus.json"
    there.mkdir()
    context = Context(Store(str(there / "store")), stage="test")
    config = ingestion_config.configured(ingestion_settings(modality, source(modality)))
    ingestion.run(config, context, corpus=corpus, card=there / "card.html")
    config = tokenization_config.configured(tokenization_settings(modality))
    return context.store, tokenization.run(config, context, corpus=corpus, tokens=there / "tokens.json")


def ingestion_settings(modality: str, source: str) -> dict[str, Any]:
    """Of records in a file."""
    own = of(modality).INGESTION
    return {"modality": modality, "workers": 1, "sources": [source], "validation": 0.25, **own}


def tokenization_settings(modality: str) -> dict[str, Any]:
    """Of a small corpus."""
    return {"modality": modality, "workers": 1, **of(modality).TOKENIZATION}


def preset(modality: str, architecture: str = "") -> dict[str, Any]:
    """A whole run of two steps, with every task that the trunk can have."""
    declared = {name: plugins.declared(OBJECTIVES, name).constants for name in plugins.names(OBJECTIVES)}
    fitting = [
        (says.get("WHOLE_BATCH", False), name)
        for name, says in declared.items()
        if (modality, architecture) in offering(says["NEEDS"]) and not says.get("TEACHER")
    ]
    _, objective = min(fitting)
    trained = {"objective": {objective: {}}, "steps": 2, "global_batch": 16, "threads": 1}
    asked = [task for task, *pair in branches() if tuple(pair) == (modality, architecture)]
    return {
        "modality": modality,
        "ingestion": ingestion_settings(modality, source(modality)),
        "tokenization": tokenization_settings(modality),
        "pretraining": {"trunk": trunk_settings(modality, architecture), **trained},
        "registration": {"name": f"made-{modality}"},
        "finetuning": {"label_counts": [16], "seeds": [0], "steps": 2},
        "evaluation": {"replicates": 100},
        "tasks": [
            {
                "name": task.replace("_", "-"),
                "kind": task,
                "train": {"source": source(modality), **fields(task, modality)},
                "test": {"source": source(modality, EXAMPLES, seed=1), **fields(task, modality)},
            }
            for task in asked
        ],
    }


def architectures(modality: str) -> list[str]:
    """Those that a trunk of the modality may have; one without a name where there is no choice."""
    return list(modalities.load(modality).ARCHITECTURES) or [""]


def fields(task: str, modality: str) -> dict[str, str]:
    """Role -> field of the made-up records."""
    return {**tasks.load(task).ROLES, **of(modality).LABELLED.get(task, {})}


def offering(needs: tuple[str, ...]) -> list[tuple[str, str]]:
    """Every modality and architecture that offers what is needed."""
    return [
        (modality, architecture)
        for modality in modalities.names()
        for architecture in architectures(modality)
        if set(needs) <= modalities.offers(modality, trunk_settings(modality, architecture))
    ]


def usual(needs: tuple[str, ...]) -> list[tuple[str, str]]:
    """Of each modality one pair: its default architecture, or the first that offers what is needed."""
    found: dict[str, str] = {}
    for modality, architecture in offering(needs):
        if architecture == modalities.dials(modality, {}).get("architecture", ""):
            found[modality] = architecture
        found.setdefault(modality, architecture)
    return list(found.items())


def trunk_settings(modality: str, architecture: str = "") -> dict[str, Any]:
    """`pretraining.trunk` of a tiny trunk."""
    return {**of(modality).TRUNK, **({"architecture": architecture} if architecture else {})}


def open_samples(modality: str, architecture: str = "", split: str = "train", **dials: Any) -> Any:
    """Samples of pre-training."""
    store, manifest = tokens(modality)
    return open_split(modality, architecture, store, manifest, split=split, **dials)


def open_split(
    modality: str, architecture: str, store: Store, *manifests: Any, split: str = "train", **dials: Any
) -> Any:
    """Samples of tokens, those of older ones last."""
    values = {**trunk_settings(modality, architecture), **dials}
    options = from_dict(modalities.load(modality, "settings").Pretraining, values, "pretraining.trunk")
    newest, *older = manifests
    return modalities.load(modality, "samples").open_split(options, store, newest, split, *older)


@cache
def trunk_folder(modality: str, architecture: str = "") -> Path:
    """A trunk with random weights and the files of its reader, as pretraining commits them."""
    import torch

    torch.manual_seed(0)
    store, manifest = tokens(modality)
    there = folder() / f"{modality}-{architecture}"
    open_samples(modality, architecture).trunk().save(there)
    shutil.copytree(store.open_folder(manifest, "tokenizer/"), there, dirs_exist_ok=True)
    return there


@cache
def as_published(modality: str, architecture: str = "") -> Manifest:
    """The same weights in the store as preflight keeps published ones: without the files of a reader."""
    store, _ = tokens(modality)
    with store.draft(Key("public", 1, {"architecture": architecture})) as draft:
        folder = trunk_folder(modality, architecture)
        for path in folder.rglob("*"):
            if path.name == "config.json" or path.suffix == ".safetensors":
                draft.write(f"model/{path.relative_to(folder)}", path.read_bytes())
        return draft.commit()


@dataclass
class Branch:
    """A task on a trunk with random weights, before anything is learnt.

    Attributes:
        plugin: the task.
        trunk: of the modality's module `trunk`.
        names: the classes.
        samples: the examples, as the task encodes them.
        model: on the CPU.
    """

    plugin: Any
    trunk: Any
    reader: Any
    inputs: dict[str, list[Any]]
    labels: list[Any]
    names: list[str]
    samples: Any
    model: Any

    def save(self, model: Any, folder: Path) -> Path:
        """The folder of a branch, as finetuning commits it."""
        loading.save(model, folder)
        self.reader.save(folder)
        return folder


def branches() -> list[tuple[str, str, str]]:
    """Every task with every modality and architecture that offers what it needs.

    One whose network is that of another task, or a head on pooled states, with the usual architecture alone:
    the network is tried with the others elsewhere.
    """
    found = []
    for name in plugins.names(TASKS):
        plugin = tasks.load(name)
        own = plugin.model.__module__ == plugin.__name__
        pooled = any(getattr(value, "__module__", "") == HEADS for value in vars(plugin).values())
        found += [(name, *pair) for pair in (offering if own and not pooled else usual)(plugin.NEEDS)]
    return found


def branch(task: str, modality: str, architecture: str) -> Branch:
    """The same weights and examples each time."""
    import torch

    folder, plugin = trunk_folder(modality, architecture), tasks.load(task)
    options = modalities.load(modality, "settings").Finetuning()
    reader = modalities.load(modality, "labelled").Reader.open(folder, options)
    trunk = modalities.load(modality, "trunk").load(folder)
    inputs, labels = labelled(task, modality, reader)
    names = list(plugin.classes(labels))
    samples = plugin.encode(reader, inputs, labels, names)
    torch.manual_seed(1)
    model = plugin.model(trunk.model.config, names)
    return Branch(plugin, trunk, reader, inputs, labels, names, samples, model)


def labelled(
    task: str, modality: str, reader: Any, given: list[dict[str, Any]] | None = None
) -> tuple[dict[str, list[Any]], list[Any]]:
    """Inputs by role and labels of records, or of made-up ones, as finetuning reads them."""
    plugin, asked = tasks.load(task), fields(task, modality)
    roles = tasks.inputs_of(plugin.ROLES)
    inputs: dict[str, list[Any]] = {role: [] for role in roles}
    labels = []
    for record in given or records(modality, EXAMPLES, seed=1):
        values = {role: record[field] for role, field in asked.items() if role not in roles}
        values |= {role: reader.value(Record(record, "made"), asked[role], print, role) for role in roles}
        found, label = plugin.parse(values, tasks.Reading())
        for role in roles:
            inputs[role].append(found[role])
        labels.append(label)
    return inputs, labels
