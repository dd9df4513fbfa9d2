"""Decode image files to RGB, whatever their mode.

A user's folder holds greys, palettes, transparent drawings, CMYK from a print shop, 16-bit scans and photographs that
lie on their side. They become uint8 (rows, columns, 3), 0 to 255, as a viewer would show them on white. A file that
cannot be read raises ImageError with a reason; Pillow's errors, warnings and messages do not leave this file.
"""

import contextlib
import ctypes
import functools
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, features

from cualex.data import image_kinds, to_rgb
from cualex.data.image_kinds import DECODING
from cualex.data.pillow_warnings import quiet
from cualex.errors import ImageError, UsageError

PIXELS = 50_000_000
# 50 million pixels of four 16-bit channels, uncompressed, and room for metadata: a larger file is no image.
BYTES = 500_000_000

# The reason of a truncated file.
TRUNCATED = "cut short, the file ends before the picture does"

# A path, the bytes of a file, pixels (rows, columns[, channels]), or a Pillow image.
ImageSource = str | Path | bytes | np.ndarray | Image.Image

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an image file: format and mode in Pillow's words, and the size before any rotation.

    note: on a colour profile that cannot be applied, or "".
    """

    format: str
    mode: str
    rows: int
    columns: int
    note: str = ""


def decode(data: bytes, name: str, *, pixels: int = PIXELS) -> np.ndarray:
    """Decode an image file: uint8 (rows, columns, 3), RGB.

    Greys are repeated over the channels, transparency is composited on white, 16-bit greys are scaled from 0-65535 to
    0-255, colours with an ICC profile become those of sRGB, the EXIF orientation is applied, and an animation gives its
    first frame.

    Raise ImageError with `name` when the file cannot be decoded, and, from the header alone, when the image has more
    than `pixels` pixels.
    """
    return np.array(_opened(data, name, pixels)[0])


def square(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the shorter side to `size` and crop the centre: uint8 (size, size, 3).

    Only the centre square is resampled, with Pillow's antialiased bilinear filter, so a strip of 1 × 5000 needs no more
    memory than another image. An image of that size already is returned unchanged.
    """
    if image.shape[:2] == (size, size):
        return image
    return np.array(_squared(Image.fromarray(image), size))


def load(
    source: ImageSource, size: int, name: str | None = None, *, pixels: int = PIXELS, decoding: int = DECODING
) -> np.ndarray:
    """Decode a file, its bytes, a Pillow image or an array to a square: uint8 (size, size, 3).

    The same as `square(decode(...), size)`, except that a JPEG file at least four times too large is decoded at a half,
    a quarter or an eighth of its size, never below twice `size`: several times faster for photographs.
    decoding: the version of decoding, see image_kinds.py.

    Raise ImageError with `name`, by default the path, and UsageError for an array that is not uint8 (rows, columns) or
    (rows, columns, 3 or 4).
    """
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        turn, (image, _) = _turn(source), to_rgb.convert(source.copy(), name or "picture", decoding=decoding)
        return np.array(_squared(image if turn is None else image.transpose(turn), size))
    if isinstance(source, bytes):
        return inspect(source, size, name or "picture", pixels=pixels, decoding=decoding)[0]
    name = name or str(source)
    return load(read(source, name), size, name, pixels=pixels, decoding=decoding)


