"""Files to pixels: what is decoded, what is refused, how it is brought to one size."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from components.lib.core.errors import DataError, IntegrityError
from components.lib.data import images, pixel_range
from components.lib.modalities.image.canvas import Canvas
from tests.bad_input.broken import exif, png


def pixels(height: int = 20, width: int = 30, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_survive_a_png(channels):
    given = pixels(channels=channels)
    assert (images.decode(images.png(given)) == given).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "GIF"])
def test_lossless_formats_have_the_same_identity(kind):
    grey = pixels(channels=1)
    options = {"lossless": True} if kind == "WEBP" else {}
    found = images.decode(saved(images.picture(grey), kind, **options))
    assert (found[:, :, :1] == grey).all()
    if found.shape[2] == 1:
        assert images.identity(found) == images.identity(grey)


def test_what_is_shown_decides_not_how_it_is_stored():
    base = Image.fromarray(pixels()[:, :, 0])
    palette = Image.fromarray(pixels()).convert("P", palette=Image.Palette.ADAPTIVE)
    assert images.decode(saved(palette)).shape == (20, 30, 3)
    assert images.decode(saved(base.convert("1"))).shape == (20, 30, 1)
    turned = base.getexif()
    turned[0x0112] = 6  # "turn by a quarter"
    assert images.decode(saved(base, "JPEG", exif=turned)).shape == (30, 20, 1)
    cmyk = Image.fromarray(pixels()).convert("CMYK")
    assert images.decode(saved(cmyk, "JPEG")).shape == (20, 30, 3)


def test_transparency_lies_on_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (images.decode(saved(clear)) == 255).all()


DEEP = np.array([[0, 256, 4095, 70]])
STORED = {  # values -> as they are kept
    "png of 16 bits": (saved(Image.fromarray(DEEP.astype(np.uint16))), np.uint16),
    "tiff of 16 bits": (saved(Image.fromarray(DEEP.astype(np.uint16)), "TIFF"), np.uint16),
    "tiff of 32 bits": (saved(Image.fromarray(DEEP.astype(np.int32)), "TIFF"), np.int32),
    "tiff of fractions": (saved(Image.fromarray(DEEP.astype(np.float32)), "TIFF"), np.float32),
    "an array of 16 bits": (DEEP.astype(">u2"), np.uint16),
    "an array of 64 bits": (DEEP, np.uint16),
    "an array below 0": (DEEP - 1, np.int32),
    "an array of fractions": (DEEP.astype(np.float64), np.float32),
    "colours in fractions": (np.repeat(DEEP[:, :, None], 3, axis=2).astype(np.float16), np.float32),
}


@pytest.mark.parametrize("name", STORED)
def test_values_of_more_than_eight_bits_are_kept_and_scaled_by_a_given_range(name):
    value, kind = STORED[name]
    data = images.content(value)
    found = images.values(data)
    wanted = np.asarray(value).reshape(1, 4, -1) if isinstance(value, np.ndarray) else DEEP[:, :, None]
    assert found.array.dtype == kind and (found.array == wanted).all()
    shares = (wanted.astype(float) - 0) / 4095
    assert (images.decode(data, (0, 4095)) == np.rint(255 * shares.clip(0, 1))).all()
    assert images.decode(data, (300, 301)).ravel()[:3:2].tolist()[0] == 0
    with pytest.raises(DataError, match="no range"):
        images.decode(data)
    twin = images.values(images.content(np.asarray(wanted, np.float32))).array
    assert images.identity(found.array) == images.identity(twin)


@pytest.mark.parametrize(
    ("bits", "low", "high", "expected"),
    [
        ([16, 16], [0, 3], [256, 4000], (0, 4095)),
        ([16], [0], [255], (0, 255)),
        ([16], [9], [65535], (0, 65535)),
        ([16], [-1000], [3000], (-1000, 3000)),
        ([16], [0], [100_000], (0, 100_000)),
        ([32, 32], [0.1, 0], [0.2, 0.9], (0, 1)),
        ([32, 16], [200.5, 0], [2750, 9], (0, 2750)),
        ([32], [7], [7], (7, 8)),
    ],
)
def test_the_range_of_a_corpus_is_that_of_all_its_images(bits, low, high, expected):
    columns = (np.array(bits), np.array(low, float), np.array(high, float))
    assert pixel_range.of(*columns) == expected


@pytest.mark.parametrize("orientation", [None, 1, 6])
def test_a_good_image_with_broken_exif_is_kept_upright(orientation):
    """The tag of the maker lies beyond the end; another says which way up the picture is."""
    upright = Image.fromarray(pixels()[:, :, 0])
    for kind in ("JPEG", "PNG", "WEBP"):
        found = images.values(saved(upright, kind, exif=exif(orientation)))
        assert found.array.shape[:2] == ((30, 20) if orientation == 6 else (20, 30)), kind
        assert found.orientation == (orientation or 1)
        assert found.damaged or kind != "JPEG"
        assert np.abs(found.array[:, :, 0].mean() - pixels()[:, :, 0].mean()) < 2


BROKEN = {
    "nothing": b"",
    "text": b"no image at all",
    "cut short": images.png(pixels())[:200],
    "bomb": png(10_000, 10_000, b"\0"),
    "huge bomb": png(60_000, 60_000, b"\0"),
    "empty data": png(20, 20, b"\0"),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",
    "damaged": (lambda data: data[:60] + bytes([data[60] ^ 255]) + data[61:])(images.png(pixels())),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_image_is_one_typed_error(name):
    with pytest.raises(DataError) as caught:
        images.decode(BROKEN[name])
    assert "image" in caught.value.what and caught.value.found


@pytest.mark.parametrize(
    "value",
    [{"bytes": images.png(pixels()), "path": "a.png"}, pixels(), pixels().tolist(), images.png(pixels())],
    ids=["datasets", "array", "lists", "bytes"],
)
def test_fields_of_records_become_files(value):
    assert (images.decode(images.content(value)) == pixels()).all()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"bytes": None, "path": "a.png"},
        "a.png",
        7,
        [[300]],
        [[0.5]],
        [[-1]],
        [1, 2],
        [[1], [1, 2]],
        [],
        pixels().transpose(2, 0, 1),
        np.zeros((2, 2, 4)),
        np.array([[2**40]]),
        np.array([["a"]]),
    ],
)
def test_what_holds_no_pixels_is_refused_with_what_is_expected(value):
    with pytest.raises(DataError) as caught:
        images.content(value)
    assert caught.value.expected
    first = getattr(value, "shape", ())[:1]
    assert ("axis of channels" in caught.value.fix) == (first in [(3,), (1,)] and value.dtype != np.int64)


def test_arrays_that_are_no_images_are_refused_when_they_are_read():
    whole = images.content(np.zeros((4, 4), np.float32))
    for broken in (
        whole[:-1],
        whole[:30],
        whole.replace(b"<f4", b"|O4"),
        images.content(np.full((2, 2), np.inf)),
    ):
        with pytest.raises(DataError):
            images.values(broken)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_canvas_keeps_what_has_its_size_and_shapes_the_rest(fit):
    canvas = Canvas(20, 30, 3, fit)
    assert (canvas.pixels(pixels()) == pixels()).all()
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 30:90] = 200  # the middle, of the canvas' shape
    found = canvas.pixels(wide)
    assert found.shape == (20, 30, 3)
    if fit == "crop":
        assert (found[:, 1:-1] == 200).all()
    if fit == "pad":
        assert (found[:4] == 0).all() and (found[8:12, 10:20] == 200).all()
    if fit == "stretch":
        assert (found[:, :6] == 0).all() and (found[:, 10:20] == 200).all()
    left, top, right, bottom = canvas.box(40, 120)
    assert (left + right, top + bottom) == (120, 40)


def test_the_file_of_a_canvas_is_read_by_transformers(tmp_path):
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    canvas = Canvas(20, 30, 3, "stretch", (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    canvas.save(tmp_path)
    assert Canvas.open(tmp_path) == canvas
    found = ViTImageProcessorPil.from_pretrained(tmp_path)(
        images.picture(pixels(50, 40)), return_tensors="np"
    )
    expected = (canvas.pixels(pixels(50, 40)) / 255 - np.array(canvas.mean)) / np.array(canvas.std)
    assert np.allclose(found["pixel_values"][0], expected.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (40, 20), (60, 80)])
def test_transformers_crops_as_a_square_canvas_does(tmp_path, height, width):
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    canvas = Canvas(16, 16, 3, "crop", (0.0,) * 3, (1.0,) * 3)
    canvas.save(tmp_path)
    down, across = np.meshgrid(np.linspace(0, 255, height), np.linspace(0, 255, width), indexing="ij")
    slope = np.stack([down, across, down / 2], axis=2).astype(np.uint8)
    found = ViTImageProcessorPil.from_pretrained(tmp_path)(images.picture(slope), return_tensors="np")
    expected = canvas.pixels(slope).transpose(2, 0, 1) / 255
    assert np.abs(found["pixel_values"][0] - expected).max() < 0.04  # a pixel of 16 is 0.06


def test_probes_tell_another_way_to_resize():
    canvas = Canvas(28, 28, 1)
    canvas.check(canvas.probes(), "here")
    with pytest.raises(IntegrityError, match="as they were for the trunk"):
        Canvas(28, 28, 1, "pad").check(canvas.probes(), "here")


def colours(kind: str, values: np.ndarray) -> bytes:
    """A file of colours of 16 bits, which Pillow cannot write."""
    height, width, channels = values.shape
    if kind == "PNG":
        rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
        return png(width, height, rows, bits=16, kind=2 if channels == 3 else 6)
    order, packed = "<" if kind[:2] == "II" else ">", kind.endswith("zip")
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    tags = {256: (3, width), 257: (3, height), 258: (3, None), 259: (3, 8 if packed else 1), 262: (3, 2)}
    tags |= {273: (4, None), 277: (3, 3), 278: (3, height), 279: (4, len(data))}
    behind = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, (size, value) in tags.items():
        place = {258: behind, 273: behind + 6}.get(tag)
        form = f"{order}HHII" if size == 4 or place else f"{order}HHIHxx"
        entries += struct.pack(form, tag, size, 3 if tag == 258 else 1, place or value)
    head = kind[:2].encode() + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + struct.pack(f"{order}3H", 16, 16, 16) + data


@pytest.mark.parametrize("kind", ["PNG", "II", "MM", "II zip", "MM zip"])
def test_colours_of_sixteen_bits_keep_their_values(kind):
    deep = np.random.default_rng(0).integers(0, 4096, (9, 7, 3)).astype(np.uint16)
    found = images.values(colours(kind, deep))
    assert found.array.dtype == np.uint16 and (found.array == deep).all() and not found.deeper
    assert (images.decode(colours(kind, deep), (0, 4095)) == np.rint(deep * 255.0 / 4095)).all()
    clear = np.concatenate([deep * 16, np.full((9, 7, 1), 65535, np.uint16)], axis=2)
    if kind == "PNG":
        found = images.values(colours(kind, clear))
        assert found.deeper and (found.array == clear[:, :, :3] >> 8).all()
