"""Packing loses nothing, fills rows, and keeps segments apart."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.lib.models.text.packing import pack


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=40))
def test_every_segment_can_be_read_back(sizes):
    starts = np.concatenate([[0], np.cumsum(sizes)])
    flat = np.arange(starts[-1]) + 10
    packed = pack(flat, starts, 16, padding=0)
    assert packed.ids.flatten()[packed.places].tolist() == flat.tolist()
    for number, (start, stop) in enumerate(pairwise(starts)):
        inside = packed.segments == number + 1
        assert packed.ids[inside].tolist() == flat[start:stop].tolist()
        assert packed.positions[inside].tolist() == list(range(stop - start))
        assert inside.any(dim=1).sum() == 1  # in one row
    assert (packed.segments > 0).sum() == packed.real == len(flat)
    assert packed.ids[packed.segments == 0].eq(0).all()
    assert packed.ids.shape[1] <= 16


def test_rows_are_close_to_full():
    sizes = np.random.default_rng(0).integers(4, 33, 200)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    packed = pack(np.ones(starts[-1], dtype=np.int64), starts, 64, padding=0)
    assert packed.real / packed.slots > 0.97


@pytest.mark.parametrize(("sizes", "whole"), [([8, 8], True), ([8, 7], False), ([4, 4], False)])
def test_whole_means_that_no_mask_is_needed(sizes, whole):
    starts = np.concatenate([[0], np.cumsum(sizes)])
    packed = pack(np.ones(starts[-1], dtype=np.int64), starts, 8, padding=0)
    assert packed.whole is whole


def test_bounds_cut_the_flattened_rows_into_segments_and_gaps():
    sizes = np.array([5, 3, 4, 1])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    packed = pack(np.arange(starts[-1]), starts, 7, padding=-1)
    owners = packed.segments.flatten()
    bounds = packed.bounds.tolist()
    assert bounds[0] == 0 and bounds[-1] == owners.numel() and packed.bounds.dtype == torch.int32
    assert packed.longest == max(b - a for a, b in pairwise(bounds)) == 5
    for begin, end in pairwise(bounds):
        assert len(owners[begin:end].unique()) == 1
    assert sum(bool(owners[begin]) for begin in bounds[:-1]) == len(sizes)
