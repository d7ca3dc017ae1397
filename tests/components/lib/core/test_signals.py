import os
import signal
import threading

import pytest

from components.lib.core import signals
from components.lib.core.errors import Interrupted


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_noted_request_ends_nothing(number):
    with signals.noted() as came:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
    assert came == [number, signal.SIGTERM] and signals.received()
    with signals.obeyed():
        assert not signals.received()


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_an_obeyed_request_raises_once(number):
    before = [signal.getsignal(each) for each in signals.SIGNALS]
    with pytest.raises(Interrupted) as caught, signals.obeyed():
        try:
            os.kill(os.getpid(), number)
        finally:
            for again in signals.SIGNALS:  # while it cleans up
                os.kill(os.getpid(), again)
    assert caught.value.exit_code == 75 and caught.value.found == number.name
    assert [signal.getsignal(each) for each in signals.SIGNALS] == before


def test_work_with_a_state_has_its_way_within_a_stage():
    with signals.obeyed():
        with signals.noted() as came:
            os.kill(os.getpid(), signal.SIGINT)
        assert came
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)


def test_other_threads_can_catch_nothing():
    seen = []

    def work():
        with signals.noted() as came, signals.obeyed():
            seen.append(came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]
