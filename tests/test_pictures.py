"""Picture files of every kind, made here, against the colours that they must give."""

import io
import struct
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from cualex.data import pictures
from cualex.errors import PictureError


def encoded(image, kind, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth, colour, pixels, width, *chunks):
    """Write one row as PNG, in the depths and colour types that Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" + pixels))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + data + chunk(b"IEND", b"")


def palette(colour, **info):
    image = Image.new("P", (3, 2), 7)
    image.putpalette([0] * 21 + list(colour) + [0] * (768 - 24))
    image.info.update(info)
    return image


def changed_tag(tiff, tag, value):
    """Change a TIFF's tag that holds one number of 16 bits."""
    where = tiff.index(struct.pack("<HHI", tag, 3, 1)) + 8
    return tiff[:where] + struct.pack("<H", value) + tiff[where + 2 :]


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
    decoded = pictures.decode(data, kind)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert decoded[0].tolist() == row


@pytest.mark.parametrize("kind", NEAR)
def test_lossy_modes_become_rgb(kind):
    data, colour = NEAR[kind]
    assert np.abs(pictures.decode(data, kind).reshape(-1, 3).mean(axis=0) - colour).max() <= 5


def test_greys_of_12_bits_are_scaled_by_their_own_white():
    # Pillow writes no 12-bit TIFF: one of 16 bits is changed, and two pixels packed into three of its bytes.
    data = bytearray(changed_tag(encoded(np.zeros((1, 2), np.uint16), "TIFF"), 258, 12))
    assert data[-4:] == bytes(4)
    data[-4:] = b"\xff\xf8\x00\x00"  # 0xFFF and 0x800
    assert pictures.decode(bytes(data), "scan")[0].tolist() == [[255] * 3, [128] * 3]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[-1, 5]], np.int32), "greys from -1 to 5, expected 0 to 65535: save it with 8 or 16 bits"),
        (
            np.array([[0, 65536]], np.int32),
            "greys from 0 to 65536, expected 0 to 65535: save it with 8 or 16 bits",
        ),
        (np.ones((1, 2), np.float32), "floating-point pixels have no fixed white: save it with 8 or 16 bits"),
    ],
)
def test_numbers_without_a_white_are_refused(values, reason):
    with pytest.raises(PictureError) as caught:
        pictures.decode(encoded(values, "TIFF"), "scan.tif")
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
    assert pictures.decode(data, "x").tolist() == ORIENTATIONS[code](STORED).tolist()


@pytest.mark.parametrize("code", ORIENTATIONS)
@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_orientation_of_jpegs(mode, code):
    # Four flat quarters of 16 pixels survive the compression.
    stored = np.kron(np.array([[0, 80, 160], [240, 200, 40]], np.uint8), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = code
    decoded = pictures.decode(
        encoded(Image.fromarray(stored).convert(mode), "JPEG", quality=95, exif=exif), "x"
    )
    expected = ORIENTATIONS[code](np.repeat(stored[:, :, None], 3, axis=2)).astype(int)
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() <= 12


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert (pictures.decode(data, "x") == (255, 0, 0)).all()


CUT = "cut short, the file ends before the picture does"
FULL = np.random.default_rng(1).integers(0, 256, (24, 31, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_a_file_cut_anywhere_fails_or_gives_the_whole_picture(kind):
    data = encoded(FULL, kind)
    whole = pictures.decode(data, "x")
    reasons = set()
    for length in range(0, len(data), 7):
        try:
            decoded = pictures.decode(data[:length], "x")
        except PictureError as error:
            reasons.add(error.reason)
        else:
            assert (decoded == whole).all()
    assert "the file is empty" in reasons
    assert kind == "WEBP" or CUT in reasons


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (TypeError("an odd\n  fault"), "damaged (an odd fault)"),
        (MemoryError(), "damaged (MemoryError)"),
        (SyntaxError("not a TIFF file"), "damaged (not a TIFF file)"),
        (OSError("image file is truncated (9 bytes not processed)"), CUT),
    ],
)
def test_whatever_pillow_raises_is_the_pictures_fault(failure, reason, monkeypatch):
    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr(pictures.Image, "open", fail)
    with pytest.raises(PictureError) as caught:
        pictures.decode(b"x", "a.jpg")
    assert str(caught.value) == f"a.jpg: {reason}"


NOT_A_PICTURE = "not a picture, or damaged at its start (expected JPEG, PNG, WebP, BMP, GIF, TIFF or PPM)"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"Meeting on Monday\n" * 9, NOT_A_PICTURE),
        (encoded(FULL, "EPS"), NOT_A_PICTURE),
        (encoded(FULL, "ICO"), NOT_A_PICTURE),
    ],
)
def test_what_is_no_picture_is_said_in_one_line(data, reason):
    with pytest.raises(PictureError, match=r".") as caught:
        pictures.decode(data, "notes.jpg")
    assert str(caught.value) == f"notes.jpg: {reason}"


