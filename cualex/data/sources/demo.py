"""The built-in `demo` set: ten classes of drawn images, the same bytes on every machine.

A class is a figure and an arrangement of colours: `warm-ring` is a warm ring (red to yellow) on a cool ground
(green to violet), `cool-ring` a cool ring on a warm one. Neither colour nor form alone determines a class:

* every image has both kinds of colour, and all figures have one distribution of areas, so that the mean colour tells
  at best the arrangement: two classes in ten;
* whether figure or ground is brighter is drawn for every image, so that a grey copy tells at best the figure: five
  classes in ten.

Position, size, direction, hue, brightness, shading, grain and specks differ from image to image.
An image is a pure function of (seed, split, class, number), computed in integers from Philox words.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterator

import numpy as np

from cualex.data.sources import Image, Source, demo_shapes
from cualex.random import philox

SIZE = 96  # pixels a side
IMAGES = {"train": 300, "val": 50}  # per class
CLASSES = tuple(f"{kind}-{figure}" for figure in demo_shapes.FIGURES for kind in ("warm", "cool"))
CHOICES = 160  # words set aside for everything but the grain
SPECKS = 6  # small discs of either kind of colour, so that a patch of colour is not yet a figure

# Red, green and blue of three colours, minus their brightness (299 red + 587 green + 114 blue) / 1000:
# added to any brightness they give it a hue, and leave a grey copy unchanged.
HUES = {
    "warm": ((120, -50, -55), (83, -17, -127), (33, 13, -157)),
    "cool": ((-90, 40, 30), (-49, 1, 121), (13, -27, 103)),
}

# A lattice of six by six numbers, spread over the image by straight lines between neighbours, in 19ths.
LATTICE = 6
SPREAD = np.maximum(0, 19 - np.abs(np.arange(SIZE)[:, None] - 19 * np.arange(LATTICE))).astype(np.int32)

MIDDLE = SIZE * demo_shapes.PIXEL // 2
ACROSS, DOWN = (demo_shapes.PIXEL * axis + demo_shapes.PIXEL // 2 for axis in np.indices((SIZE, SIZE), np.int32)[::-1])


class Chance:
    """Random integers of one image, in order, from the Philox words of its position in the set."""

    def __init__(self, seed: int, split: str, label: int, number: int) -> None:
        """Draw the words of image `number` of class `label` of `split`."""
        position = tuple(IMAGES).index(split) << 32 | number
        self.words = philox.words(seed, philox.DEMO, label, position, CHOICES + SIZE * SIZE // 4)
        self.choices = iter(self.words[:CHOICES].tolist())

    def between(self, low: int, high: int) -> int:
        """Return a number of low ... high, both included."""
        return low + (next(self.choices) * (high - low + 1) >> 32)

    def lattice(self) -> np.ndarray:
        """Return numbers of 0 ... 255 (LATTICE, LATTICE) int32."""
        drawn = [next(self.choices) >> 24 for _ in range(LATTICE * LATTICE)]
        return np.array(drawn, np.int32).reshape(LATTICE, LATTICE)

    def grain(self) -> np.ndarray:
        """Return a number of 0 ... 255 for each pixel (SIZE, SIZE) int32."""
        lowest_byte_first = self.words[CHOICES:].astype("<u4", copy=False).view(np.uint8)
        return lowest_byte_first.astype(np.int32).reshape(SIZE, SIZE)


def tint(chance: Chance, kind: str) -> np.ndarray:
    """Return a random hue of a kind, to be added to brightness: int32 (3, 1, 1)."""
    position, strength = chance.between(0, 127), chance.between(40, 64)
    first, second = HUES[kind][position // 64], HUES[kind][position // 64 + 1]
    mixed = [(64 - position % 64) * one + position % 64 * other for one, other in zip(first, second, strict=True)]
    return np.array([channel * strength >> 12 for channel in mixed], np.int32).reshape(3, 1, 1)


def surface(chance: Chance, brightness: int) -> np.ndarray:
    """Return brightness (SIZE, SIZE): a slope across the image and soft clouds."""
    slope, _ = demo_shapes.turned(ACROSS - MIDDLE, DOWN - MIDDLE, chance.between(0, 255))
    clouds = SPREAD @ chance.lattice() @ SPREAD.T  # 0 ... 19 x 19 x 255
    slope = slope * chance.between(0, 24) >> 10
    clouds = clouds * chance.between(8, 40) // (19 * 19 * 255)
    return brightness - 12 + slope + clouds


def draw(chance: Chance, kind: str, figure: str) -> np.ndarray:
    """Draw one image: (SIZE, SIZE, 3) uint8."""
    other = "cool" if kind == "warm" else "warm"
    dark = chance.between(60, 130)
    light = dark + chance.between(35, 80)
    front, back = (light, dark) if chance.between(0, 1) else (dark, light)

    canvas = surface(chance, back) + tint(chance, other)
    area = (2 * MIDDLE) ** 2 * chance.between(18, 32) // 100
    shift = demo_shapes.PIXEL * SIZE // 10
    across = ACROSS - MIDDLE - chance.between(-shift, shift)
    down = DOWN - MIDDLE - chance.between(-shift, shift)
    distance = demo_shapes.FIGURES[figure](*demo_shapes.turned(across, down, chance.between(0, 255)), area)
    covered = demo_shapes.coverage(distance)
    canvas += (surface(chance, front) + tint(chance, kind) - canvas) * covered >> 4

    for _ in range(SPECKS):
        speck(chance, canvas)
    canvas += chance.grain() * chance.between(4, 24) // 256
    return np.ascontiguousarray(canvas.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def speck(chance: Chance, canvas: np.ndarray) -> None:
    """Lay a small disc of any colour and brightness on the canvas (3, SIZE, SIZE)."""
    box = 12
    top, left = chance.between(0, SIZE - box), chance.between(0, SIZE - box)
    window = canvas[:, top : top + box, left : left + box]
    radius = demo_shapes.PIXEL * chance.between(2, 5)
    centre = demo_shapes.PIXEL * box // 2
    area = radius * radius * 3142 // 1000
    covered = demo_shapes.coverage(demo_shapes.disc(ACROSS[:box, :box] - centre, DOWN[:box, :box] - centre, area))
    colour = chance.between(60, 210) + tint(chance, ("warm", "cool")[chance.between(0, 1)])
    window += (colour - window) * covered >> 4


def bitmap(pixels: np.ndarray) -> bytes:
    """Write pixels (SIZE, SIZE, 3) as a BMP file: nothing to compress, and rows of whole words to read."""
    rows = pixels[::-1, :, ::-1].tobytes()  # the last row first; blue, green, red
    file = struct.pack("<2sIII", b"BM", 54 + len(rows), 0, 54)
    image = struct.pack("<IiiHHIIiiII", 40, SIZE, SIZE, 1, 24, 0, len(rows), 2835, 2835, 0, 0)
    return file + image + rows


def encoded(seed: int, split: str, label: int, number: int) -> bytes:
    """Return one image of the set as the bytes of a BMP file."""
    kind, figure = CLASSES[label].split("-")
    return bitmap(draw(Chance(seed, split, label, number), kind, figure))


def source(seed: int = 0) -> Source:
    """Return the demo set; an image is drawn when it is read, in less than a millisecond.

    The identity is the digest of one image a class, so that packs are rebuilt when the drawing changes.
    """
    splits = {split: tuple(listed(seed, split, count)) for split, count in IMAGES.items()}
    samples = b"".join(encoded(seed, "train", label, 0) for label in range(len(CLASSES)))
    identity = hashlib.sha256(repr((seed, IMAGES)).encode() + samples).hexdigest()
    return Source("demo", identity, CLASSES, splits, ("demo is drawn by cualex: no photographs",))


def listed(seed: int, split: str, count: int) -> Iterator[Image]:
    """Yield `count` images a class of a split, class by class."""
    for label, name in enumerate(CLASSES):
        for number in range(count):
            read = functools.partial(encoded, seed, split, label, number)
            yield Image(f"{split}/{name}/{number:04}.bmp", label, read)
