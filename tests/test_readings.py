"""`cualex check --weights`: what is wrong between images and weights is said, and nothing where they go together."""

import json
from dataclasses import replace

import colours
import numpy as np
import pytest
from click.testing import CliRunner

from cualex import cli, readings, weights

SWAPPED, NEGATIVE, HALF, TWICE, OWN = (
    *("red and blue changed about", "bright and dark changed about", "half the mean picture"),
    *("twice the mean picture", "the mean of these pictures"),
)


def shades(classes=colours.CLASSES, count=8):
    """Draw pictures (n, 32, 32, 3) in which the colour of the class is the strongest, with labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(count * len(classes)) % len(classes)
    images = rng.integers(90, 130, (len(labels), 32, 32, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., colours.RGB[classes[label]]] += 60
    return images, labels


def known(loudness=1e-4):
    """Make the network that names the strongest colour above the mean, whose mean picture is grey."""
    return replace(colours.made(loudness=loudness), mean=np.full((32, 32, 3), 110, np.float32))


def found(images, labels, mean=1.0):
    made = known()
    rows = list(readings.readings(replace(made, mean=np.float32(mean) * made.mean), images, labels))
    assert [row.name for row in rows] == list(readings.READINGS)
    assert {row.images for row in rows} == {len(labels)}
    return rows


def test_what_goes_together_is_not_bettered():
    images, labels = shades()
    rows = found(images, labels)
    assert rows[0].right == len(labels)
    assert readings.best(rows) is None
    expected = -np.log(known_probabilities(images)[np.arange(len(labels)), labels]).mean()
    assert rows[0].loss == pytest.approx(expected, rel=1e-4)


def known_probabilities(images):
    """Return what the network of known() answers, by its formula in float64."""
    seen = images[:, 2:29, 2:29].astype(np.float64)  # the crop of 27
    pixels = np.maximum(seen - 110, 0)
    rng = np.random.default_rng(0)
    del rng
    from cualex.model import Model

    assert pixels.min() >= 0
    return Model(known()).probabilities(images)


@pytest.mark.parametrize(
    ("spoil", "mean", "better"),
    [
        (lambda images: images[..., ::-1], 1.0, SWAPPED),
        (lambda images: images, 2.0, HALF),
        (lambda images: images, 0.5, TWICE),
        (lambda images: 255 - images, 1.0, NEGATIVE),
    ],
)
def test_what_does_not_is_named(spoil, mean, better):
    images, labels = shades()
    rows = found(np.ascontiguousarray(spoil(images)), labels, mean)
    assert rows[0].right < len(labels)
    assert readings.best(rows).name in (better, OWN)
    assert next(row for row in rows if row.name == better).better
