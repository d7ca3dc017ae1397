"""Small made-up data, for tests and the smoke presets: offline, the same every time.

sample:topics/train    1,200 documents, field `label` names one of six topics
sample:topics/test       300 documents
sample:entities/train    600 sentences as `tokens` and IOB2 `labels`
sample:entities/test     150 sentences
sample:shapes/train    1,200 pictures as `image`, with `label`, `mask` and `objects`
sample:shapes/test       300 pictures
sample:questions/train 3,000 passages as `context`, with `question` and `answers` as SQuAD has them
sample:questions/test    500 passages
sample:sounds/train      600 clips as `audio`, with `label`, `text` and `speaker`
sample:sounds/test       200 clips
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from components.lib.core.errors import MissingError
from components.lib.core.settings import did_you_mean
from components.lib.data import questions, shapes, tones
from components.lib.data.listing import Object

VERSION = 1  # part of the identity: raise it when the data change
SIZES = {
    "topics/train": 1200,
    "topics/test": 300,
    "entities/train": 600,
    "entities/test": 150,
    "shapes/train": 1200,
    "shapes/test": 300,
    "questions/train": 3000,
    "questions/test": 500,
    "sounds/train": 600,
    "sounds/test": 200,
}
TOPICS = {
    "astronomy": "orbit planet comet telescope galaxy star lunar eclipse asteroid nebula satellite gravity "
    "crater solar meteor rocket probe spectrum observatory constellation dust launch",
    "cooking": "garlic simmer oven pastry butter sauce onion roast pepper flour whisk broth bake lemon "
    "recipe skillet dough basil spice grill kitchen vanilla",
    "gardening": "soil seedling prune compost tulip hedge lawn mulch trowel greenhouse bulb weed rose bloom "
    "pollen root orchard fertile shrub water harvest sprout",
    "music": "melody chord violin rhythm concert tempo piano choir drum harmony opera lyric orchestra verse "
    "cello flute encore tuning bass album stage composer",
    "sailing": "harbour mast anchor tide rudder wind deck hull regatta keel buoy sail rope compass gale dock "
    "crew cabin voyage island lighthouse current",
    "medicine": "patient dose nurse fever vaccine surgery clinic symptom therapy pulse infection tablet "
    "doctor ward bandage allergy diagnosis recovery heart lung remedy scan",
}
COMMON = (
    "the a an of to in and for with on at from by about this that these some many few most every each other "
    "was is are were has had will can may must often never always soon later again still before after while "
    "people time day year place thing way part group number small large old new good long early late first "
    "last found made took gave saw kept asked said thought wanted needed began turned helped moved worked"
)
PEOPLE = "Amara Bruno Chen Dalia Emeka Freya Goran Hana Idris Jonas Keiko Leila Mateo Nadia Omar Priya"
FAMILIES = "Adeyemi Berg Costa Dubois Eriksen Fischer Garcia Haddad Ivanov Jensen Kato Lopez"
PLACES = "Lisbon Nairobi Oslo Quito Riga Seoul Tunis Utrecht Valencia Warsaw Yerevan Zagreb"
FIRMS = "Northwind Bluepeak Silverline Oakfield Brightwater Ironbridge Redstone Clearview"
TEMPLATES = (
    "P works for O in L .",
    "Yesterday P travelled from L to L .",
    "O opened an office in L last year .",
    "P , who founded O , lives near L .",
    "The meeting between P and P was held in L .",
    "Nobody at O had heard of the plan .",
    "It rained for three days in L .",
    "P bought shares of O .",
)


def find(uri: str) -> list[Object]:
    """One object; its ending lets the format be found."""
    name = uri.removeprefix("sample:")
    if name not in SIZES:
        raise MissingError("there is no such sample", where=uri, fix=did_you_mean(name, sorted(SIZES)))
    return [Object(f"sample:{name}.jsonl", f"{name}@{VERSION}", -1, uri)]


def fetch(entry: Object, folder: Path) -> Path:
    """Writes the sample as JSON Lines."""
    return head(entry, folder, None)


def head(entry: Object, folder: Path, count: int | None) -> Path:
    """Writes so many records of it."""
    target = folder / "sample.jsonl"
    with target.open("w", encoding="utf-8") as file:
        for record in islice(_records(entry.uri.removeprefix("sample:")), count):
            file.write(json.dumps(record) + "\n")
    return target


def _records(name: str) -> Iterator[dict[str, Any]]:
    draw = random.Random(f"{VERSION} {name}")
    make = MAKERS[name.partition("/")[0]]
    return (make(draw) for _ in range(SIZES[name]))


def _document(draw: random.Random) -> dict[str, Any]:
    """Three to six sentences; two words in five belong to the topic."""
    topic = draw.choice(sorted(TOPICS))
    own, common = TOPICS[topic].split(), COMMON.split()
    sentences = []
    for _ in range(draw.randint(3, 6)):
        words = [draw.choice(own if draw.random() < 0.4 else common) for _ in range(draw.randint(6, 12))]
        sentences.append(" ".join(words).capitalize() + ".")
    return {"text": " ".join(sentences), "label": topic}


def _sentence(draw: random.Random) -> dict[str, Any]:
    """A template with names of persons, organisations and places put in."""
    tokens: list[str] = []
    labels: list[str] = []
    for word in draw.choice(TEMPLATES).split():
        kind = {"P": "person", "O": "organisation", "L": "place"}.get(word, "")
        name = [word]
        if kind == "person":
            name = [draw.choice(PEOPLE.split()), draw.choice(FAMILIES.split())][: draw.randint(1, 2)]
        elif kind:
            name = [draw.choice((FIRMS if kind == "organisation" else PLACES).split())]
        tokens += name
        labels += [f"{'I' if i else 'B'}-{kind}" if kind else "O" for i in range(len(name))]
    return {"tokens": tokens, "labels": labels}


MAKERS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "topics": _document,
    "entities": _sentence,
    "shapes": shapes.record,
    "questions": questions.record,
    "sounds": tones.record,
}
