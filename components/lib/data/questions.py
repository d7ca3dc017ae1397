"""Made-up passages of facts with questions about them, as SQuAD 2.0 has them, some without an answer."""

from __future__ import annotations

import random
from typing import Any

GIVEN = "Amara Bruno Chen Dalia Emeka Freya Goran Hana Idris Jonas Keiko Leila Mateo Nadia Omar Priya".split()
FAMILIES = (
    "Adeyemi Berg Costa Dubois Eriksen Fischer Garcia Haddad Ivanov Jensen Kato Lopez Moreau Nowak".split()
)
PLACES = (
    "Lisbon Nairobi Oslo Quito Riga Seoul Tunis Utrecht Valencia Warsaw Yerevan Zagreb Bergen Turin".split()
)
FIRMS = "Northwind Bluepeak Silverline Oakfield Brightwater Ironbridge Redstone Clearview Greyport".split()
TRADES = "a baker|a nurse|a civil engineer|a piano teacher|a geologist|a ship's cook|a judge".split("|")
FOODS = "dark bread|fried rice|lemon cake|pea soup|roast garlic|goat cheese|fish stew|plum tart".split("|")
# What is said of a person, with the answer in {}, and how it is asked for.
FACTS = {
    "home": (
        ["{p} lives in {a} .", "The home of {p} is in {a} ."],
        ["Where does {p} live?", "What town is {p} in?"],
    ),
    "work": (
        ["{p} is {a} .", "For years {p} has been {a} ."],
        ["What does {p} do for a living?", "What is {p}?"],
    ),
    "firm": (["{p} works at {a} .", "{a} employs {p} ."], ["Where does {p} work?", "Who employs {p}?"]),
    "food": (["{p} likes {a} best .", "The favourite dish of {p} is {a} ."], ["What does {p} like to eat?"]),
    "born": (["{p} was born in {a} .", "It was in {a} that {p} was born ."], ["When was {p} born?"]),
}
UNANSWERED = 5  # one question of so many asks what is not said


def record(draw: random.Random) -> dict[str, Any]:
    """A passage of four to eight sentences about two or three people, a question, and its answers."""
    people = [f"{name} {draw.choice(FAMILIES)}" for name in draw.sample(GIVEN, draw.randint(2, 3))]
    told = draw.sample([(p, fact) for p in people for fact in FACTS], draw.randint(4, 8))
    known = {about: _value(draw, about[1]) for about in told}
    sentences = [draw.choice(FACTS[fact][0]).format(p=p, a=known[p, fact]) for p, fact in told]
    context = " ".join(sentence.replace(" .", ".") for sentence in sentences)
    left = sorted({(p, fact) for p in people for fact in FACTS} - set(told))
    about = draw.choice(left if draw.randrange(UNANSWERED) == 0 else told)
    question = draw.choice(FACTS[about[1]][1]).format(p=about[0])
    answers = []
    if about in known:
        place = sum(len(one) for one in sentences[: told.index(about)])  # each blank before a dot is its gap
        answers = [{"text": known[about], "answer_start": context.index(known[about], place)}]
    return {"question": question, "context": context, "answers": answers}


def _value(draw: random.Random, fact: str) -> str:
    if fact == "born":
        return str(draw.randint(1931, 2004))
    choices = {"home": PLACES, "work": TRADES, "firm": FIRMS, "food": FOODS}
    return draw.choice(choices[fact])
