"""Normal numbers: their formula, their distribution, and bits that no library decides."""

import hashlib
import math

import numpy as np

from cualex.random import philox
from cualex.random.normals import normals

ROUNDING = 2.0**-52


def drawn(count):
    """Draw words in four rows."""
    return philox.words(7, philox.COLOURS, 0, 0, 4 * count).reshape(4, count)


def test_they_are_those_of_box_and_muller():
    """Against the library's functions. Radius and turn lie within 16 roundings: 3 doublings double a few of them."""
    words = np.concatenate([drawn(20_000), np.array([[0, 2**32 - 1, 2**31]] * 4, np.uint32)], axis=1)
    uniform = (words.astype(np.float64) + 0.5) / 2.0**32
    radius, turn = np.sqrt(-2 * np.log(uniform[0::2])), 2 * math.pi * (uniform[1::2] - 0.5)
    found = normals(words)
    assert np.abs(found[0::2] - radius * np.cos(turn)).max() <= 16 * ROUNDING * radius.max()
    assert np.abs(found[1::2] - radius * np.sin(turn)).max() <= 16 * ROUNDING * radius.max()


def test_the_bits_are_fixed():
    """Any machine: only operations that IEEE 754 rounds in one way."""
    found = normals(drawn(1000)).astype("<f8")
    assert hashlib.sha256(found.tobytes()).hexdigest() == DIGEST


DIGEST = "ae2a7d588d1cbc2fef963bf020cd355cbe97eb1985735d8bf0ff1f1954da423f"


def test_they_are_normal_and_know_nothing_of_each_other():
    count = 100_000
    found = normals(drawn(count))
    assert np.abs(found.mean(axis=1)).max() < 5 / math.sqrt(count)
    # The variance of z^2 is 2, that of z^4 is 96, that of z1 z2 is 1: five deviations.
    assert np.abs((found**2).mean(axis=1) - 1).max() < 5 * math.sqrt(2 / count)
    assert np.abs((found**4).mean(axis=1) - 3).max() < 5 * math.sqrt(96 / count)
    assert np.abs(found @ found.T / count - np.diag(np.diag(found @ found.T)) / count).max() < 5 / math.sqrt(count)
    # Kolmogorov: the share below x is off by more than 2.2 / sqrt(n) once in ten thousand.
    for row in found:
        exact = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in np.sort(row)[::50]])
        assert np.abs(exact - np.arange(0, count, 50) / count).max() < 2.2 / math.sqrt(count)


def test_a_column_does_not_depend_on_the_others():
    words = drawn(1003)
    whole = normals(words)
    for part in (slice(0, 1), slice(1, 8), slice(500, 1003)):
        assert (normals(words[:, part]) == whole[:, part]).all()
