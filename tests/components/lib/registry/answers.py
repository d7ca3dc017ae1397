"""Answers of served branches as columns of the outcomes that evaluation has of them."""

import base64
import json

import numpy as np

from components.lib.data import images
from components.lib.tasks import token_classification
from components.lib.tasks.speech_recognition import COLUMNS, SPACE, errors


def classified(answers, samples, case, names):
    return {
        "label": [names.index(label) for label in case.labels],
        "prediction": [names.index(answer["label"]) for answer in answers],
        "confidence": [answer["score"] for answer in answers],
    }


def tagged(answers, samples, case, names):
    """Spans of all words: what was cut off answers nothing, and its spans are misses."""
    found = {"tp": [], "fp": [], "fn": []}
    for answer, labels in zip(answers, case.labels, strict=True):
        guessed = {(one["type"], one["first"], one["last"]) for one in json.loads(answer["entities"])}
        real = token_classification.spans(labels)
        found["tp"].append(len(guessed & real))
        found["fp"].append(len(guessed - real))
        found["fn"].append(len(real - guessed))
    return found


def answered(answers, samples, case, names):
    found = [(answer["start"], answer["end"]) for answer in answers]
    for (_, context), answer in zip(case.inputs, answers, strict=True):
        assert answer["answer"] == (context[answer["start"] : answer["end"]] if answer["start"] >= 0 else "")
    return dict(zip(("begin", "end"), zip(*found, strict=True), strict=True))


def numbered(answers, samples, case, names):
    return {"prediction": [next(iter(answer.values())) for answer in answers]}


def chances(answers, samples, case, names):
    found = [json.loads(answer["scores"]) for answer in answers]
    return {f"chance/{name}": [one[name] for one in found] for name in names}


def unscored(answers, samples, case, names):
    """What no column of the outcomes says: vectors, written texts."""
    assert all(json.loads(answer["vector"]) if "vector" in answer else answer["tokens"] for answer in answers)
    return {}


def captioned(answers, samples, case, names):
    """Written captions score as they did; those that are found in a gallery are of it."""
    captions = [answer["caption"] for answer in answers]
    if hasattr(samples, "judge"):
        return {"cider_d": samples.judge.scores(captions, samples.numbers.tolist())}
    assert {*captions} <= {*case.branch.model.captions()}
    return {}


def boxed(answers, samples, case, names):
    objects = [json.loads(answer["objects"]) for answer in answers]
    return {
        "found": [len(one) for one in objects],
        "class": [[names.index(found["label"]) for found in one] for one in objects],
        "score": [[found["score"] for found in one] for one in objects],
    }


def masked(answers, samples, case, names):
    masks = [images.decode(base64.b64decode(answer["mask"]))[:, :, 0] for answer in answers]
    index = {int(name): place for place, name in enumerate(names)}
    guesses = [np.vectorize(index.get)(mask) for mask in masks]
    return {
        f"{which}/{name}": [
            int(join(guess == place, truth == place).sum())
            for guess, truth in zip(guesses, samples.targets, strict=True)
        ]
        for place, name in enumerate(names)
        for which, join in (("both", np.logical_and), ("either", np.logical_or))
    }


def heard(answers, samples, case, names):
    said = [
        "".join(" " if names[kind] == SPACE else names[kind] for kind in each) for each in samples.targets
    ]
    table = [errors(*pair) for pair in zip(said, (answer["text"] for answer in answers), strict=True)]
    return dict(zip(COLUMNS, zip(*table, strict=True), strict=True))


SCORED = {  # what a task answers -> its outcomes, as evaluation has them
    ("label", "score"): classified,
    ("entities",): tagged,
    ("answer", "score", "start", "end"): answered,
    ("value",): numbered,
    ("text", "score"): heard,
    ("score",): numbered,
    ("labels", "scores"): chances,
    ("vector",): unscored,
    ("caption", "score"): captioned,
    ("caption", "score", "picture", "best"): captioned,
    ("text", "tokens"): unscored,
    ("objects",): boxed,
    ("mask",): masked,
}