def inspect(
    data: bytes, size: int, name: str, *, pixels: int = PIXELS, decoding: int = DECODING
) -> tuple[np.ndarray, Header]:
    """Decode an image file as `load` does; return the pixels and the header."""
    image, header = _opened(data, name, pixels, 2 * size, decoding)
    return np.array(_squared(image, size)), header


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    """Return an image, uint8 (rows, columns, 3), or 4 of a PNG, as the bytes of a file: "PNG" or "JPEG"."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **({"quality": 88} if kind == "JPEG" else {}))
    return file.getvalue()


def same_before(data: bytes) -> bool:
    """Return whether an image file decodes to the same pixels as in the first version of decoding, by its header.

    Only what may have changed is looked at, so that False may be said of an image that did not.
    """
    if image_kinds.later_format(data):
        return False
    try:
        with quiet(), Image.open(io.BytesIO(data), formats=image_kinds.FORMATS) as file:
            odd = file.format == "DIB" or file.mode[0] in "I" or to_rgb.signed(file)
            keyed = "transparency" in file.info and file.format == "PNG" and data[24] != 8
            return not (odd or keyed or file.info.get("icc_profile"))
    except Exception:  # damaged in either version
        return True


def _open(path: str, flags: int) -> int:
    """Open a file; a named pipe that nobody writes to is empty, and not waited for."""
    if not hasattr(os, "O_NONBLOCK"):
        return os.open(path, flags)
    os.set_blocking(descriptor := os.open(path, flags | os.O_NONBLOCK), True)
    return descriptor


def read(path: str | Path, name: str) -> bytes:
    """Read an image file's bytes; raise ImageError when it cannot be read or is too large."""
    try:
        with open(path, "rb", opener=_open) as file:
            size = os.fstat(file.fileno()).st_size
            # A pipe or a device has size 0, and may never end.
            data = file.read(BYTES + 1) if size == 0 else b"" if size > BYTES else file.read()
            if max(size, len(data)) > BYTES:
                raise ImageError(name, f"larger than {BYTES // 1_000_000} MB, too large for an image")
            return data
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror or error})") from None


def _from_array(array: np.ndarray) -> Image.Image:
    """Return an array as a Pillow image."""
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        expected = "uint8 (rows, columns), (rows, columns, 3) or (rows, columns, 4)"
        raise UsageError(
            f"an image as an array must be {expected}, got {array.dtype} {array.shape}; for several give a list"
        )
    return Image.fromarray(array)


def _opened(
    data: bytes, name: str, pixels: int, smallest: int | None = None, decoding: int = DECODING
) -> tuple[Image.Image, Header]:
    """Decode to a Pillow image of mode RGB, with the header; a JPEG is scaled down, but never below `smallest`."""
    if not data:
        raise ImageError(name, "the file is empty")
    too_large = f"more than {pixels / 1e6:g} million pixels: scale it down"
    with quiet():
        try:
            if image_kinds.webp_pixels(data) > pixels:
                raise ImageError(name, too_large)
            file = Image.open(io.BytesIO(data), formats=_formats(data, name, decoding))
            if file.width * file.height > pixels:
                raise ImageError(name, too_large)
            kind, mode, rows, columns = file.format or "", file.mode, file.height, file.width
            if smallest is not None:
                file.draft(None, (smallest, smallest))
            file.load()
            turn = _turn(file)
            image, note = to_rgb.convert(file, name, data[24] if kind == "PNG" else 8, decoding)
            header = Header(kind, mode, rows, columns, note)
            return (image if turn is None else image.transpose(turn)), header
        except ImageError:
            raise
        except Image.DecompressionBombError:
            raise ImageError(name, too_large) from None
        except Image.UnidentifiedImageError:
            raise ImageError(name, image_kinds.why_not(data, name)) from None
        # Damaged files raise more kinds of exception than Pillow documents, TypeError among them.
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            text = TRUNCATED if "truncated" in text.lower() else f"damaged ({text[:100]})"
            raise ImageError(name, text) from None


def _formats(data: bytes, name: str, decoding: int) -> tuple[str, ...]:
    """Return the formats that a file may have; raise ImageError for one that this installation does not read."""
    if decoding == image_kinds.FIRST_DECODING:
        return image_kinds.FORMATS[:-1]
    if image_kinds.is_raw(data, name):
        raise ImageError(name, image_kinds.RAW_REASON)
    later = image_kinds.later_format(data)
    if later is None:
        return image_kinds.FORMATS
    if later == "HEIF":
        _add_heif()
    Image.init()
    if later not in Image.OPEN or (later == "JPEG2000" and not features.check("jpg_2000")):
        raise ImageError(name, image_kinds.LACKING[later])
    return (later,)


@functools.cache
def _add_heif() -> None:
    """Have Pillow read HEIC, where the package for it is installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return the rotation in the metadata (EXIF, or XMP); damaged metadata count as none."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return None


def _squared(image: Image.Image, size: int) -> Image.Image:
    """Resample the centre square; its corners are whole pixels, so at scale 1 nothing is blurred."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


# libtiff prints its errors straight to the terminal, without the image's name, and Pillow does not stop it. The
# library is reached through Pillow's; where it is linked statically, it cannot be.
with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
