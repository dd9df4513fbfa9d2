"""The demo set is the same everywhere, whole, and honest: its classes need colour and form together."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from cualex import errors, networks, weights
from cualex.data import images
from cualex.data.sources import demo, demo_shapes
from cualex.model import Model
from cualex.plan import Plan
from cualex.weights import initial
from cualex.weights.parameters import Parameters

SIZE = 76  # what networks of crop 67 store
KINDS = np.array([name.split("-")[0] == "warm" for name in demo.CLASSES])


def drawn(split, numbers):
    """Draw the given pictures of every class as a network stores them: (n, SIZE, SIZE, 3), labels (n,)."""
    labels = np.repeat(np.arange(len(demo.CLASSES)), len(numbers))
    names = [(label, number) for label in range(len(demo.CLASSES)) for number in numbers]
    read = [images.decode(demo.encoded(0, split, *name), split) for name in names]
    return np.stack([images.square(picture, SIZE) for picture in read]), labels


@pytest.fixture(scope="module")
def some():
    """Draw 40 training and all validation pictures of each class."""
    return drawn("train", range(40)), drawn("val", range(demo.IMAGES["val"]))


def grey(stored):
    """Return the brightness of every pixel, three times over."""
    brightness = (stored @ np.array([299, 587, 114]) + 500) // 1000
    return np.repeat(brightness.astype(np.uint8)[..., None], 3, axis=3)


# --- the same set everywhere


def test_the_bytes_are_the_same_on_every_machine():
    digest = hashlib.sha256()
    for label in range(len(demo.CLASSES)):
        digest.update(demo.encoded(0, "train", label, label))
        digest.update(demo.encoded(7, "val", label, 0))
    assert digest.hexdigest() == "f8c7aa9e3430377656d6ba3cb9b91c81780f1fa781a1ced95e7e607a24b8ce57"


def test_the_file_is_a_picture_of_the_drawing():
    pixels = demo.draw(demo.Chance(0, "train", 5, 3), "cool", "triangle")
    read = images.decode(demo.encoded(0, "train", demo.CLASSES.index("cool-triangle"), 3), "three")
    assert pixels.shape == (demo.SIZE, demo.SIZE, 3)
    np.testing.assert_array_equal(read, pixels)


def test_a_seed_too_large_for_the_key_is_refused():
    with pytest.raises(errors.UsageError, match="seed"):
        demo.source(1 << 40)


# --- a whole set


def test_every_class_has_as_many_pictures():
    source = demo.source()
    assert source.name == "demo"
    assert len(source.classes) == 10
    for split, count in demo.IMAGES.items():
        listed = source.splits[split]
        assert Counter(picture.label for picture in listed) == dict.fromkeys(range(10), count)
        for picture in listed:
            assert picture.name.split("/")[:2] == [split, source.classes[picture.label]]
    names = [picture.name for listed in source.splits.values() for picture in listed]
    assert len(set(names)) == len(names) == 10 * sum(demo.IMAGES.values())


def test_a_picture_is_read_by_its_own_name():
    source = demo.source(seed=3)
    picture = source.splits["val"][-1]
    assert picture.name == "val/cool-bars/0049.bmp"
    assert picture.read() == picture.read() == demo.encoded(3, "val", 9, 49)


@pytest.mark.slow
def test_no_picture_is_in_both_splits_or_twice():
    read = [picture.read() for split in ("train", "val") for picture in demo.source().splits[split][::10]]
    assert len(set(read)) == len(read)


def test_the_identity_follows_the_seed_and_the_drawing(monkeypatch):
    identity = demo.source().identity
    assert identity == demo.source().identity != demo.source(seed=1).identity
    monkeypatch.setattr(demo, "SPECKS", demo.SPECKS - 1)
    assert demo.source().identity != identity


# --- figures


@pytest.mark.parametrize("figure", demo_shapes.FIGURES)
@pytest.mark.parametrize("direction", [0, 40, 200])
def test_figures_have_the_area_asked_for(figure, direction):
    size = 200
    axis = demo_shapes.PIXEL * (np.arange(size, dtype=np.int32) - size // 2) + demo_shapes.PIXEL // 2
    across, down = demo_shapes.turned(axis[None, :], axis[:, None], direction)
    area = 5000  # pixels
    distance = demo_shapes.FIGURES[figure](across, down, area * demo_shapes.PIXEL**2)
    covered = demo_shapes.coverage(distance).sum() / demo_shapes.PIXEL
    # The shortest length a figure is built from, half a bar, is cut to whole sixteenths, and counts twice.
    shortest = (area * demo_shapes.PIXEL**2 / 60) ** 0.5
    assert covered == pytest.approx(area, rel=2 / shortest)


# --- honest


def nearest_mean_colour(train, val):
    """Name each validation picture by the class of the nearest mean colour: the share that is right."""
    (pixels, labels), (others, truth) = train, val
    means = np.stack([pixels[labels == label].mean(axis=(0, 1, 2)) for label in range(len(demo.CLASSES))])
    distances = ((others.mean(axis=(1, 2))[:, None] - means) ** 2).sum(axis=2)
    return (distances.argmin(axis=1) == truth).mean()


@pytest.mark.slow
def test_colour_alone_names_few_pictures(some):
    assert nearest_mean_colour(*some) < 0.35


def arrangement_told(train, val):
    """Tell warm from cool figures by least squares on what can be counted: the share that is right.

    Counted are, for each channel, the levels of every other pixel of the whole and of the middle, and 64 tiles.
    """

    def counted(pixels):
        tiles = pixels[:, :72, :72].reshape(len(pixels), 8, 9, 8, 9, 3).mean(axis=(2, 4)) / 256
        parts = [np.ones((len(pixels), 1)), tiles.reshape(len(pixels), -1)]
        for region in (pixels[:, ::2, ::2], pixels[:, 26:50:2, 26:50:2]):
            levels = region.reshape(len(pixels), -1, 3) >> 4
            parts += [(levels == level).mean(axis=1, dtype=np.float32) for level in range(16)]
        return np.concatenate(parts, axis=1)

    (pixels, labels), (others, truth) = train, val
    weights, *_ = np.linalg.lstsq(counted(pixels), np.where(KINDS[labels], 1.0, -1.0), rcond=0.01)
    return ((counted(others) @ weights > 0) == KINDS[truth]).mean()


@pytest.mark.slow
def test_grey_hides_the_arrangement_of_colours(some):
    (train, labels), (val, truth) = some
    # Who tells every figure, but the arrangement in 60 % of the pictures, names 60 % of the classes.
    assert arrangement_told((grey(train), labels), (grey(val), truth)) < 0.6
    # The same fit sees the arrangement where there is colour, so it is not blind.
    assert arrangement_told((train, labels), (val, truth)) > 0.9


def accuracy(train, val, mean, epochs, batch=64):
    """Train the two-tower network at half width by the recipe of the demo set: its share of right answers."""
    (pixels, labels), (others, truth) = train, val
    rng = np.random.default_rng(1)
    network = networks.build("alexnet", classes=len(demo.CLASSES), crop=67, width=0.5)
    assert network.stored == SIZE
    parameters = Parameters(network)
    parameters.load(initial.draw(network, 1))
    plan = Plan(parameters, batch)
    plan.put_mean(mean)
    order = np.concatenate([rng.permutation(len(pixels)) for _ in range(epochs)])
    for step in range(len(order) // batch):
        chosen = order[step * batch :][:batch]
        views = rng.integers(0, (SIZE - network.crop + 1, SIZE - network.crop + 1, 2), (batch, 3))
        plan.put(pixels[chosen], views, labels[chosen])
        plan.control.step = step
        plan.control.rate = 0.01 if step < 0.75 * len(order) / batch else 0.001
        plan.run()
        assert plan.result.finite
    model = Model(weights.Weights(network, parameters.unload(), list(demo.CLASSES), mean))
    return (model.probabilities(others).argmax(axis=1) == truth).mean()


@pytest.mark.slow
def test_the_network_of_the_demo_learns_it():
    """In colour; what a network without it could tell is above."""
    train, val = (drawn(split, range(count)) for split, count in demo.IMAGES.items())
    mean = train[0].mean(axis=0, dtype=np.float64).astype(np.float32)
    assert accuracy(train, val, mean, epochs=9) > 0.9
