"""The five figures of the demo set as signed distances of the pixels, in integers.

Lengths are in sixteenths of a pixel, areas in their squares, all int32, so that every machine and every NumPy gives the
same pixels. A distance is negative inside the figure, and accurate at its edge, which is antialiased over one pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

PIXEL = 16  # lengths are counted in this part of a pixel
TURN = 256  # directions are counted in this part of a full turn
UNIT = 4096  # sines and cosines are counted in this part of one

SINES = tuple(round(UNIT * math.sin(2 * math.pi * step / TURN)) for step in range(TURN))


def turned(across: np.ndarray, down: np.ndarray, direction: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn coordinates by `direction` / 256 of a full turn."""
    sine, cosine = SINES[direction % TURN], SINES[(direction + TURN // 4) % TURN]
    return (cosine * across + sine * down) >> 12, (cosine * down - sine * across) >> 12


def disc(across: np.ndarray, down: np.ndarray, area: int) -> np.ndarray:
    """Return the distance to a disc: radius r with area = pi r^2."""
    radius = math.isqrt(area * 1000 // 3142)
    return (across * across + down * down - radius * radius) // (2 * radius)


def ring(across: np.ndarray, down: np.ndarray, area: int) -> np.ndarray:
    """Return the distance to a ring with a hole of half the radius: area = pi r^2 (1 - 1/4)."""
    radius = math.isqrt(area * 1000 // 2356)
    hole = radius // 2
    square = across * across + down * down
    return np.maximum((square - radius * radius) // (2 * radius), (hole * hole - square) // (2 * hole))


def triangle(across: np.ndarray, down: np.ndarray, area: int) -> np.ndarray:
    """Return the distance to a triangle of equal sides: inner radius r with area = 3 sqrt(3) r^2."""
    radius = math.isqrt(area * 1000 // 5196)
    slanted = (3547 * np.abs(across) - 2048 * down) >> 12  # along (sqrt(3)/2, -1/2): both upper sides at once
    return np.maximum(slanted, down) - radius


def cross(across: np.ndarray, down: np.ndarray, area: int) -> np.ndarray:
    """Return the distance to a cross of bars three times as long as wide: area = 20 w^2, w half a width."""
    half = math.isqrt(area // 20)
    near, far = np.abs(across), np.abs(down)
    return np.maximum(np.minimum(near, far) - half, np.maximum(near, far) - 3 * half)


def bars(across: np.ndarray, down: np.ndarray, area: int) -> np.ndarray:
    """Return the distance to three parallel bars, one bar's width apart: area = 60 w^2, w half a width."""
    half = math.isqrt(area // 60)
    side = np.abs(down)
    return np.maximum(np.minimum(side, np.abs(side - 4 * half)) - half, np.abs(across) - 5 * half)


FIGURES: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "disc": disc,
    "ring": ring,
    "triangle": triangle,
    "cross": cross,
    "bars": bars,
}


def coverage(distance: np.ndarray) -> np.ndarray:
    """Return the coverage of the pixels by a figure, in sixteenths: 16 inside, 0 outside."""
    return np.clip(PIXEL // 2 - distance, 0, PIXEL)
