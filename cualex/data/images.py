"""Turn the bytes of a picture file into RGB, whatever the file holds.

A user's folder holds greys, palettes, transparent drawings, CMYK from a print shop, 16-bit scans and
photographs that lie on their side. Each becomes uint8 (rows, columns, 3), 0 to 255, as a viewer would show it
on white. What cannot be read raises PictureError with a reason in plain words; Pillow's own errors,
warnings and messages stay in here.
"""

import contextlib
import ctypes
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from cualex.data.pillow_warnings import quiet
from cualex.errors import PictureError

# Everything else Pillow can open stays shut: EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# The endings by which a picture is known in a data set.
ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib"),
    *(".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
PIXELS = 50_000_000
# 50 million pixels of four 16-bit channels, never compressed, and room for metadata: more is no picture.
BYTES = 500_000_000

# The reason of a picture whose end is missing.
TRUNCATED = "cut short, the file ends before the picture does"

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
_BITS_PER_SAMPLE = 258


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture file says of itself: its format and mode in Pillow's words, and its size before any turn."""

    format: str
    mode: str
    rows: int
    columns: int


def decode(data: bytes, name: str, *, pixels: int = PIXELS) -> np.ndarray:
    """Decode a picture file: uint8 (rows, columns, 3), RGB.

    Greys are repeated over the channels, transparency is laid on white, 16-bit greys are scaled from 0-65535
    to 0-255, the orientation noted by the camera is applied, and of an animation the first frame is taken.

    The header is read first: a picture of more than `pixels` is refused before anything is decoded. Raise
    PictureError, which carries `name`.
    """
    return np.array(_opened(data, name, pixels)[0])


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """Scale the shorter side to `size` and keep the centre: uint8 (size, size, 3).

    The centre square is what gets resampled, with Pillow's antialiased bilinear filter, so a strip of 1 ×
    5000 needs no more memory than any other. A picture of that size already comes back unchanged.
    """
    if picture.shape[:2] == (size, size):
        return picture
    return np.array(_squared(Image.fromarray(picture), size))


def load(source: str | Path | bytes, size: int, name: str | None = None, *, pixels: int = PIXELS) -> np.ndarray:
    """Read a file, or take its bytes, and make it square: uint8 (size, size, 3).

    The same as `square(decode(...), size)`, but that a JPEG at least four times too large is decoded at a
    half, a quarter or an eighth of its size, never below twice `size`: several times faster for photographs.

    Raise PictureError with `name`, by default the path.
    """
    if isinstance(source, bytes):
        return inspect(source, size, name or "picture", pixels=pixels)[0]
    name = name or str(source)
    return load(read(source, name), size, name, pixels=pixels)


def inspect(data: bytes, size: int, name: str, *, pixels: int = PIXELS) -> tuple[np.ndarray, Header]:
    """Decode a picture file as `load` does, and return what its header says beside the pixels."""
    image, header = _opened(data, name, pixels, 2 * size)
    return np.array(_squared(image, size)), header


def read(path: str | Path, name: str) -> bytes:
    """Read a picture file's bytes, or raise PictureError."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            # A pipe or a device says 0, and may never end.
            data = file.read(BYTES + 1) if size == 0 else b"" if size > BYTES else file.read()
            if max(size, len(data)) > BYTES:
                raise PictureError(name, f"larger than {BYTES // 1_000_000} MB, too large for an image")
            return data
    except OSError as error:
        raise PictureError(name, f"cannot be read ({error.strerror or error})") from None


def _opened(data: bytes, name: str, pixels: int, smallest: int | None = None) -> tuple[Image.Image, Header]:
    """Decode into a Pillow picture of mode RGB; a JPEG scaled down on the way, but never below `smallest`.

    The header is what the file says before that.
    """
    if not data:
        raise PictureError(name, "the file is empty")
    too_large = f"more than {pixels / 1e6:g} million pixels: scale it down"
    with quiet():
        try:
            if _webp_pixels(data) > pixels:
                raise PictureError(name, too_large)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > pixels:
                raise PictureError(name, too_large)
            header = Header(image.format, image.mode, image.height, image.width)
            if smallest is not None:
                image.draft(None, (smallest, smallest))
            image.load()
            turn = _turn(image)
            image = _rgb(image, name)
            return (image if turn is None else image.transpose(turn)), header
        except PictureError:
            raise
        except Image.DecompressionBombError:
            raise PictureError(name, too_large) from None
        except Image.UnidentifiedImageError:
            kinds = "JPEG, PNG, WebP, BMP, GIF, TIFF or PPM"
            raise PictureError(name, f"not an image, or its header is damaged (expected {kinds})") from None
        # Damaged files bring out more kinds of exception than Pillow names, TypeError among them.
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            text = TRUNCATED if "truncated" in text.lower() else f"damaged ({text[:100]})"
            raise PictureError(name, text) from None


def _webp_pixels(data: bytes) -> int:
    """Count the pixels that a WebP's header claims, 0 for any other file: to open one takes the memory for them."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return 0
    if data[12:16] == b"VP8X":
        return (_number(data[24:27]) + 1) * (_number(data[27:30]) + 1)
    if data[12:16] == b"VP8L":
        sides = _number(data[21:25])
        return ((sides & 0x3FFF) + 1) * ((sides >> 14 & 0x3FFF) + 1)
    return (_number(data[26:28]) & 0x3FFF) * (_number(data[28:30]) & 0x3FFF)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _rgb(image: Image.Image, name: str) -> Image.Image:
    """Convert any mode to RGB, as a viewer would show it on white."""
    mode = image.mode
    if mode.startswith("I"):
        return Image.fromarray(_grey(image, name)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    if mode == "F":
        raise PictureError(name, "floating-point pixels have no defined range: save it with 8 or 16 bits")
    if mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        return ImageCms.applyTransform(image, transform)
    return image if mode == "RGB" else image.convert("RGB")


def _grey(image: Image.Image, name: str) -> np.ndarray:
    """Scale greys of 16 bits to uint8: round(255 v / 65535) = (v + 128) // 257. Pillow's own convert cuts at
    255.

    Pillow hands out 16-bit greys as I;16 or, where the file could hold more, as 32-bit I.
    """
    values = np.asarray(image).astype(np.int64)
    if getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE) == (12,):
        return ((values * 255 + 2047) // 4095).astype(np.uint8)
    if values.min() < 0 or values.max() > 65535:
        found = f"{values.min()} to {values.max()}"
        raise PictureError(name, f"grey levels from {found}, expected 0 to 65535: save it with 8 or 16 bits")
    return ((values + 128) // 257).astype(np.uint8)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Find the turn that the camera noted (EXIF, or XMP); damaged notes count as none."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:
        return None


def _squared(image: Image.Image, size: int) -> Image.Image:
    """Resample the centre square; its corners are whole pixels, so at scale 1 nothing is blurred."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


# libtiff writes what it finds wrong straight to the terminal, without the picture's name, and Pillow lets it. The
# library is found through Pillow's; where it is built in, there is no way to reach it.
with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
