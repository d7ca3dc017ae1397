"""F08-F10, F16, F30: whole trainings while the store fails or the clock is wrong; the same bits come out."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from components.lib.storage.objects.s3 import client
from components.lib.storage.store import Store
from tests.faults.lab import ALONE, TINY, Lab
from tests.faults.proxy import before
from tests.made import corpora

pytestmark = pytest.mark.long
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, s3_server):
    """Tokens in a folder, and a bucket for the stores of labs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
        client().create_bucket(Bucket="training")
        folder = tmp_path_factory.mktemp("tokens")
        corpora.topic_tokens(folder)
        yield folder


@pytest.fixture
def proxy(s3_server, monkeypatch):
    with before(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)  # of this process: it looks at the truth
        yield proxy


@pytest.fixture
def lab(prepared, tmp_path, request):
    """Its store has the tokens of the reference: the same bytes under the same key."""
    uri, root = f"s3://training/{request.node.name.partition('[')[0]}", prepared / "store"
    for path in filter(Path.is_file, (root / "tokenization").rglob("*")):
        Store(uri).objects.write(path.relative_to(root).as_posix(), path.read_bytes())
    return Lab(tmp_path / "lab", prepared, ALONE, uri)


@pytest.mark.fault("F08")
def test_every_fifth_request_fails(lab, proxy, reference):
    faults = [
        proxy.inject("status", every=15, status=status, code=code)
        for status, code in ((500, "InternalError"), (503, "SlowDown"), (429, "TooMany"))
    ]
    faults.append(proxy.inject("lost", method="PUT", every=7))
    done = lab.run(AWS_ENDPOINT_URL_S3=proxy.url)
    lab.assert_whole(reference, done)
    assert all(fault.struck for fault in faults)


@pytest.mark.fault("F09")
def test_the_store_is_down_for_a_while(lab, proxy, reference):
    process = lab.frozen("at=11", AWS_ENDPOINT_URL_S3=proxy.url)
    fault = proxy.inject("reset")
    process.send_signal(signal.SIGCONT)
    time.sleep(3)  # within the tries of one request
    fault.times = 0
    lab.assert_whole(reference, lab.end(process))
    assert fault.struck >= 2


@pytest.mark.fault("F10")
def test_the_store_is_down_for_good(lab, proxy, reference):
    process = lab.frozen("at=11", AWS_ENDPOINT_URL_S3=proxy.url)
    fault = proxy.inject("reset")
    process.send_signal(signal.SIGCONT)
    done = lab.end(process)
    assert fault.struck >= 6
    assert done.code == 69 and "S3 does not answer" in done.log, done.log[-2000:]
    assert lab.commits()
    lab.assert_whole(reference, lab.run())  # without the proxy: it is back


def wall(environment):
    """What a process that lives in this environment takes for the time."""
    command = [sys.executable, "-c", "import time; print(time.time())"]
    return float(subprocess.check_output(command, env={**os.environ, **environment}))


@pytest.mark.fault("F16")
@pytest.mark.skipif(FAKETIME is None, reason="no libfaketime: apt-get install faketime")
@pytest.mark.parametrize(("first", "then"), [("+2h", "-2h"), ("-2h", "+2h")])
def test_a_clock_that_is_wrong_and_jumps_changes_nothing(prepared, tmp_path, reference, first, then):
    """It is wrong from the start, jumps in the middle of a run, and is right again in the next."""
    lab, clock = Lab(tmp_path / "lab", prepared, ALONE), tmp_path / "clock"
    environment = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock)}
    environment |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    clock.write_text(first)
    assert abs(wall(environment) - time.time()) == pytest.approx(7200, abs=60)
    process = lab.frozen("at=17", **environment)
    clock.write_text(then)
    lab.arm("training.step", "kill at=29")
    process.send_signal(signal.SIGCONT)
    assert lab.end(process).code == -9 and lab.fired("training.step")
    done = lab.run()
    lab.assert_whole(reference, done)
    assert "resumed after step 25" in done.log


@pytest.mark.fault("F30")
def test_a_soak_of_kills_and_failing_requests(lab, proxy, prepared, tmp_path):
    """Six kills at random, a store that fails at every ninth request, answers that are lost."""
    config = replace(TINY, steps=120, restarts=6)
    calm = Lab(tmp_path / "calm", prepared, config)
    assert calm.run().code == 0, calm.log()
    generator = random.Random(0)
    faults = [proxy.inject("status", every=9), proxy.inject("lost", method="PUT", every=11)]
    process, kills = lab.start(config, AWS_ENDPOINT_URL_S3=proxy.url), 0
    while process.poll() is None:
        if not (lab.failpoints / "training.step").exists() and kills < 6:
            rank, at = generator.randrange(2), generator.randrange(10, 40)
            lab.arm("training.step", f"kill at={at} rank={rank}")
            kills += 1
        time.sleep(0.05)
    lab.assert_whole(calm, lab.end(process))
    assert kills >= 3 and all(fault.struck for fault in faults)
