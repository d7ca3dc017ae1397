import json
import signal
import threading
import time

import pytest

from components.lib.registry.registered_models import Registry
from components.lib.registry.retention import Policy, collect
from components.lib.registry.retention.inventory import owned
from components.lib.storage.lease import Lease
from tests.components.lib.registry.retention.stores import (
    DAY,
    DELETE,
    age,
    chain,
    later,
    ledger,
    listing,
    place,
    program,
    registered,
    whole,
)


def test_what_nothing_needs_goes_in_two_steps_and_what_is_registered_stays(store, mlflow_uri):
    registry = Registry(mlflow_uri)
    kept, lost = chain(store, "kept"), chain(store, "lost")
    registered(registry, f"retained-{store.objects.uri[:2]}", kept[-1])
    foreign = {"mlflow/1/" + "0" * 32 + "/model": b"x", "runs/r/report.html": b"y", "notes.txt": b"z"}
    for key, data in foreign.items():
        store.objects.write(key, data)
    first = later(store, registry, 31)
    assert sorted(first.names["condemned"]) == sorted(map(place, lost)) and not first.names["deleted"]
    assert [store.find(manifest.key) for manifest in lost] == [None] * 3 and whole(store, kept)
    early = later(store, registry, 36, Policy(delete=True, grace=37 * DAY))
    assert sorted(early.names["waiting"]) == sorted(map(place, lost)) and not early.names["deleted"]
    before = sum(listing(store).values())
    second = later(store, registry, 39)
    assert sorted(second.names["deleted"]) == sorted(map(place, lost))
    freed = sum(file.bytes for manifest in lost for file in manifest.files)
    assert second.bytes["deleted"] == freed and before - sum(listing(store).values()) > freed
    left = listing(store)
    assert not [key for key in left for manifest in lost if manifest.key.digest in key]
    assert set(foreign) <= set(left) and whole(store, kept)
    assert second.bytes["needed"] == sum(file.bytes for manifest in kept for file in manifest.files)


def test_by_default_it_only_tells(store, registry, kept):
    lost = chain(store, "lost")
    before = listing(store)
    report = later(store, registry, 31, Policy())
    assert listing(store) == before
    assert sorted(report.names["condemned"]) == sorted(map(place, lost))
    assert "nothing was changed" in str(report) and json.dumps(report.to_dict())


def test_a_version_registered_while_it_runs_keeps_its_outputs(disk, registry, kept, tmp_path):
    late = chain(disk, "late")
    age(disk, 100)
    (tmp_path / "retention.hidden").write_text("stop")
    with program(disk, registry, "--delete", "--json", failpoints=tmp_path) as running:
        while not (tmp_path / "retention.hidden.fired").exists():
            assert running.poll() is None
            time.sleep(0.05)
        assert disk.find(late[-1].key) is None, "it is hidden"
        registered(registry, "meanwhile", late[-1])
        running.send_signal(signal.SIGCONT)
        report = json.loads(running.communicate(timeout=60)[0])
    assert sorted(report["restored"]["names"]) == sorted(map(place, late))
    assert whole(disk, kept + late)


def test_a_version_registered_while_its_outputs_are_hidden_gets_them_back(store, registry, kept):
    late = chain(store, "late")
    later(store, registry, 31)
    registered(registry, "meanwhile", late[-1])
    report = later(store, registry, 100)
    assert sorted(report.names["restored"]) == sorted(map(place, late)) and not report.names["deleted"]
    assert whole(store, kept + late)
    assert not later(store, registry, 200).names["restored"]


@pytest.mark.parametrize(
    ("where", "at"), [("retention.hidden", 1), ("retention.deleting", 1), ("retention.deleting", 3)]
)
def test_whoever_is_killed_is_completed_by_the_next(disk, registry, kept, tmp_path, where, at):
    lost = chain(disk, "lost")
    age(disk, 100)
    if where == "retention.deleting":
        collect(disk, registry, DELETE)
        age(disk, 10, "condemned/")
    (tmp_path / where).write_text(f"kill at={at}")
    with program(disk, registry, "--delete", failpoints=tmp_path) as running:
        running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
    collect(disk, registry, DELETE)
    age(disk, 10, "condemned/")
    collect(disk, registry, DELETE)
    assert whole(disk, kept)
    assert not [key for key in listing(disk) if any(manifest.key.digest in key for manifest in lost)]


