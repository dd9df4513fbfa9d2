"""Kinds of image files: the suffixes that name them, Pillow's formats that read them, and why another is not read."""

import re

# The pixels that a file decodes to, by version: 2 is cualex 0.1's; 3 applies colour profiles, transparency of greys of
# other depths than 8 bits, and the range of signed greys, and reads AVIF, HEIC and JPEG 2000. A run keeps its version.
DECODING, FIRST_DECODING = 3, 2

# Pillow's other formats are refused: EPS, for one, would start another program. AVIF, JPEG 2000
# and HEIF are read too, by the builds of Pillow and the package that can.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "DIB")
READ = "JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, AVIF, JPEG 2000 or HEIC"

_FIRST_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib"),
    *(".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# The suffixes of image files in a data set.
ENDINGS = (
    *_FIRST_ENDINGS,
    *(".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"),
    *(".mpo", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
)
# Suffixes of images that nothing here reads: such files are named, never passed over in silence. Cameras' raw files are
# TIFFs, of which Pillow would take a thumbnail for the image.
RAW = (
    *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".orf", ".rw2", ".raf", ".pef", ".raw"),
)
FOREIGN = (
    *RAW,
    *(".psd", ".psb", ".xcf", ".svg", ".svgz", ".eps", ".ai", ".wmf", ".emf", ".jxl", ".jxr", ".bpg", ".flif"),
    *(".ico", ".cur", ".icns", ".tga", ".pcx", ".qoi", ".dds", ".sgi", ".ras", ".xbm", ".xpm", ".jp3"),
    *(".exr", ".hdr", ".pfm", ".pam", ".fits", ".fit", ".dcm", ".dicom", ".nii", ".djvu"),
)
EXPORT = "save it as PNG or JPEG"

# Why a file of one of the later formats is not read.
LACKING = {
    "AVIF": f"AVIF, which this Pillow was built without: install Pillow 11.3 or later, or {EXPORT}",
    "JPEG2000": f"JPEG 2000, which this Pillow was built without: {EXPORT}",
    "HEIF": f"HEIC: install what reads it with pip install 'cualex[heif]', or {EXPORT}",
}
_BRANDS = {"AVIF": (b"avif", b"avis"), "HEIF": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")}
RAW_REASON = "a camera's raw file: export it as JPEG"

# The first bytes of files that are met under an image's name, and what to do about each.
_STARTS = (
    (rb"....ftypcrx |FUJIFILMCCD-RAW|II(?:RO|RS|U\0)|MMOR", RAW_REASON),
    (
        rb"....ftyp(?!avi|hei|hev|mif|msf)|\x1aE\xdf\xa3|RIFF....AVI |\x00\x00\x01\xba",
        "a video: save its frames as PNG or JPEG",
    ),
    (rb"\0\0\0\x0cJXL |\xff\x0a", f"JPEG XL is not read: {EXPORT}"),
    (rb"8BPS", f"a Photoshop file: {EXPORT}"),
    (rb"gimp xcf", f"a GIMP file: {EXPORT}"),
    (rb"%PDF", "a PDF: save its pages as PNG or JPEG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"EPS is not read, since that would run a program: {EXPORT}"),
    (rb"\x00\x00[\x01\x02]\x00[^\x00]", f"an icon: {EXPORT}"),
    (rb"v/1\x01|#\?R(?:ADIANCE|GBE)", f"an image of high dynamic range, which has no white: {EXPORT}"),
    (rb"(?s).{128}DICM", f"DICOM is not read, since its window is a choice: {EXPORT}"),
    (rb"(?si)\s*(?:<\?xml.{0,400})?(?:<!--.{0,400})?<svg", f"a drawing (SVG): {EXPORT}"),
    (rb"(?i)\s*<(?:!doctype html|html|head)", "a web page: the download failed, or saved the page for the image"),
    (rb"version https://git-lfs", "a pointer of Git LFS: fetch the image with git lfs pull"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "an archive: extract it"),
)


def endings(decoding: int = DECODING) -> tuple[str, ...]:
    """Return the suffixes of images, as a version of decoding reads them."""
    return _FIRST_ENDINGS if decoding == FIRST_DECODING else ENDINGS


def later_format(data: bytes) -> str | None:
    """Return which of the later formats (`LACKING`) a file has by its first bytes, or None."""
    if data.startswith((b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51")):
        return "JPEG2000"
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
    return next((name for name, known in _BRANDS.items() if brands.intersection(known)), None)


def is_raw(data: bytes, name: str) -> bool:
    """Return whether a file is a camera's raw file by its suffix, and a TIFF by its first bytes."""
    return name.lower().endswith(RAW) and data[:2] in (b"II", b"MM")


def why_not(data: bytes, name: str) -> str:
    """Return the reason why a file that Pillow does not recognise is not read, by its first bytes, and the way out."""
    start = data[:1024]
    for pattern, reason in _STARTS:
        if re.match(pattern, start, re.DOTALL):
            return reason
    ending = f".{name.rpartition('.')[2].lower()}"
    if ending in FOREIGN:
        return f"{ending} images are not read: {EXPORT}"
    return f"not an image, or its header is damaged (expected {READ})"


def webp_pixels(data: bytes) -> int:
    """Return the pixels in a WebP's header, 0 for any other file: opening a WebP allocates memory for them."""
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
