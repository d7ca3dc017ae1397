from types import SimpleNamespace

import numpy as np
import pytest

from components.lib.engine.order import Order, rank_batch
from components.pretraining.replay import Replay, order


class Samples(SimpleNamespace):
    def __len__(self):
        return self.count


def test_every_batch_has_its_share_of_old_samples():
    replay = order(Samples(count=100, fresh=30), 16, 0, 0.25)
    for step in range(50):
        ids = replay.draw(step).ids
        assert (ids >= 30).sum() == 4 and ids.min() >= 0 and ids.max() < 100


@pytest.mark.parametrize("world", [2, 4, 8])
def test_it_does_not_depend_on_the_processes(world):
    replay = Replay(1000, 64, 7, 400, 21)
    for step in (0, 3, 99):
        whole = replay.draw(step)
        parts = [rank_batch(whole, None, rank, world) for rank in range(world)]
        assert np.array_equal(whole.ids, np.concatenate([part.ids for part in parts]))
        assert np.array_equal(whole.epochs, np.concatenate([part.epochs for part in parts]))
        old = [int((part.ids >= 400).sum()) for part in parts]
        assert max(old) - min(old) <= 1  # no process has all of the old ones


def test_each_sample_is_seen_once_an_epoch():
    replay = Replay(60, 12, 3, 40, 4)
    draws = [replay.draw(step) for step in range(5)]  # 5 * 8 new, 5 * 4 old
    assert sorted(np.concatenate([draw.ids for draw in draws])) == list(range(60))
    assert all((draw.epochs == 0).all() for draw in draws)
    again = replay.draw(5)
    assert (again.epochs == 1).all()


def test_nothing_old_or_nothing_new_is_the_plain_order():
    for samples in (Samples(count=50, fresh=50), Samples(count=50, fresh=0)):
        assert order(samples, 8, 1, 0.5) == Order(50, 8, 1)


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.01, 1), (0.5, 4), (0.95, 7)])
def test_the_share(share, old):
    replay = order(Samples(count=50, fresh=20), 8, 1, share)
    assert replay.old == old and (replay.draw(0).ids >= 20).sum() == old
