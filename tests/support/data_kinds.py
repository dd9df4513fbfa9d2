"""Right data of many kinds, and ways to spoil them: what diagnostics must keep quiet about, and what they must see.

Images are drawn from a seed; none is a photograph. A set is {class: [image, ...]}, uint8 (rows, columns, 3), the same
for training and validation but for the draws.
"""

import numpy as np
from PIL import Image

from cualex.data import colour_noise
from cualex.data.sources import demo

SIDE = 80  # pixels of most kinds


def _grid(side):
    return np.mgrid[:side, :side] / side


def _image(values):
    """Return values of 0 to 255 (rows, columns) or (rows, columns, 3) as an image."""
    values = np.repeat(values[..., None], 3, axis=-1) if values.ndim == 2 else values
    return np.clip(values, 0, 255).astype(np.uint8)


def _smooth(rng, side, coarse):
    """Draw a smooth surface: a coarse lattice of normal numbers, enlarged."""
    lattice = Image.fromarray(rng.normal(0, 1, (coarse, coarse)).astype(np.float32))
    return np.asarray(lattice.resize(side[::-1], Image.Resampling.BILINEAR))


def _demo(rng, label):
    kind, figure = demo.CLASSES[label].split("-")
    return demo.draw(demo.Chance(int(rng.integers(1 << 30)), "train", label, 0), kind, figure)


def _stripes(rng, label):
    y, x = _grid(SIDE)
    along, across = (y, x) if label == 0 else (x, y)
    wave = np.sin(2 * np.pi * (along + rng.uniform(-0.25, 0.25) * across) * rng.uniform(5, 10) + rng.uniform(0, 6.28))
    return _image(128 + 60 * wave[..., None] * rng.uniform(0.5, 1, 3) + rng.normal(0, 25, (SIDE, SIDE, 3)))


def _drawing(rng, label):
    """A filled circle, or a square, on white paper."""
    y, x = _grid(SIDE) - rng.uniform(0.35, 0.65, (2, 1, 1))
    radius = rng.uniform(0.12, 0.25)
    inside = (x**2 + y**2 if label == 0 else np.maximum(abs(x), abs(y)) ** 2) < radius**2
    return _image(np.where(inside[..., None], rng.uniform(0, 200, 3), 250.0) + rng.normal(0, 2, (SIDE, SIDE, 3)))


def _lines(rng, label):
    """Thin strokes on white: as many as the class says."""
    y, x = _grid(SIDE)
    ink = np.zeros((SIDE, SIDE))
    for _ in range(1 + 2 * label):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(0.3, 0.7)
        distance = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) - (offset - 0.5)
        ink = np.maximum(ink, np.clip(1.5 - abs(distance) * SIDE, 0, 1))
    return _image(255 - 235 * ink)


def _texture(rng, label):
    """Waves of a direction, a pitch and a colour of the class's own."""
    own = np.random.default_rng([7, label])
    angle, pitch, tint = own.uniform(0, np.pi), own.uniform(4, 14), own.uniform(40, 215, 3)
    y, x = _grid(SIDE)
    wave = np.sin(2 * np.pi * pitch * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6.28))
    return _image(tint + 40 * wave[..., None] + rng.normal(0, 20, (SIDE, SIDE, 3)))


def _photograph(rng, label, side=(150, 200)):
    """Smooth surfaces over surfaces, as in a photograph: the class has a palette, and coarser or finer forms."""
    own = np.random.default_rng([8, label])
    tint, finer, axis = own.uniform(60, 190, 3), own.uniform(0.4, 0.9), own.normal(0, 8, 3)
    forms = (3, 6, 12, 24, 48)
    light = sum(_smooth(rng, side, coarse) * 35 * finer**power for power, coarse in enumerate(forms))
    return _image(tint + light[..., None] + _smooth(rng, side, 6)[..., None] * axis)


def _grey(rng, label):
    """A bright blob in one corner of a dark noise field, without colour."""
    y, x = _grid(SIDE)
    corner = np.array([(0.3, 0.3), (0.3, 0.7), (0.7, 0.3), (0.7, 0.7)][label]) + rng.uniform(-0.1, 0.1, 2)
    blob = np.exp(-((y - corner[0]) ** 2 + (x - corner[1]) ** 2) / 0.02)
    return _image(60 + 120 * blob + rng.normal(0, 20, (SIDE, SIDE)))


