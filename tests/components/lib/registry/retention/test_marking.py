from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from components.lib.registry.registered_models import Registered
from components.lib.registry.retention import Policy
from components.lib.registry.retention.inventory import Inventory, Output, Run
from components.lib.registry.retention.marking import DAY, mark
from components.lib.storage.artifacts import Key, Manifest

NOW = 1000 * DAY
ages = st.floats(0.01, 400)


@st.composite
def pasts(draw):
    """Manifests, each made from some before it, with ages; versions and runs that name some."""
    manifests, parents = [], []
    for number in range(draw(st.integers(1, 12))):
        chosen = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        inputs = {str(i): manifests[i].reference for i in chosen}
        manifest = Manifest(Key("stage", 1, {"n": number}, inputs), "", ())
        manifests.append(replace(manifest, uri=f"stage/{manifest.key.digest}/{number:012x}"))
        parents.append(chosen)
    some = st.sets(st.integers(0, len(manifests) - 1))
    runs = draw(st.lists(st.tuples(some, ages, st.booleans()), max_size=4))
    made = draw(st.lists(ages, min_size=len(manifests), max_size=len(manifests)))
    return manifests, parents, draw(some), runs, made, draw(some)


@given(pasts())
def test_needed_is_what_can_be_reached(past):
    manifests, parents, named, runs, made, hidden = past
    places = [f"{m.key.stage}/{m.key.digest}" for m in manifests]
    found = Inventory()
    for i, manifest in enumerate(manifests):
        output = Output(places[i], manifest.uri, NOW - made[i] * DAY, b"", manifest)
        (found.hidden if i in hidden else found.outputs)[manifest.uri if i in hidden else places[i]] = output
    for number, (outputs, days, ended) in enumerate(runs):
        time = NOW - days * DAY
        found.runs[str(number)] = Run(str(number), time, time, ended, {places[i] for i in outputs})
    versions = [
        Registered("m", str(i), "", "", "", {"trunkline.reference": manifests[i].reference}) for i in named
    ]
    marks = mark(found, versions, Policy(unregistered=True), NOW)

    needed = set(named) | {i for i in range(len(manifests)) if made[i] < 30 and i not in hidden}
    for outputs, days, ended in runs:
        needed |= outputs if days < (30 if ended else 90) else set()
    for i in reversed(range(len(manifests))):
        needed |= parents[i] if i in needed else set()
    assert set(marks.why) == {places[i] for i in needed}
    assert marks.missing == ()
    working = [NOW - days * DAY for _, days, ended in runs if not ended and days < 90]
    assert marks.since == min([NOW - 7 * DAY, *working])