@pytest.mark.parametrize("side", [7072, 20000])
def test_an_enormous_picture_is_refused_by_its_header(side):
    # The header alone: were it decoded, the error would be another. 20000 is past Pillow's own limit too.
    data = png(1, 0, b"", side)
    data = data.replace(struct.pack(">II", side, 1), struct.pack(">II", side, side))
    data = data.replace(data[29:33], struct.pack(">I", zlib.crc32(data[12:29])))
    start = time.perf_counter()
    with pytest.raises(PictureError, match=r"^wall\.png: more than 50 million pixels: scale it down$"):
        pictures.decode(data, "wall.png")
    assert time.perf_counter() - start < 0.5


def test_the_limit_is_the_callers():
    data = encoded(FULL, "PNG")
    assert pictures.decode(data, "x", pixels=24 * 31).shape == (24, 31, 3)
    with pytest.raises(PictureError, match=r"more than 0\.000743 million pixels"):
        pictures.decode(data, "x", pixels=24 * 31 - 1)
    with pytest.raises(PictureError, match=r"more than 0\.000743 million pixels"):
        pictures.load(data, 8, "x", pixels=24 * 31 - 1)


def test_a_picture_of_the_size_is_left_alone():
    picture = FULL[:24, :24]
    assert pictures.square(picture, 24) is picture
    assert (pictures.load(encoded(picture, "PNG"), 24) == picture).all()


@pytest.mark.parametrize(("shape", "left", "top"), [((24, 31), 3, 0), ((31, 24), 0, 3), ((24, 30), 3, 0)])
def test_with_the_shorter_side_right_the_centre_is_cut_out(shape, left, top):
    picture = np.random.default_rng(2).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert (pictures.square(picture, 24) == picture[top : top + 24, left : left + 24]).all()


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
def test_scaling_is_antialiased_and_keeps_the_aspect(shape):
    # Reduced to a third, the bilinear filter is a triangle over 6 pixels: weights 1, 3, 5, 5, 3, 1 over 18.
    picture = np.random.default_rng(3).integers(0, 256, (*shape, 3)).astype(np.uint8)
    top, left = (shape[0] - 60) // 2, (shape[1] - 60) // 2
    weights = np.zeros((20, 60))
    for row in range(1, 19):
        near = np.abs((np.arange(60) + 0.5) - (row + 0.5) * 3)
        weights[row] = np.maximum(0, 1 - near / 3)
        weights[row] /= weights[row].sum()
    centre = picture[top : top + 60, left : left + 60].astype(float)
    expected = np.einsum("ai,bj,ijc->abc", weights, weights, centre)[1:19, 1:19]
    # Two passes, each rounded to a whole level.
    assert np.abs(pictures.square(picture, 20)[1:19, 1:19] - expected).max() <= 1.01


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1), (2, 3), (1, 2_000_000)])
def test_extreme_shapes(shape):
    data = encoded(Image.new("RGB", (shape[1], shape[0]), (9, 99, 200)), "PNG")
    for made in (pictures.load(data, 256), pictures.square(pictures.decode(data, "x"), 256)):
        assert made.shape == (256, 256, 3)
        assert (made == (9, 99, 200)).all()


def test_a_large_jpeg_is_decoded_smaller_but_looks_the_same():
    rows, columns = np.mgrid[:512, :768]
    photo = np.stack([rows // 2, columns // 3, (rows + columns) // 6], axis=2).astype(np.uint8)
    data = encoded(photo, "JPEG", quality=95)
    quick = pictures.load(data, 64).astype(int)
    exact = pictures.square(pictures.decode(data, "x"), 64)
    assert (quick != exact).any()
    assert np.abs(quick - exact).max() <= 3
    assert (pictures.load(data, 129) == pictures.square(pictures.decode(data, "x"), 129)).all()


def test_files_are_read_and_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(FULL, "PNG"))
    assert (pictures.load(path, 24) == pictures.square(FULL, 24)).all()
    assert (pictures.load(str(path), 24) == pictures.square(FULL, 24)).all()
    missing = tmp_path / "b.png"
    with pytest.raises(PictureError) as caught:
        pictures.load(missing, 24)
    assert str(caught.value) == f"{missing}: cannot be read (No such file or directory)"
    with pytest.raises(PictureError, match=r"^pets: cannot be read \(Is a directory\)$"):
        pictures.load(tmp_path, 24, "pets")
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(PictureError, match=r"c\.png: the file is empty$"):
        pictures.load(tmp_path / "c.png", 24)


def test_a_file_too_large_for_a_picture_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "BYTES", 5_000_000)
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(6_000_000)
    with pytest.raises(PictureError, match=r"film\.jpg: larger than 5 MB, too much for a picture$"):
        pictures.load(path, 24)


def test_pillows_warnings_stay_inside_in_every_thread():
    # EXIF cut short makes Pillow warn; with warnings as errors, as here, the picture would be lost.
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(FULL, "JPEG", exif=exif.tobytes()[:20])
    with pytest.raises(UserWarning, match=r"."):
        Image.open(io.BytesIO(data))
    before = list(warnings.filters)
    failures = []

    def work():
        for _ in range(40):
            try:
                pictures.decode(data, "x")
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == before
