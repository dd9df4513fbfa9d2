"""Reading pictures: files cut short, what is no picture, sizes, scaling; test_golden_pictures.py has the colours."""

import io
import struct
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from cualex.data import image_kinds, images
from cualex.errors import PictureError
from tests.support.image_files import encoded, png

FORMATS = [*image_kinds.FORMATS[:-1], "AVIF", "JPEG2000"]
CUT = "cut short, the file ends before the picture does"
FULL = np.random.default_rng(1).integers(0, 256, (24, 31, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_anywhere_fails_or_gives_the_whole_picture(kind):
    data = encoded(FULL, kind)
    whole = images.decode(data, "x")
    reasons = set()
    for length in range(0, len(data), 7 if kind in image_kinds.FORMATS else 70):
        try:
            decoded = images.decode(data[:length], "x")
        except PictureError as error:
            reasons.add(error.reason)
        else:
            assert (decoded == whole).all()
    assert "the file is empty" in reasons
    assert kind in ("WEBP", "AVIF", "JPEG2000") or CUT in reasons


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

    monkeypatch.setattr(images.Image, "open", fail)
    with pytest.raises(PictureError) as caught:
        images.decode(b"x", "a.jpg")
    assert str(caught.value) == f"a.jpg: {reason}"


READ = "JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, AVIF, JPEG 2000 or HEIC"
NOT_A_PICTURE = f"not an image, or its header is damaged (expected {READ})"
ISO = b"\0\0\0\x18ftyp"
EXPORT = "save it as PNG or JPEG"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"Meeting on Monday\n" * 9, NOT_A_PICTURE),
        (encoded(FULL, "EPS"), f"EPS is not read, since that would run a program: {EXPORT}"),
        (encoded(FULL, "ICO"), f"an icon: {EXPORT}"),
        (ISO + b"crx \0\0\0\1crx isom", "a camera's raw file: export it as JPEG"),
        (ISO + b"isom\0\0\2\0isomavc1", "a video: save its frames as PNG or JPEG"),
        (b"\xff\x0a\xfa\x7f", f"JPEG XL is not read: {EXPORT}"),
        (b"8BPS\0\1", f"a Photoshop file: {EXPORT}"),
        (b"%PDF-1.7", "a PDF: save its pages as PNG or JPEG"),
        (b'<?xml version="1.0"?>\n<svg width="9">', f"a drawing (SVG): {EXPORT}"),
        (b"\n<!DOCTYPE html><html>", "a web page: the download failed, or saved the page for the image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS: fetch the image with git lfs pull"),
        (b"\0" * 128 + b"DICM", f"DICOM is not read, since its window is a choice: {EXPORT}"),
        (b"PK\3\4", "an archive: extract it"),
        (b"v/1\1\2\0\0\0", f"an image of high dynamic range, which has no white: {EXPORT}"),
    ],
)
def test_what_is_no_picture_is_said_in_one_line(data, reason):
    with pytest.raises(PictureError) as caught:
        images.decode(data, "notes.jpg")
    assert str(caught.value) == f"notes.jpg: {reason}"


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (encoded(FULL, "TIFF"), "a.NEF", "a camera's raw file: export it as JPEG"),
        (encoded(FULL, "TGA"), "a.tga", f".tga images are not read: {EXPORT}"),
        (b"P7\n", "b.pam", f".pam images are not read: {EXPORT}"),
    ],
)
def test_a_suffix_says_what_it_is(data, name, reason):
    with pytest.raises(PictureError) as caught:
        images.decode(data, name)
    assert str(caught.value) == f"{name}: {reason}"


@pytest.mark.parametrize("side", [7072, 20000])
def test_an_enormous_picture_is_refused_by_its_header(side):
    # The header alone: were it decoded, the error would be another. 20000 is past Pillow's own limit too.
    data = png(1, 0, b"", side)
    data = data.replace(struct.pack(">II", side, 1), struct.pack(">II", side, side))
    data = data.replace(data[29:33], struct.pack(">I", zlib.crc32(data[12:29])))
    start = time.perf_counter()
    with pytest.raises(PictureError, match=r"^wall\.png: more than 50 million pixels: scale it down$"):
        images.decode(data, "wall.png")
    assert time.perf_counter() - start < 0.5


def test_the_limit_is_the_callers():
    data = encoded(FULL, "PNG")
    assert images.decode(data, "x", pixels=24 * 31).shape == (24, 31, 3)
    with pytest.raises(PictureError, match=r"more than 0\.000743 million pixels"):
        images.decode(data, "x", pixels=24 * 31 - 1)
    with pytest.raises(PictureError, match=r"more than 0\.000743 million pixels"):
        images.load(data, 8, "x", pixels=24 * 31 - 1)


def test_a_picture_of_the_size_is_left_alone():
    picture = FULL[:24, :24]
    assert images.square(picture, 24) is picture
    assert (images.load(encoded(picture, "PNG"), 24) == picture).all()


@pytest.mark.parametrize(("shape", "left", "top"), [((24, 31), 3, 0), ((31, 24), 0, 3), ((24, 30), 3, 0)])
def test_with_the_shorter_side_right_the_centre_is_cut_out(shape, left, top):
    picture = np.random.default_rng(2).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert (images.square(picture, 24) == picture[top : top + 24, left : left + 24]).all()


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
    assert np.abs(images.square(picture, 20)[1:19, 1:19] - expected).max() <= 1.01


def test_a_large_jpeg_is_decoded_smaller_but_looks_the_same():
    rows, columns = np.mgrid[:512, :768]
    photo = np.stack([rows // 2, columns // 3, (rows + columns) // 6], axis=2).astype(np.uint8)
    data = encoded(photo, "JPEG", quality=95)
    quick = images.load(data, 64).astype(int)
    exact = images.square(images.decode(data, "x"), 64)
    assert (quick != exact).any()
    assert np.abs(quick - exact).max() <= 3
    assert (images.load(data, 129) == images.square(images.decode(data, "x"), 129)).all()


def test_files_are_read_and_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(FULL, "PNG"))
    assert (images.load(path, 24) == images.square(FULL, 24)).all()
    assert (images.load(str(path), 24) == images.square(FULL, 24)).all()
    missing = tmp_path / "b.png"
    with pytest.raises(PictureError) as caught:
        images.load(missing, 24)
    assert str(caught.value) == f"{missing}: cannot be read (No such file or directory)"
    with pytest.raises(PictureError, match=r"^pets: cannot be read \(Is a directory\)$"):
        images.load(tmp_path, 24, "pets")
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(PictureError, match=r"c\.png: the file is empty$"):
        images.load(tmp_path / "c.png", 24)


def test_a_file_too_large_for_a_picture_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "BYTES", 5_000_000)
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(6_000_000)
    with pytest.raises(PictureError, match=r"film\.jpg: larger than 5 MB, too large for an image$"):
        images.load(path, 24)


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
                images.decode(data, "x")
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == before
