"""`cualex check --weights`: what is wrong between images and weights is said, and nothing where they go together."""

import json
from dataclasses import replace

import colours
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli, readings, weights
from cualex.model import Model

SWAPPED, NEGATIVE = "red and blue changed about", "bright and dark changed about"
HALF, OWN = "half the mean picture", "the mean of these pictures"


def shades(count=8):
    """Draw pictures (n, 32, 32, 3) in which the colour of the class is the strongest, with labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(3 * count) % 3
    images = rng.integers(90, 130, (3 * count, 32, 32, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., colours.RGB[colours.CLASSES[label]]] += 60
    return images, labels


def known():
    """Make a network that names the colour that is most above grey."""
    return replace(colours.made(loudness=1e-4), mean=np.full((32, 32, 3), 110, np.float32))


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
    own = Model(known()).probabilities(images)[np.arange(len(labels)), labels]
    assert rows[0].loss == pytest.approx(-np.log(own.astype(np.float64)).mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("spoil", "mean", "better"),
    [
        (lambda images: images[..., ::-1], 1.0, {SWAPPED}),
        (lambda images: images, 2.0, {HALF, OWN}),
        (lambda images: 255 - images, 1.0, {NEGATIVE}),
    ],
)
def test_what_does_not_is_named(spoil, mean, better):
    images, labels = shades()
    rows = found(np.ascontiguousarray(spoil(images)), labels, mean)
    assert rows[0].right < len(labels)
    assert readings.best(rows).name in better
    assert readings.best(rows).right > rows[0].right


def test_labels_that_mean_nothing_are_bettered_by_nothing():
    images, _ = shades(30)
    for seed in range(2):
        labels = np.random.default_rng(seed).integers(0, 3, len(images))
        assert readings.best(found(images, labels)) is None


@pytest.fixture
def check(tmp_path):
    """Write a set and weights; return what runs the command."""
    for name in ("right", "swapped"):
        images, labels = shades()
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            file = tmp_path / name / "train" / colours.CLASSES[label] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., :: -1 if name == "swapped" else 1].copy()).save(file)
    weights.save(tmp_path / "known.safetensors", known())
    words = ["--network", "cifar-relu", "--val-split", "0", "--weights", str(tmp_path / "known.safetensors")]
    return lambda name, *more: CliRunner().invoke(cli.main, ["check", str(tmp_path / name), *words, *more])


def test_the_command_says_so(check, tmp_path):
    result = check("right")
    assert result.exit_code == 0, result.output
    assert f"\n{tmp_path / 'known.safetensors'} names 24 pictures of train:\n" in result.stdout
    assert "  as they are                    100.0% right, loss 1." in result.stdout
    assert result.stdout.endswith("No other way to read them fits better.\n")
    result = check("swapped")
    assert result.exit_code == 0
    assert result.stdout.endswith(
        "weights: they go better with these pictures when read with red and blue changed about. One of the two had "
        "another preprocessing: put that right, or train with these pictures.\n"
    )
    read = json.loads(check("swapped", "--json").stdout)["weights"]
    assert (read["better"], read["pictures"], read["split"]) == (SWAPPED, 24, "train")
    assert [row["reading"] for row in read["readings"]] == list(readings.READINGS)
    assert json.loads(check("right", "--json").stdout)["weights"]["better"] is None


def test_classes_that_the_weights_have_not_learned_are_refused(check, tmp_path):
    colours.picture(tmp_path / "right/train/mauve/1.png", "red")
    result = check("right")
    assert result.exit_code == 1
    assert "mauve" in result.stderr.splitlines()[-1]
