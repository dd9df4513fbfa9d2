"""Colours by their profile, transparency of every depth, and signed greys, against formulas and by hand."""

import io
import struct
import sys
import types

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from cualex.data import image_kinds, images
from cualex.errors import ImageError
from tests.support import profiles
from tests.support.image_files import changed_tag, chunk, encoded, png

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 40, 3), dtype=np.uint8)


def near(found, expected, most=1.01):
    assert np.abs(found.astype(float) - np.clip(expected, 0, 255)).max() <= most


# --- profiles


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("matrix", "gamma"), [(profiles.ADOBE_RGB, 2.2), (profiles.SRGB, 1.0), (profiles.SRGB, 1.8)])
def test_colours_become_those_of_srgb(kind, matrix, gamma):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(COLOURS, kind, icc_profile=profiles.rgb(matrix, gamma), **options)
    near(images.decode(data, "x"), profiles.shown(matrix, gamma, COLOURS))


def test_a_jpeg_scaled_down_has_its_colours_converted():
    plain = Image.new("RGB", (600, 600), (30, 200, 90))
    data = encoded(plain, "JPEG", quality=100, icc_profile=profiles.rgb(profiles.ADOBE_RGB, 2.2))
    near(images.load(data, 64)[9, 9], profiles.shown(profiles.ADOBE_RGB, 2.2, (30, 200, 90)), 4)


def test_greys_by_their_profile():
    greys = np.arange(256, dtype=np.uint8)[None]
    expected = profiles.to_srgb((greys[0] / 255.0) ** (round(256 * 1.2) / 256))
    for image in (greys, (greys.astype(np.uint16) * 257)):
        found = images.decode(encoded(image, "PNG", icc_profile=profiles.grey(1.2)), "x")
        near(found[0], expected[:, None].repeat(3, axis=1))


def ink(c, m, y, k):
    """White paper, of which each ink takes a part; black ink takes all, so that no black point is moved."""
    return (100 - 20 * c - 25 * m - 5 * y) * (1 - k), (10 * m - 12 * c) * (1 - k), (15 * y - 14 * c) * (1 - k)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_by_their_profile(kind):
    """At the nodes of its table a profile says a colour outright; without, all ink off is pure white."""
    for node in ((0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 1, 1, 0), (1, 1, 1, 0), (0, 0, 0, 1)):
        image = Image.new("CMYK", (16, 16), tuple(255 * part for part in node))
        data = encoded(image, kind, icc_profile=profiles.cmyk(ink), **({"quality": 100} if kind == "JPEG" else {}))
        near(images.decode(data, "x")[3, 3], profiles.shown_lab(ink(*node)), 3)
    assert images.decode(encoded(Image.new("CMYK", (2, 2)), "TIFF"), "x").min() == 255


def test_a_profile_and_transparency():
    """The colour is converted, and then laid on white, as a viewer does."""
    half = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 102, np.uint8)])
    expected = 0.4 * profiles.shown(profiles.ADOBE_RGB, 2.2, COLOURS) + 0.6 * 255
    near(images.decode(encoded(half, "PNG", icc_profile=profiles.rgb(profiles.ADOBE_RGB, 2.2)), "x"), expected)
    palette = Image.fromarray(COLOURS).quantize(16)
    found = images.decode(encoded(palette, "PNG", icc_profile=profiles.rgb(profiles.ADOBE_RGB, 2.2)), "x")
    near(found, profiles.shown(profiles.ADOBE_RGB, 2.2, np.asarray(palette.convert("RGB"))))


@pytest.mark.parametrize("profile", ["lcms", "own"])
def test_srgb_changes_no_bit(profile):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if profile == "own":  # gamma 2.2 is not sRGB's curve
        assert (
            images.decode(encoded(COLOURS, "PNG", icc_profile=profiles.rgb(profiles.SRGB, 2.2)), "x") != COLOURS
        ).any()
        srgb = srgb.replace(b"sRGB built-in", b"sRGB built-IN")
    assert (images.decode(encoded(COLOURS, "PNG", icc_profile=srgb), "x") == COLOURS).all()


