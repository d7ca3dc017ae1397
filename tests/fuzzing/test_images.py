"""Any image file: the same pixels twice or a told error; what is not constant does not become so."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.lib.core.errors import DataError
from components.lib.data import images
from tests.fuzzing.mutation import NUMBERS, TOPS, encoded, mutated
from tests.fuzzing.test_records import SECONDS, fuzzed

# file format -> the modes that it holds
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"),
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "WEBP": ("RGB", "RGBA", "L"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB", "I;16", "I"),
}
EXACT = ("L", "RGB")  # of files that lose nothing


@pytest.mark.parametrize("format", MODES)
@fuzzed
@given(drawn=st.data())
def test_a_broken_image_is_told(format: str, drawn: st.DataObject) -> None:
    mode = drawn.draw(st.sampled_from(MODES[format]))
    data = drawn.draw(mutated(NUMBERS.map(lambda seed: encoded(mode, format, seed)[1])))
    began, found = time.monotonic(), []
    for _ in range(2):
        try:
            found.append(images.decode(data))
        except DataError as error:
            found.append(f"{error.what} {error.found}")
    assert time.monotonic() - began < SECONDS
    assert type(found[0]) is type(found[1]) and np.array_equal(found[0], found[1])


@pytest.mark.parametrize("format", MODES)
@fuzzed
@given(drawn=st.data())
def test_pixels_keep_their_values(format: str, drawn: st.DataObject) -> None:
    mode = drawn.draw(st.sampled_from(MODES[format]))
    picture, data = encoded(mode, format, drawn.draw(NUMBERS))
    top, given = 65535 if format == "PPM" and mode == "I" else TOPS.get(mode, 255), np.asarray(picture)
    pixels = images.decode(data, (0, top))
    assert pixels.dtype == np.uint8 and pixels.shape[:2] == given.shape[:2]
    if mode in EXACT and format in ("PNG", "TIFF", "BMP", "PPM"):
        assert np.array_equal(pixels.squeeze(), given.squeeze())
    if mode in TOPS:
        assert np.array_equal(pixels[:, :, 0], np.rint(255 * (given / top).clip(0, 1)))
