"""Files whose decoders hang, crash or take all memory: each costs itself alone, and says so."""

import gzip
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.bad_input.broken import FILES, zipped
from tests.components.ingestion.hostility import Project
from tests.components.ingestion.test_images import scenes
from tests.made.corpora import nonsense
from tests.made.ingesting import write

SOUND = ("train-00000.parquet", "validation-00000.parquet", "dropped.parquet")
PROCESS = "the process that decoded it "
TIME = f"{PROCESS}gave nothing for 2 seconds (setting ingestion.timeout)"


def hostile(deed: str, count: int = 20) -> bytes:
    """Good documents, and then the deed."""
    return "\n".join([*nonsense(count, deed), f"!{deed}", *nonsense(3, f"{deed} after")]).encode()


# file: its data, and why none of it is kept
HOSTILE = {
    "b-spin.hostile": (hostile("spin"), TIME),
    "c-hang.hostile": (hostile("hang"), TIME),
    "d-allocate.hostile": (
        hostile("allocate"),
        f"{PROCESS}asked for more than 2,147,483,648 bytes of memory (setting ",
    ),
    "e-segfault.hostile": (hostile("segfault"), f"{PROCESS}was killed by SIGSEGV"),
    "f-abort.hostile": (hostile("abort"), f"{PROCESS}was killed by SIGABRT"),
    "g-exit.hostile": (hostile("exit"), f"{PROCESS}ended with code 3"),
    "h-kill.hostile": (hostile("kill"), f"{PROCESS}was killed by SIGKILL"),
    "i-bomb.zip": (zipped({"a.txt": gzip.decompress(FILES["gzip bomb"])}), "decompression bomb"),
    "j-bomb.txt.gz": (FILES["gzip bomb"], "decompression bomb"),
    "k-cut.txt.gz": (gzip.compress("\n".join(nonsense(99, "k")).encode())[:-9], "broken or cut short"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("hostile"))


def good(folder: Path) -> Path:
    return write(folder, {"a.txt": nonsense(40, "a"), "e.txt": nonsense(40, "e"), "z.txt": nonsense(40, "z")})


def test_each_hostile_file_costs_itself_alone(project, tmp_path):
    """And the next run tries it again, finds the same, and makes nothing new."""
    data = good(tmp_path / "data")
    alone = project(data, "alone")
    for name, (content, _) in HOSTILE.items():
        (data / name).write_bytes(content)
    start = time.monotonic()
    beside = project(data, "beside", memory=2 << 30)
    assert time.monotonic() - start < 60
    assert {name: beside["files"][name] for name in SOUND} == {name: alone["files"][name] for name in SOUND}
    rows = {Path(row["source"]).name: row for row in beside["quarantine"]}
    assert rows.keys() == HOSTILE.keys() and len(rows) == len(beside["quarantine"])
    for name, (_, reason) in HOSTILE.items():
        assert reason in rows[name]["reason"] and name in rows[name]["location"]
    assert beside["facts"]["quarantined"] == len(HOSTILE)
    (notice,) = beside["notices"]
    assert (
        notice.startswith(f"files set aside, as they cannot be decoded to their end: {len(HOSTILE)} (")
        and f"{data}/b-spin.hostile: {TIME}" in notice
    )
    again = project(data, "beside", memory=2 << 30)
    assert (again["reference"], again["notices"]) == (beside["reference"], beside["notices"])
    assert again["reused"] and not beside["reused"]


def test_too_slow_a_machine_is_not_remembered_as_a_broken_file(project, tmp_path):
    data = good(tmp_path / "data")
    (data / "b.hostile").write_bytes(hostile("pause"))
    slow = project(data, "slow")
    assert [row["reason"] for row in slow["quarantine"]] == [TIME]
    quick = project(data, "slow", timeout=60)
    assert (
        quick["quarantine"] == []
        and quick["facts"]["documents"] == project(data, "new", timeout=60)["facts"]["documents"]
    )
    assert sum(quick["facts"]["documents"].values()) == sum(slow["facts"]["documents"].values()) + 23


def test_an_increment_takes_a_file_up_when_it_can_be_read(project, tmp_path):
    data = good(tmp_path / "data")
    (data / "b.hostile").write_bytes(hostile("pause"))
    first = project(data, "since")
    same = project(data, "since", since=first["reference"])
    assert same["reference"] == first["reference"]
    (data / "c.hostile").write_bytes(hostile("hang"))
    assert project(data, "since", since=first["reference"])["reference"] == first["reference"]
    more = project(data, "since", since=first["reference"], timeout=5, validation=0.1)
    assert sum(more["facts"]["documents"].values()) == 23


def test_a_picture_that_kills_its_decoder_costs_its_file_alone(project, tmp_path):
    data = write(tmp_path / "data", {})
    for name, content in scenes(30).items():
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(content)
    settings = {"modality": "image", "workers": 2, "memory": 2 << 30}
    alone = project(data, "pictures alone", **settings)
    sound = next(iter(scenes(1).values()))
    deeds = {"segfault": "SIGSEGV", "allocate": "bytes of memory", "hang": "gave nothing for"}
    for deed in deeds:
        (data / f"{deed}.png").write_bytes(sound + f"!{deed}".encode())
    beside = project(data, "pictures beside", **settings)
    assert {name: beside["files"][name] for name in SOUND} == {name: alone["files"][name] for name in SOUND}
    rows = {Path(row["location"]).stem: row["reason"] for row in beside["quarantine"]}
    assert rows.keys() == deeds.keys(), rows
    assert all(deeds[deed] in rows[deed] for deed in deeds), rows


def test_what_the_quarantine_does_not_allow_ends_the_run_and_names_the_file(project, tmp_path):
    data = good(tmp_path / "data")
    (data / "b.hostile").write_bytes(hostile("segfault"))
    with project.start(data, "refused", quarantine=0.001) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 65 and "Traceback" not in err
    assert (
        "too many records cannot be read" in err
        and f"{data}/b.hostile: {PROCESS}was killed by SIGSEGV" in err
    )
    write(data, {"more.txt": nonsense(2000, "more", 5)})  # one record of 2,121, but many bytes
    (data / "b.hostile").write_bytes(hostile("segfault", 2000))
    with project.start(data, "refused", quarantine=0.01) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 65 and "bytes in whole files" in err


def test_a_bug_ends_the_run_and_names_the_file(project, tmp_path):
    data = good(tmp_path / "data")
    (data / "b.hostile").write_bytes(hostile("bug"))
    with project.start(data, "bug") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 70 and "KeyError" in err and f"where: {data}/b.hostile" in err


def test_an_evaluation_set_that_cannot_be_read_ends_the_run(project, tmp_path):
    data, tests = good(tmp_path / "data"), tmp_path / "test.hostile"
    tests.write_bytes(hostile("segfault"))
    with project.start(data, "evaluation", decontaminate=[{"source": str(tests)}]) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 65 and "an evaluation file cannot be read" in err and str(tests) in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
@pytest.mark.parametrize("deed", ["spin", "hang"])
def test_a_run_that_ends_leaves_no_process(project, tmp_path, number, code, deed):
    data = good(tmp_path / "data")
    (data / "b.hostile").write_bytes(hostile(deed))
    with project.start(data, f"ended-{deed}-{code}", timeout=600) as process:
        assert process.stderr.readline() == "begun\n"
        (child,) = psutil.Process(process.pid).children()
        if number == signal.SIGTERM:
            os.killpg(process.pid, number)  # as a launcher does
        else:
            process.kill()
        process.communicate(timeout=20)
    assert process.returncode == code
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