def test_collections_at_once_do_what_one_does(store, registry, kept):
    lost = [m for n in range(4) for m in chain(store, f"lost {n}")]
    for days in (31, 39):
        ready, errors = threading.Barrier(3), []

        def run(days=days, ready=ready, errors=errors):
            ready.wait()
            try:
                later(store, registry, days)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert whole(store, kept) and [store.find(manifest.key) for manifest in lost] == [None] * 12
    assert not [key for key in listing(store) if any(manifest.key.digest in key for manifest in lost)]


def test_recent_runs_running_jobs_and_fresh_outputs_are_kept(disk, registry, kept):
    names = ("recent", "running", "fresh", "lost")
    chains = {"kept": kept, **{name: chain(disk, name) for name in names}}
    ledger(disk, "old", chains["lost"])
    age(disk, 100)
    ledger(disk, "yesterday", chains["recent"][-1:])
    ledger(disk, "still", chains["running"][-1:], ended=False)
    age(disk, 60, "runs/still/")
    fresh = place(chains["fresh"][-1])
    age(disk, 3, f"{fresh}/")
    report = collect(disk, registry, DELETE)
    assert sorted(report.names["condemned"]) == sorted(map(place, chains["lost"]))
    assert all(whole(disk, chains[name]) for name in chains if name != "lost")
    age(disk, 91, "runs/still/")
    assert sorted(collect(disk, registry, DELETE).names["condemned"]) == sorted(map(place, chains["running"]))


def test_files_without_a_manifest_go_but_not_under_a_run_at_work(disk, registry, kept):
    attempt, checkpoint = f"{place(kept[0])}/{'0' * 12}/shard", f"checkpoints/{place(kept[-1])}/1.commit.json"
    folders = [f"{folder}/{kept[-1].key.digest}" for folder in ("launches", "aliases")]
    passing = {attempt, checkpoint, f"{folders[0]}/job.json", f"{folders[1]}/move.000007.json"}
    passing |= {"runs/ended/settings.finetuning.12", f"runs/probe-{'0' * 32}"}
    for key in passing:
        disk.objects.write(key, b"12345")
    for folder in folders:
        held = Lease(disk.objects, folder, "ended")
        assert held.take()
        disk.objects.write(f"{folder}/waiting.another.json", b"{}")
        passing |= {key for key in disk.objects.keys(folder)}
    collect(disk, registry, DELETE)
    assert passing <= listing(disk).keys(), "they are young"
    age(disk, 20)
    ledger(disk, "still", [], ended=False)
    disk.objects.write("runs/still/preflight.json", b"{}")
    age(disk, 30, "runs/still/")
    collect(disk, registry, DELETE)
    assert passing <= listing(disk).keys(), "a run that began before them has not ended"
    disk.objects.write("runs/still/exit.json", b"{}")
    report = collect(disk, registry, DELETE)
    assert report.bytes["litter"] == 5 and len(report.names["checkpoints"]) == 5
    assert not passing & listing(disk).keys() and whole(disk, kept)
    assert all(map(owned, listing(disk)))


def test_an_output_made_anew_while_its_first_one_is_hidden(disk, registry, kept):
    lost = chain(disk, "again")
    age(disk, 100)
    collect(disk, registry, DELETE)
    again = chain(disk, "again")
    assert [m.digest for m in again] == [m.digest for m in lost] and again[0].uri != lost[0].uri
    age(disk, 10, "condemned/")
    report = collect(disk, registry, DELETE)
    assert len(report.names["deleted"]) == 3 and whole(disk, kept + again)
