"""Damage files in ways that happen and in ways that are meant: the same number gives the same damage."""

import struct
import zlib

from tests.support.image_files import chunk

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 10**6, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
LONG = (*EXTREMES, 2**40, 2**60, 2**63 - 1, 2**63, 2**64 - 1)


def mutate(rng, data, others):
    """Damage a file one to three times; `others` are files that parts may come from. Never returns it as it was."""
    damaged = data
    while damaged == data:
        for _ in range(rng.integers(1, 4)):
            kind = KINDS[rng.integers(len(KINDS))]
            damaged = kind(rng, damaged, others) if damaged else data
    return damaged


def place(rng, data):
    """Choose a place: anywhere, or in the first bytes, where the header is."""
    end = len(data) if rng.random() < 0.5 else min(len(data), int(rng.choice([16, 64, 256])))
    return int(rng.integers(end))


def span(rng, data):
    """Choose a short or a long part: where it begins and ends."""
    start = place(rng, data)
    return start, min(len(data), start + int(rng.choice([1, 4, 16, 64, max(1, len(data) // 3)])))


def flip(rng, data, others):
    changed = bytearray(data)
    for _ in range(rng.integers(1, 17)):
        changed[place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def number(rng, data, others):
    """Write an extreme number over a field of 1, 2, 4 or 8 bytes, in either order of bytes."""
    start, size = place(rng, data), int(rng.choice([1, 2, 4, 8]))
    value = LONG[rng.integers(len(LONG))] % 256**size
    return data[:start] + value.to_bytes(size, rng.choice(["little", "big"])) + data[start + size :]


def cut(rng, data, others):
    return data[: place(rng, data)]


def hole(rng, data, others):
    start, end = span(rng, data)
    return data[:start] + data[end:]


def repeat(rng, data, others):
    start, end = span(rng, data)
    return data[:end] + data[start:end] * int(rng.choice([1, 2, 50])) + data[end:]


def insert(rng, data, others):
    start = place(rng, data)
    return data[:start] + rng.bytes(int(rng.integers(1, 40))) + data[start:]


def overwrite(rng, data, others):
    start, end = span(rng, data)
    value = int(rng.choice([0, 0xFF, 0x80]))
    return data[:start] + bytes([value]) * (end - start) + data[end:]


def exchange(rng, data, others):
    (a, b), (c, d) = sorted([span(rng, data), span(rng, data)])
    return data if c < b else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def splice(rng, data, others):
    """Go on with the rest of another file: from the same place or from any."""
    other, start = others[rng.integers(len(others))], place(rng, data)
    return data[:start] + other[start if rng.random() < 0.5 else place(rng, other) :]


KINDS = (flip, number, cut, hole, repeat, insert, overwrite, exchange, splice)


# --- pictures: damage that a checksum would hide, and sizes that are claimed


def chunks(png):
    """Take a PNG apart: (kind, data) for each chunk; what is left over at the end is lost."""
    place = 8
    while place + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        place += 12 + size


def sum_chunks(png):
    """Write the lengths and checksums that a PNG's chunks should have, so that what is in them is looked at."""
    return png[:8] + b"".join(chunk(kind, data) for kind, data in chunks(png))


def damage_lines(rng, png, others):
    """Damage the lines of a PNG before they are compressed."""
    parts = list(chunks(png))
    lines = zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT"))
    damage = flip if rng.random() < 0.5 else mutate
    coded = zlib.compress(damage(rng, lines, others))
    first = next(number for number, (kind, _) in enumerate(parts) if kind == b"IDAT")
    kept = [part for part in parts if part[0] != b"IDAT"]
    return png[:8] + b"".join(chunk(*part) for part in [*kept[:first], (b"IDAT", coded), *kept[first:]])


def claim(data, width, height):
    """Let a picture file's header claim another size; one whose kind is not known comes back as it is."""
    if data.startswith(b"\x89PNG"):
        return sum_chunks(data[:16] + struct.pack(">II", width, height) + data[24:])
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<ii", *(min(n, 2**31 - 1) for n in (width, height))) + data[26:]
    if data.startswith(b"GIF8"):
        short = struct.pack("<HH", min(width, 0xFFFF), min(height, 0xFFFF))
        frame = data.index(b",", 13) + 5
        return data[:6] + short + data[10:frame] + short + data[frame + 4 :]
    if data.startswith(b"\xff\xd8"):
        frame = min(n for n in (data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) if n > 0) + 5
        return data[:frame] + struct.pack(">HH", min(height, 0xFFFF), min(width, 0xFFFF)) + data[frame + 4 :]
    if data.startswith(b"II*\0"):
        return claimed_tags(data, {256: width, 257: height, 278: height})
    if data.startswith(b"RIFF"):
        return claimed_webp(data, width, height)
    if data.startswith(struct.pack("<I", 40)):  # a .dib: a BMP without its first 14 bytes
        return data[:4] + struct.pack("<ii", *(min(n, 2**31 - 1) for n in (width, height))) + data[12:]
    if data[4:8] == b"jP  ":
        return claimed_jpeg2000(data, width, height)
    if data[4:8] == b"ftyp":
        box = data.index(b"ispe") + 8
        return data[:box] + struct.pack(">II", width, height) + data[box + 8 :]
    if data[:1] == b"P":
        head = data.split(b"\n", 2)
        return b"\n".join([head[0], b"%d %d" % (width, height), *head[2:]])
    return data


def claimed_jpeg2000(data, width, height):
    """Change the size of a JPEG 2000, in the box around it and in its own header."""
    box, own = data.index(b"ihdr") + 4, data.index(b"\xff\x4f\xff\x51") + 8
    data = data[:box] + struct.pack(">II", height, width) + data[box + 8 :]
    return data[:own] + struct.pack(">II", width, height) + data[own + 8 :]


def claimed_tags(tiff, values):
    """Change tags of a TIFF's first directory into numbers of 32 bits."""
    changed = bytearray(tiff)
    (place,) = struct.unpack_from("<I", tiff, 4)
    for entry in range(place + 2, place + 2 + 12 * struct.unpack_from("<H", tiff, place)[0], 12):
        (tag,) = struct.unpack_from("<H", tiff, entry)
        if tag in values:
            struct.pack_into("<HII", changed, entry + 2, 4, 1, values[tag])
    return bytes(changed)


def claimed_webp(data, width, height):
    """Change the size of a WebP: of its canvas, or of its one frame."""
    kind, body = data[12:16], 20
    if kind == b"VP8X":
        size = b"".join((min(n, 2**24) - 1).to_bytes(3, "little") for n in (width, height))
        return data[: body + 4] + size + data[body + 10 :]
    width, height = min(width, 16383), min(height, 16383)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, body + 1)
        bits = bits >> 28 << 28 | (height - 1) << 14 | (width - 1)
        return data[: body + 1] + struct.pack("<I", bits) + data[body + 5 :]
    return data[: body + 6] + struct.pack("<HH", width, height) + data[body + 10 :]


def looped(tiff):
    """Let a TIFF's first directory be followed by itself."""
    (place,) = struct.unpack_from("<I", tiff, 4)
    end = place + 2 + 12 * struct.unpack_from("<H", tiff, place)[0]
    return tiff[:end] + struct.pack("<I", place) + tiff[end + 4 :]
