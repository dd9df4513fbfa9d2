"""Convert a decoded image to RGB, as a viewer would show it on white.

Greys of other depths are scaled to 8 bits, transparency is composited on white, and colours that a profile describes
become those of sRGB: without, Adobe RGB looks pale and a print shop's CMYK garish.
"""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from cualex.data.image_kinds import DECODING, FIRST_DECODING
from cualex.errors import ImageError

_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_SIGNED = (2,)
# The modes that a profile's colour space describes.
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# A profile whose colours differ from sRGB's by no more than its own rounding is sRGB: 8 bits show nothing of it.
_SAME = 2


def convert(image: Image.Image, name: str, depth: int = 8, decoding: int = DECODING) -> tuple[Image.Image, str]:
    """Return an image of mode RGB, and a note on a colour profile that cannot be applied, or "".

    depth: bits of a PNG's sample, which Pillow does not tell.  decoding: the version, see image_kinds.py.
    Raise ImageError with `name` where the values have no defined range.
    """
    if decoding == FIRST_DECODING:
        return _converted(*_scaled(image, name, 8, decoding), None, name), ""
    transform, note = None, ""
    if profile := image.info.get("icc_profile"):
        mode = {"LAB": "LAB", "CMYK": "CMYK"}.get(image.mode, "L" if _grey(image) else "RGB")
        transform, note = _transform(profile, mode) if isinstance(profile, bytes) else (None, "")
    return _converted(*_scaled(image, name, depth, decoding), transform, name), note


def signed(image: Image.Image) -> bool:
    """Return whether the samples of a TIFF have a sign."""
    return getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT) == _SIGNED


def _grey(image: Image.Image) -> bool:
    return image.mode[0] in "1LIF" and image.mode != "LAB"


def _scaled(image: Image.Image, name: str, depth: int, decoding: int) -> tuple[Image.Image, Image.Image | None]:
    """Return the image with greys of 8 bits, and its alpha (mode L), if any."""
    alpha: Image.Image | None = None
    key = image.info.get("transparency")
    late = decoding != FIRST_DECODING
    if image.mode.startswith("I"):
        if late and isinstance(key, int):
            alpha = Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8))
        return Image.fromarray(_eight_bits(image, name, late)), alpha
    if late and image.mode == "L" and signed(image):
        return Image.fromarray(_signed(np.asarray(image).view(np.int8).astype(np.int64), 127, name)), None
    if late and image.mode == "L" and isinstance(key, int) and depth < 8:
        image.info["transparency"] = key * 255 // ((1 << depth) - 1)  # Pillow scales the pixels, not the key
    if late and image.mode == "RGB" and isinstance(key, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)  # of the pixels Pillow keeps the high bytes
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    return image, alpha


def _converted(
    image: Image.Image, alpha: Image.Image | None, transform: ImageCms.ImageCmsTransform | None, name: str
) -> Image.Image:
    """Return RGB: colours by their profile, and laid on white where there is alpha."""
    if image.mode == "F":
        raise ImageError(name, "floating-point pixels have no defined range: save it with 8 or 16 bits")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
    if transform is not None:
        if image.mode != transform.input_mode:
            image = image.convert(transform.input_mode)
        made = ImageCms.applyTransform(image, transform)
        assert made is not None  # only a transform in place returns None
        image = made
    if alpha is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.mode != "RGBA":
        image = image.convert("RGB")
        image.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """Return the transform of a profile to sRGB, with None for sRGB itself, and a note where it cannot be applied.

    The intent is perceptual, as browsers render. Threads may share a transform: applying it changes nothing in it.
    """
    if mode == "LAB":
        return None, ""  # these values are colours already
    try:
        described = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = described.profile.xcolor_space
        if _SPACES.get(space) != mode:
            return None, f"colour profile of {space.strip()[:4]!r} in an image of {mode}, ignored"
        perceptual, srgb = ImageCms.Intent.PERCEPTUAL, ImageCms.createProfile("sRGB")
        # Of greys lcms makes a table that is too coarse near black.
        exact = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        made = ImageCms.buildTransform(described, srgb, mode, "RGB", perceptual, exact)
        if mode == "CMYK":
            return made, ""
        sample = _sample(mode)
        after = ImageCms.applyTransform(sample, made)
        assert after is not None
    # lcms reports damage in several ways, and Pillow adds its own.
    except Exception:
        return None, "damaged colour profile, ignored"
    before = np.asarray(sample.convert("RGB"), np.int16)
    return (None if np.abs(np.asarray(after) - before).max() <= _SAME else made), ""


def _sample(mode: str) -> Image.Image:
    """Return all greys, or colours on a lattice of 15 levels and the greys among them."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3))


def _eight_bits(image: Image.Image, name: str, late: bool) -> np.ndarray:
    """Scale 16-bit greys to uint8: round(255 v / 65535) = (v + 128) // 257. Pillow's convert would clip at 255.

    Pillow returns 16-bit greys as mode I;16 or, where the format could hold more, as 32-bit I.
    """
    values = np.asarray(image).astype(np.int64)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE)
    if late and signed(image) and bits == (16,):
        return _signed(values, 32767, name)
    if bits == (12,):
        return ((values * 255 + 2047) // 4095).astype(np.uint8)
    if values.min() < 0 or values.max() > 65535:
        found = f"{values.min()} to {values.max()}"
        raise ImageError(name, f"grey levels from {found}, expected 0 to 65535: save it with 8 or 16 bits")
    grey = ((values + 128) // 257).astype(np.uint8)
    return 255 - grey if late and tags.get(_PHOTOMETRIC) == 0 else grey  # 0 is white there


def _signed(values: np.ndarray, white: int, name: str) -> np.ndarray:
    """Scale signed greys of 0 to `white`, half of what the same bits without a sign reach, to uint8."""
    if values.min() < 0:
        found = f"{values.min()} to {values.max()}"
        raise ImageError(name, f"signed grey levels from {found}, expected 0 to {white}: save it without sign")
    return ((values * 510 + white) // (2 * white)).astype(np.uint8)