def _dark(rng, label):
    """The same, hardly above black: a few levels of contrast."""
    return (_grey(rng, label) // 12).astype(np.uint8)


def _tiny(rng, label):
    return np.asarray(Image.fromarray(_demo(rng, label)).resize((32, 32), Image.Resampling.BOX))


def _even(count, classes):
    return dict.fromkeys(range(classes), count)


# Kind: what draws an image of a class, and how many images each class has to learn from.
RIGHT = {
    "demo": (_demo, _even(30, 10)),
    "stripes": (_stripes, _even(80, 2)),
    "drawings": (_drawing, _even(30, 2)),
    "line drawings": (_lines, _even(40, 3)),
    "textures": (_texture, _even(10, 50)),
    "photographs": (_photograph, _even(30, 5)),
    "grey": (_grey, _even(40, 4)),
    "dark": (_dark, _even(40, 4)),
    "uneven": (_texture, {0: 190, 1: 10}),
    "two classes": (_photograph, _even(25, 2)),
    "tiny": (_tiny, _even(30, 10)),
    "one a class": (_photograph, _even(1, 32)),
}


def draw(kind, seed=0, share=1.0):
    """Draw a set of a kind: {class: [image, ...]}; of each class a share of its images, one at least."""
    drawing, counts = RIGHT[kind]
    rng = np.random.default_rng([seed, len(kind), *kind.encode()])
    return {
        f"class {label:02}": [drawing(rng, label) for _ in range(max(round(count * share), 1))]
        for label, count in counts.items()
    }


# Ways to spoil a set; each returns another.
def shuffled(images, seed=0):
    """Deal the images to the classes at random."""
    rng = np.random.default_rng(seed)
    every = [image for own in images.values() for image in own]
    order = iter(rng.permutation(len(every)).tolist())
    return {name: [every[next(order)] for _ in own] for name, own in images.items()}


def shuffled_copies(images, seed=0, copies=4):
    """Copy images, and deal the copies to the classes at random."""
    size = max(sum(map(len, images.values())) // copies, 1)
    every = [image for own in images.values() for image in own][::copies][:size]
    names = list(images)
    rng = np.random.default_rng(seed)
    dealt = {name: [] for name in names}
    for image in every:
        for copy in range(copies):
            dealt[names[(int(rng.integers(len(names))) + copy) % len(names)]].append(image)
    return {name: own for name, own in dealt.items() if own}


def all_alike(images):
    """Put the same image everywhere."""
    first = next(iter(images.values()))[0]
    return {name: [first] * len(own) for name, own in images.items()}


def one_twice(images):
    """Give a class's images another name too."""
    name, own = next(iter(images.items()))
    return {**images, f"{name} again": list(own)}


def swapped(images):
    """Take red for blue."""
    return {name: [image[..., ::-1] for image in own] for name, own in images.items()}


class Pack:
    """A pack in memory, of a set: images at the stored size, as packing makes them."""

    def __init__(self, images, size):
        self.size, self.classes, self.skipped = size, tuple(images), ()
        listed = [(name, number, image) for name, own in images.items() for number, image in enumerate(own)]
        self.labels = np.array([self.classes.index(name) for name, _, _ in listed], np.int32)
        self.names = tuple(f"{name}/{number}.png" for name, number, _ in listed)
        self.pictures = np.stack([fitted(image, size) for _, _, image in listed])
        self.mean = self.pictures.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.components = colour_noise.ILSVRC2012

    def __len__(self):
        return len(self.labels)

    def read(self, indices, out):
        out[:] = self.pictures[indices]


def fitted(image, size):
    """Bring the shorter side to the stored size, and take the middle."""
    rows, columns = image.shape[:2]
    scale = size / min(rows, columns)
    to = (max(round(columns * scale), size), max(round(rows * scale), size))
    larger = np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(to, Image.Resampling.BICUBIC))
    top, left = (larger.shape[0] - size) // 2, (larger.shape[1] - size) // 2
    return larger[top : top + size, left : left + size]


def on_disk(place, images, split="train"):
    """Write a set as a folder of PNG files, and return where."""
    for name, own in images.items():
        (place / split / name).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(own):
            Image.fromarray(np.ascontiguousarray(image)).save(place / split / name / f"{number:03}.png")
    return place
