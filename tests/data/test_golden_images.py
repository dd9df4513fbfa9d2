"""Picture files of every kind against the colours that they must give, which are worked out by hand."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cualex.data import images
from cualex.errors import PictureError
from tests.support.image_files import changed_tag, chunk, encoded, jpeg, palette, png, segment


def transparent_pixel():
    image = palette((200, 30, 90))
    image.putpixel((0, 0), 3)
    return encoded(image, "PNG", transparency=bytes([255, 255, 255, 102, 255, 255, 255, 255]))


GREY16 = np.array([[0, 128, 129, 30000, 65406, 65407, 65535]], np.uint16)
# Value v is 255 v / 65535 = v / 257: 128/257 rounds down, 129/257 up.
GREY8 = [0, 0, 1, 117, 254, 255, 255]
GREYS = [[value] * 3 for value in GREY8]
# Adobe's CMYK is stored inverted; Pillow turns it back, 0 ink being white. 255 - 51 = 204, 255 - 153 = 102.
INK = Image.new("CMYK", (16, 16), (51, 0, 153, 0))

# The first row of each picture, as RGB; greys, palettes and PNG are without loss.
EXACT = {
    "grey": (encoded(np.array([[3, 250]], np.uint8), "PNG"), [[3] * 3, [250] * 3]),
    "bits": (
        encoded(Image.fromarray(np.array([[True, False, True]])), "PNG"),
        [[255] * 3, [0] * 3, [255] * 3],
    ),
    "grey of 4 bits": (png(4, 0, b"\x0f\x80", 3), [[0] * 3, [255] * 3, [136] * 3]),
    "grey of 16 bits, PNG": (encoded(GREY16, "PNG"), GREYS),
    "grey of 16 bits, TIFF": (encoded(GREY16, "TIFF"), GREYS),
    "grey of 16 bits, big-endian": (
        encoded(Image.frombytes("I;16B", (7, 1), GREY16.astype(">u2").tobytes()), "TIFF"),
        GREYS,
    ),
    "grey of 16 bits, PPM": (encoded(GREY16, "PPM"), GREYS),
    "grey of 32 bits holding 16": (encoded(GREY16.astype(np.int32), "TIFF"), GREYS),
    "grey of 16 bits and a transparent value": (
        png(16, 0, struct.pack(">2H", 30000, 60000), 2, chunk(b"tRNS", struct.pack(">H", 7))),
        [[117] * 3, [233] * 3],
    ),
    "grey and alpha": (encoded(Image.new("LA", (1, 1), (50, 51)), "PNG"), [[214] * 3]),
    "grey and a transparent value": (
        png(8, 0, b"\x0a\x64", 2, chunk(b"tRNS", b"\0\x64")),
        [[10] * 3, [255] * 3],
    ),
    "grey of 16 bits and alpha": (png(16, 4, struct.pack(">2H", 0x5000, 0), 1), [[255] * 3]),
    "RGB of 16 bits": (png(16, 2, struct.pack(">3H", 0x1080, 0x7F01, 0xF0FF), 1), [[0x10, 0x7F, 0xF0]]),
    "RGBA": (encoded(Image.new("RGBA", (1, 1), (200, 100, 0, 51)), "PNG"), [[244, 224, 204]]),
    "RGBA of 16 bits": (png(16, 6, struct.pack(">4H", 0, 0, 0xFFFF, 0xFFFF), 1), [[0, 0, 255]]),
    "RGB and a transparent colour": (
        png(8, 2, bytes([1, 2, 3, 4, 5, 6]), 2, chunk(b"tRNS", struct.pack(">3H", 4, 5, 6))),
        [[1, 2, 3], [255] * 3],
    ),
    "palette": (encoded(palette((200, 30, 90)), "PNG"), [[200, 30, 90]] * 3),
    "palette, GIF": (encoded(palette((200, 30, 90)), "GIF"), [[200, 30, 90]] * 3),
    "palette and transparency": (transparent_pixel(), [[153] * 3, [200, 30, 90], [200, 30, 90]]),
    "palette and a transparent colour": (
        encoded(palette((200, 30, 90)), "GIF", transparency=7),
        [[255] * 3] * 3,
    ),
    "premultiplied alpha": (
        changed_tag(encoded(Image.new("RGBA", (1, 1), (102, 0, 102, 102)), "TIFF"), 338, 1),
        [[255, 153, 255]],
    ),
    "CMYK, TIFF": (encoded(INK, "TIFF"), [[204, 255, 102]] * 16),
    "BMP": (encoded(Image.new("RGB", (1, 1), (200, 30, 90)), "BMP"), [[200, 30, 90]]),
}
# Lossy files, and rounded colour spaces. Red of sRGB is L 54.3, a 80.8, b 69.9 under D50 (L is stored as
# 2.55 L), and a step of one channel moves its colour by up to 5 levels.
NEAR = {
    "CMYK, Adobe's JPEG": (encoded(INK, "JPEG", quality=100), [204, 255, 102]),
    "grey JPEG": (encoded(Image.new("L", (9, 9), 77), "JPEG"), [77, 77, 77]),
    "YCbCr, TIFF": (encoded(Image.new("RGB", (9, 9), (200, 90, 30)).convert("YCbCr"), "TIFF"), [200, 90, 30]),
    "LAB, TIFF": (encoded(Image.frombytes("LAB", (1, 1), bytes([138, 81, 70])), "TIFF"), [255, 0, 0]),
    "WebP": (encoded(Image.new("RGB", (9, 9), (200, 90, 30)), "WEBP", quality=100), [200, 90, 30]),
}


@pytest.mark.parametrize("kind", EXACT)
def test_every_mode_becomes_rgb(kind):
    data, row = EXACT[kind]
    decoded = images.decode(data, kind)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert decoded[0].tolist() == row


@pytest.mark.parametrize("kind", NEAR)
def test_lossy_modes_become_rgb(kind):
    data, colour = NEAR[kind]
    assert np.abs(images.decode(data, kind).reshape(-1, 3).mean(axis=0) - colour).max() <= 5


def test_greys_of_12_bits_are_scaled_by_their_own_white():
    # Pillow writes no 12-bit TIFF: one of 16 bits is changed, and two pixels packed into three of its bytes.
    data = bytearray(changed_tag(encoded(np.zeros((1, 2), np.uint16), "TIFF"), 258, 12))
    assert data[-4:] == bytes(4)
    data[-4:] = b"\xff\xf8\x00\x00"  # 0xFFF and 0x800
    assert images.decode(bytes(data), "scan")[0].tolist() == [[255] * 3, [128] * 3]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[-1, 5]], np.int32), "grey levels from -1 to 5, expected 0 to 65535: save it with 8 or 16 bits"),
        (
            np.array([[0, 65536]], np.int32),
            "grey levels from 0 to 65536, expected 0 to 65535: save it with 8 or 16 bits",
        ),
        (np.ones((1, 2), np.float32), "floating-point pixels have no defined range: save it with 8 or 16 bits"),
    ],
)
def test_numbers_without_a_white_are_refused(values, reason):
    with pytest.raises(PictureError) as caught:
        images.decode(encoded(values, "TIFF"), "scan.tif")
    assert str(caught.value) == f"scan.tif: {reason}"
    assert (caught.value.name, caught.value.reason) == ("scan.tif", reason)


# What a viewer does with each EXIF orientation.
ORIENTATIONS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: p[::-1].transpose(1, 0, 2),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: p[:, ::-1].transpose(1, 0, 2),
}
STORED = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 11


@pytest.mark.parametrize("code", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once(kind, code):
    exif = Image.Exif()
    exif[0x0112] = code
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(STORED, kind, exif=exif, **options)
    assert images.decode(data, "x").tolist() == ORIENTATIONS[code](STORED).tolist()


@pytest.mark.parametrize("code", ORIENTATIONS)
@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_orientation_of_jpegs(mode, code):
    # Four flat quarters of 16 pixels survive the compression.
    stored = np.kron(np.array([[0, 80, 160], [240, 200, 40]], np.uint8), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = code
    decoded = images.decode(encoded(Image.fromarray(stored).convert(mode), "JPEG", quality=95, exif=exif), "x")
    expected = ORIENTATIONS[code](np.repeat(stored[:, :, None], 3, axis=2)).astype(int)
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() <= 12


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert (images.decode(data, "x") == (255, 0, 0)).all()


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1), (2, 3), (1, 2_000_000)])
def test_extreme_shapes(shape):
    data = encoded(Image.new("RGB", (shape[1], shape[0]), (9, 99, 200)), "PNG")
    for made in (images.load(data, 256), images.square(images.decode(data, "x"), 256)):
        assert made.shape == (256, 256, 3)
        assert (made == (9, 99, 200)).all()


# --- four quarters: the mean and the corners

# Red and green above, blue and grey below. Of the 4 x 6 squares the left 2 columns are the left quarters, so that
# no turn gives the same mean: a third of the pixels lies left, two thirds right.
QUARTERS = {
    "upper left": (200, 40, 0),
    "upper right": (0, 180, 60),
    "lower left": (30, 0, 210),
    "lower right": (90, 90, 90),
}
# (200 + 2 * 0 + 30 + 2 * 90) / 6 = 68.33, (40 + 360 + 0 + 180) / 6 = 96.67, (0 + 120 + 210 + 180) / 6 = 85
MEAN = (68.333, 96.667, 85.0)


def quarters(side, colours=QUARTERS):
    """Draw them with squares of `side` pixels: uint8 (4 side, 6 side, components)."""
    drawn = np.empty((4, 6, len(colours["upper left"])), np.uint8)
    drawn[:2, :2], drawn[:2, 2:] = colours["upper left"], colours["upper right"]
    drawn[2:, :2], drawn[2:, 2:] = colours["lower left"], colours["lower right"]
    return np.kron(drawn, np.ones((side, side, 1), np.uint8))


def each(change):
    return quarters(1, {name: change(*colour) for name, colour in QUARTERS.items()})


def corners(picture):
    return [tuple(map(int, picture[row, column])) for row in (0, -1) for column in (0, -1)]


def deep(values):
    """Write RGB or RGBA of 16 bits as PNG, (rows, columns, channels)."""
    rows, columns, channels = values.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", columns, rows, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


DRAWN = quarters(8)
# What a print shop's file stores: 255 less the ink of each colour, and no black: the colours themselves.
GOLDEN = {
    "JPEG as RGB": jpeg(quarters(1), 0),
    "JPEG, progressive": jpeg(quarters(1), 0, progressive=True),
    "JPEG, CMYK": jpeg(each(lambda r, g, b: (r, g, b, 255)), 0),
    "JPEG, CMYK, progressive": jpeg(each(lambda r, g, b: (r, g, b, 255)), 0, progressive=True),
    "PNG": encoded(DRAWN, "PNG"),
    # The high byte counts; 257 times the value would not tell high from low.
    "PNG, 16 bits": deep(DRAWN.astype(np.uint16) * 256 + 37),
    "PNG, 16 bits and alpha": deep(np.dstack([DRAWN.astype(np.uint16) * 256, np.full((32, 48), 65535)])),
    "PNG, palette": encoded(Image.fromarray(DRAWN).quantize(4), "PNG", bits=2),
    "PNG, alpha": encoded(np.dstack([DRAWN, np.full((32, 48), 255, np.uint8)]), "PNG"),
    "GIF": encoded(Image.fromarray(DRAWN).quantize(4), "GIF"),
    "GIF, animated": encoded(
        Image.fromarray(DRAWN).quantize(4),
        "GIF",
        save_all=True,
        append_images=[Image.new("RGB", (48, 32), "white")],
    ),
    "PNG, animated": encoded(
        Image.fromarray(DRAWN), "PNG", save_all=True, append_images=[Image.new("RGB", (48, 32), "white")]
    ),
    "WebP": encoded(DRAWN, "WEBP", lossless=True),
    "BMP": encoded(DRAWN, "BMP"),
    "BMP, palette": encoded(Image.fromarray(DRAWN).quantize(4), "BMP"),
    "TIFF": encoded(DRAWN, "TIFF", compression="tiff_lzw"),
    "TIFF, CMYK": encoded(Image.fromarray(np.dstack([255 - DRAWN, np.zeros((32, 48), np.uint8)]), "CMYK"), "TIFF"),
    "PPM": encoded(DRAWN, "PPM"),
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_the_mean_and_the_corners_are_those_that_were_drawn(kind):
    decoded = images.decode(GOLDEN[kind], kind)
    assert decoded.shape == (32, 48, 3)
    assert corners(decoded) == list(QUARTERS.values())
    np.testing.assert_allclose(decoded.reshape(-1, 3).mean(axis=0), MEAN, atol=0.001)


@pytest.mark.parametrize("kind", GOLDEN)
def test_the_centre_square_is_scaled(kind):
    """The centre is 32 of 48 columns, 8 of them left of the border, which comes to lie at 4 of 16.

    The pixel before the border is 1/8, 3/8, 3/8 and, beyond it, 1/8 of four: 7/8 (200, 40, 0) + 1/8 (0, 180, 60).
    """
    small = images.load(GOLDEN[kind], 16, kind)
    assert corners(small) == list(QUARTERS.values())
    assert corners(small[6:10:3, 2:6:3]) == list(QUARTERS.values())
    np.testing.assert_allclose(small[0, 3], (175, 57.5, 7.5), atol=1)


# Stored (C, M, Y, K) of JPEGs, 255 less the ink: colour = stored x K / 255. Of YCCK the first three are luma and
# two of chroma 128 (none), which hold the ink: 255 less luma is the colour.
STORED_INK = {
    (0, (204, 100, 10, 204)): (163, 80, 8),  # x 0.8: 163.2, 80, 8
    (0, (255, 255, 255, 0)): (0, 0, 0),
    (0, (0, 255, 255, 255)): (0, 255, 255),
    (2, (204, 128, 128, 255)): (51, 51, 51),
    (2, (204, 128, 128, 127)): (25, 25, 25),  # 51 x 127 / 255 = 25.4
    (2, (0, 128, 128, 255)): (255, 255, 255),
}


@pytest.mark.parametrize(("transform", "stored"), STORED_INK)
@pytest.mark.parametrize("progressive", [False, True])
def test_ink_of_print_shops(transform, stored, progressive):
    data = jpeg(np.full((2, 3, 4), stored, np.uint8), transform, progressive)
    assert (images.decode(data, "x") == STORED_INK[transform, stored]).all()


def test_luma_and_chroma():
    """R = Y + 1.402 (Cr - 128), B = Y + 1.772 (Cb - 128), G = Y - 0.344 (Cb - 128) - 0.714 (Cr - 128)."""
    for transform in (None, 1):
        data = jpeg(np.full((1, 1, 3), (100, 138, 178), np.uint8), transform)
        assert images.decode(data, "x")[3, 3].tolist() == [170, 61, 118]  # 170.1, 60.9, 117.7


# Where the corners of a picture come to lie when a camera noted 1 to 8, from the EXIF standard: what the first
# row and the first column of the file are. 6: the first row is the right side, the first column the top.
TURNED = {1: "ABCD", 2: "BADC", 3: "DCBA", 4: "CDAB", 5: "ACBD", 6: "CADB", 7: "DBCA", 8: "BDAC"}


@pytest.mark.parametrize("code", TURNED)
@pytest.mark.parametrize("kind", ["JPEG", "JPEG, CMYK", "PNG", "WEBP", "TIFF"])
def test_the_corners_of_a_turned_picture(kind, code):
    exif = Image.Exif()
    exif[0x0112] = code
    if kind.startswith("JPEG"):
        data = GOLDEN[kind if kind in GOLDEN else "JPEG as RGB"]
        data = data[:2] + segment(0xE1, b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")) + data[2:]
    else:
        data = encoded(DRAWN, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    decoded = images.decode(data, "x")
    assert decoded.shape == ((48, 32, 3) if code > 4 else (32, 48, 3))
    stored = dict(zip("ABCD", QUARTERS.values(), strict=True))
    assert corners(decoded) == [stored[letter] for letter in TURNED[code]]
    np.testing.assert_allclose(decoded.reshape(-1, 3).mean(axis=0), MEAN, atol=0.001)


def test_alpha_is_laid_on_white():
    """Alpha 51 is a fifth: c / 5 + 204. Alpha 0 is white whatever the colour."""
    drawn = np.array([[(200, 100, 0, 51), (1, 2, 3, 0)], [(0, 0, 0, 204), (9, 8, 7, 255)]], np.uint8)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        assert corners(images.decode(encoded(drawn, kind, **options), "x")) == [
            *((244, 224, 204), (255, 255, 255)),
            *((51, 51, 51), (9, 8, 7)),
        ]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_of_a_strip_the_pixel_in_the_middle_is_kept(kind):
    """The centre of 3000 is pixel 1499, since a corner is a whole pixel: (3000 - 1) // 2.

    Drawn 256 times as large it goes over into its neighbours, half of it at either border: left
    0.502 (10, 20, 30) + 0.498 (255, 0, 0) = (132, 10, 15), right with (0, 0, 255) (5, 10, 142).
    """
    strip = np.zeros((1, 3000, 3), np.uint8)
    strip[0, 1498:1501] = (255, 0, 0), (10, 20, 30), (0, 0, 255)
    expected = [(132, 10, 15), (10, 20, 30), (5, 10, 142)]
    across = images.load(encoded(strip, kind), 256)
    upright = images.load(encoded(strip.transpose(1, 0, 2), kind), 256)
    for line in (across[0], across[255], upright[:, 0], upright[:, 255]):
        assert np.abs(line[[0, 127, 255]].astype(int) - expected).max() <= 2