BAD = {
    "noise": (b"no profile" * 40, "damaged colour profile, ignored"),
    "empty": (b"\0" * 128, "damaged colour profile, ignored"),
    "cut": (profiles.rgb(profiles.ADOBE_RGB, 2.2)[:300], "damaged colour profile, ignored"),
    "of greys": (profiles.grey(1.2), "colour profile of 'GRAY' in an image of RGB, ignored"),
    "of inks": (profiles.cmyk(ink), "colour profile of 'CMYK' in an image of RGB, ignored"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_profile_is_ignored_with_a_note(kind):
    data = encoded(COLOURS, "PNG", icc_profile=BAD[kind][0])
    assert (images.decode(data, "x") == COLOURS).all()
    assert images.inspect(data, 6, "x")[1].note == BAD[kind][1]


def test_an_image_of_pillow_keeps_what_it_is():
    image = Image.open(io.BytesIO(png(2, 0, b"\x1b", 4, chunk(b"tRNS", b"\0\1"))))
    before = dict(image.info)
    images.load(image, 4)
    assert image.info == before


# --- transparency: the sample that a PNG calls transparent, in its own depth


def transparent(depth, colour, samples, key):
    """Write a row of samples, and decode by the formula of the PNG standard: v 255 / (2^depth - 1), the key white."""
    bits = "".join(f"{value:0{depth}b}" for value in np.ravel(samples))
    bits += "0" * (-len(bits) % 8)
    data = png(depth, colour, int(bits, 2).to_bytes(len(bits) // 8, "big"), len(samples), chunk(b"tRNS", key))
    scaled = np.asarray(samples, float) * 255 / (2**depth - 1)
    hit = (np.reshape(samples, (len(samples), -1)) == np.frombuffer(key, ">u2")).all(axis=1)
    scaled = np.broadcast_to(scaled.reshape(len(samples), -1), (len(samples), 3))
    return data, np.where(hit[:, None], 255, scaled)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_every_depth(depth):
    most = 2**depth - 1
    samples = sorted({0, 1, most // 2, most - 1, most})
    for key in samples:
        data, expected = transparent(depth, 0, samples, struct.pack(">H", key))
        near(images.decode(data, "x")[0], expected, 0.51)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_of_every_depth(depth):
    """Of 16 bits Pillow keeps the high bytes, by which colours are compared."""
    step = 1 if depth == 8 else 257
    samples = [[step * value for value in colour] for colour in ((0, 9, 255), (9, 0, 255), (9, 9, 9))]
    for key in samples:
        data, expected = transparent(depth, 2, samples, struct.pack(">3H", *key))
        near(images.decode(data, "x")[0], expected, 0.51)


# --- TIFF: samples with a sign, greys of which 0 is white


def signed(values, dtype):
    """Write a row as TIFF with samples that have a sign."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[339] = 2
    unsigned = np.asarray([values]).astype(dtype).view(f"u{np.dtype(dtype).itemsize}")
    return encoded(unsigned, "TIFF", tiffinfo=tags)


@pytest.mark.parametrize(("dtype", "most"), [("i2", 32767), ("i1", 127)])
def test_signed_greys_reach_white(dtype, most):
    values = np.linspace(0, most, 9).astype(int)
    near(images.decode(signed(values, dtype), "x")[0], (values * 255 / most)[:, None].repeat(3, 1), 0.51)
    with pytest.raises(
        ImageError, match=rf"^x: signed grey levels from -2 to 5, expected 0 to {most}: save it without"
    ):
        images.decode(signed([-2, 5], dtype), "x")


def test_greys_of_16_bits_of_which_0_is_white():
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    data = changed_tag(encoded(values, "TIFF"), 262, 0)
    assert images.decode(data, "x")[0, :, 0].tolist() == [255, 254, 127, 0]


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_a_dib_is_a_bitmap_without_its_file_header(mode):
    image = Image.fromarray(COLOURS).convert(mode)
    data = encoded(image, "DIB")
    assert (images.decode(data, "x") == np.asarray(image.convert("RGB"))).all()
    assert (images.decode(encoded(image, "BMP"), "x.dib") == np.asarray(image.convert("RGB"))).all()


# --- versions

CHANGED = {
    "profile": encoded(COLOURS, "PNG", icc_profile=profiles.rgb(profiles.ADOBE_RGB, 2.2)),
    "key of 16 bits": transparent(16, 0, [7, 60000], b"\0\7")[0],
    "key of 2 bits": transparent(2, 0, [1, 2], b"\0\1")[0],
    "sign": signed([0, 32767], "i2"),
    "white is 0": changed_tag(encoded(np.array([[0, 9]], np.uint16), "TIFF"), 262, 0),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_the_first_version_decodes_as_before(kind):
    first = images.load(CHANGED[kind], 8, decoding=image_kinds.FIRST_DECODING)
    assert (first != images.load(CHANGED[kind], 8)).any()
    assert not images.same_before(CHANGED[kind])


def test_most_images_are_the_same_in_both_versions():
    for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"):
        data = encoded(COLOURS, kind)
        assert images.same_before(data)
        assert (images.load(data, 8) == images.load(data, 8, decoding=image_kinds.FIRST_DECODING)).all()
    assert images.same_before(b"no image")


# --- formats that only some installations read


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_later_formats_are_read(kind):
    image = Image.new("RGB", (40, 30), (200, 90, 30))
    near(images.decode(encoded(image, kind), "x")[9, 9], (200, 90, 30), 4)
    with pytest.raises(ImageError, match=r"^x: not an image"):
        images.load(encoded(image, kind), 8, "x", decoding=image_kinds.FIRST_DECODING)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99


@pytest.mark.parametrize(
    ("data", "lost", "reason"),
    [
        (HEIC, "HEIF", "HEIC: install what reads it with pip install 'cualex[heif]', or save it as PNG or JPEG"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + b"\0" * 99, "AVIF", "AVIF, which this Pillow was built without: "
         "install Pillow 11.3 or later, or save it as PNG or JPEG"),
        (b"\xff\x4f\xff\x51" + b"\0" * 99, "JPEG2000", "JPEG 2000, which this Pillow was built without: "
         "save it as PNG or JPEG"),
    ],
)  # fmt: skip
def test_what_an_installation_does_not_read_has_the_way_out(data, lost, reason, monkeypatch):
    Image.init()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, lost, raising=False)
    images._add_heif.cache_clear()
    with pytest.raises(ImageError) as caught:
        images.decode(data, "x.jpg")
    assert str(caught.value) == f"x.jpg: {reason}"


def test_heic_is_read_by_the_package_for_it(monkeypatch):
    """A stand-in registers itself with Pillow as pillow-heif does, and reads the file."""

    class Reader(Image.Image):
        format = "HEIF"

        def __init__(self, file, name):
            super().__init__()
            self._size, self._mode = (2, 1), "RGB"

        def load(self):
            self.im = Image.new("RGB", self.size, (1, 2, 3)).im

        def draft(self, mode, size):
            return None

    package = types.SimpleNamespace(register_heif_opener=lambda: Image.register_open("HEIF", Reader))
    Image.init()
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    monkeypatch.setitem(Image.OPEN, "HEIF", None)
    images._add_heif.cache_clear()
    try:
        assert images.decode(HEIC, "x").tolist() == [[[1, 2, 3], [1, 2, 3]]]
    finally:
        images._add_heif.cache_clear()
