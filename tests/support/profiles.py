"""Colour profiles (ICC version 2) written byte by byte, and what they say in float64, without lcms."""

import struct

import numpy as np

# Red, green and blue in CIE XYZ under D50, as profiles hold them: columns of the matrix.
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
ADOBE_RGB = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
D50 = (0.9642, 1.0, 0.8249)


def rgb(matrix, gamma):
    """Write a profile of three colours and one gamma for all."""
    columns = zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)
    curves = {tag: curve(gamma) for tag in (b"rTRC", b"gTRC", b"bTRC")}
    return profile(b"RGB ", b"XYZ ", {b"wtpt": xyz(D50), **{tag: xyz(column) for tag, column in columns}, **curves})


def grey(gamma):
    """Write a profile of greys."""
    return profile(b"GRAY", b"XYZ ", {b"wtpt": xyz(D50), b"kTRC": curve(gamma)})


def cmyk(lab):
    """Write a profile of four inks by a table of two levels each: {(c, m, y, k) of 0 and 1: (L, a, b)}."""
    nodes = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    values = b"".join(
        bytes([round(L * 2.55), round(a + 128), round(b + 128)]) for L, a, b in (lab(*node) for node in nodes)
    )
    head = struct.pack(">4sxxxxBBBx9i", b"mft1", 4, 3, 2, *(round(65536 * n) for n in np.eye(3).ravel()))
    line = bytes(range(256))
    return profile(b"CMYK", b"Lab ", {b"wtpt": xyz(D50), b"A2B0": head + 4 * line + values + 3 * line})


def profile(space, connection, tags):
    """Write the header, the table of tags, and the tags."""
    described = {b"desc": struct.pack(">4sxxxxI", b"desc", 1) + b"\0" * 79, b"cprt": b"text\0\0\0\0none\0", **tags}
    table, body = struct.pack(">I", len(described)), b""
    start = 128 + 4 + 12 * len(described)
    for tag, data in described.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sII4sQI3iI44x",
        *(start + len(body), b"\0\0\0\0", 0x02400000, b"mntr" if space != b"CMYK" else b"prtr", space, connection),
        *(struct.pack(">6H", 2020, 1, 1, 0, 0, 0), b"acsp", b"\0\0\0\0", 0, 0, b"\0\0\0\0", 0, 0),
        *(round(65536 * value) for value in D50),
        0,
    )
    return header + table + body


def xyz(values):
    return struct.pack(">4sxxxx3i", b"XYZ ", *(round(65536 * value) for value in values))


def curve(gamma):
    return struct.pack(">4sxxxxIH", b"curv", 1, round(256 * gamma)) + b"\0\0"


def to_srgb(linear):
    """Encode linear sRGB (..., 3) from 0 to 1 as 0 to 255, by the formula of IEC 61966-2-1."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def shown(matrix, gamma, values):
    """Return what colours 0 to 255 of a profile of `rgb` are in sRGB: through XYZ, colours outside of it clipped."""
    linear = (np.asarray(values, float) / 255) ** (round(256 * gamma) / 256)
    return to_srgb(linear @ (np.linalg.inv(SRGB) @ matrix).T)


def shown_lab(lab):
    """Return what a colour L, a, b under D50 is in sRGB, 0 to 255."""
    y = (lab[0] + 16) / 116
    f = np.array([y + lab[1] / 500, y, y - lab[2] / 200])
    cubes = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return to_srgb(np.linalg.inv(SRGB) @ (cubes * np.array(D50)))
