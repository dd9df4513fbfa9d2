"""Picture files made for the tests: by Pillow, or byte by byte where the colours must not depend on an encoder."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image, kind, **options):
    """Save an array or a Pillow picture: its bytes."""
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
    """Make a picture of 3 x 2 whose palette has this colour at 7, and black elsewhere."""
    image = Image.new("P", (3, 2), 7)
    image.putpalette([0] * 21 + list(colour) + [0] * (768 - 24))
    image.info.update(info)
    return image


def changed_tag(tiff, tag, value):
    """Change a TIFF's tag that holds one number of 16 bits."""
    where = tiff.index(struct.pack("<HHI", tag, 3, 1)) + 8
    return tiff[:where] + struct.pack("<H", value) + tiff[where + 2 :]


def jpeg(squares, transform=None, progressive=False):
    """Write a JPEG of flat squares of 8 x 8 pixels without loss: uint8 (rows, columns, components), as stored.

    A flat block of value v has the one coefficient 8 (v - 128) under a quantiser of 1. `transform` is that of
    Adobe's marker: 0 as stored, 1 YCbCr, 2 YCCK.
    """
    rows, columns, components = squares.shape
    numbers = range(1, components + 1)
    adobe = b"" if transform is None else segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
    sampling = b"".join(bytes([n, 0x11, 0]) for n in numbers)
    frame = struct.pack(">BHHB", 8, 8 * rows, 8 * columns, components) + sampling
    start = segment(0xC2 if progressive else 0xC0, frame)
    # The code of a difference of n bits is n itself in 4 bits; the end of a block, the only other code, is 0.
    differences = b"\0\0\0\0\x0c" + bytes(12) + bytes(range(12))
    bits, last = [], [0] * components
    for values in squares.reshape(-1, components).tolist():
        for component, value in enumerate(values):
            step, last[component] = 8 * (value - 128) - last[component], 8 * (value - 128)
            size = abs(step).bit_length()
            bits.append(f"{size:04b}" + (f"{step + (step < 0) * ((1 << size) - 1):0{size}b}" if size else ""))
            bits.append("" if progressive else "0")
    every = scan(numbers, b"\0\0\0" if progressive else b"\0\x3f\0", "".join(bits))
    # A progressive file has scans of its own for the other coefficients; without, a reader would smooth.
    more = [scan([n], b"\x01\x3f\0", "0" * (rows * columns)) for n in numbers] if progressive else []
    codes = segment(0xC4, differences) + segment(0xC4, b"\x10\x01" + bytes(16))
    head = b"\xff\xd8" + adobe + segment(0xDB, b"\0" + b"\1" * 64) + start + codes
    return head + every + b"".join(more) + b"\xff\xd9"


def scan(components, coefficients, bits):
    """Write a scan of a JPEG: which components, which coefficients, and the bits."""
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    named = b"".join(bytes([n, 0]) for n in components)
    return segment(0xDA, bytes([len(components)]) + named + coefficients) + coded


def segment(marker, data):
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
