"""`cualex check --weights` names preprocessing that differs between images and weights, and nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli, weights
from cualex.model import Model
from cualex.training.debugging import preprocessing
from tests.support import colour_network

SWAPPED, NEGATIVE = "red and blue swapped", "inverted"
HALF, OWN = "half the mean image", "these images' own mean"


def shades(count=8):
    """Draw pictures (n, 32, 32, 3) in which the colour of the class is the strongest, with labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(3 * count) % 3
    images = rng.integers(90, 130, (3 * count, 32, 32, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., colour_network.RGB[colour_network.CLASSES[label]]] += 60
    return images, labels


def known():
    """Make a network that names the colour that is most above grey."""
    return replace(colour_network.made(loudness=1e-4), mean=np.full((32, 32, 3), 110, np.float32))


def found(images, labels, mean=1.0):
    made = known()
    rows = list(preprocessing.fits(replace(made, mean=np.float32(mean) * made.mean), images, labels))
    assert [row.change for row in rows] == list(preprocessing.CHANGES)
    assert {row.images for row in rows} == {len(labels)}
    return rows


@pytest.mark.slow
def test_the_same_preprocessing_is_quiet():
    images, labels = shades()
    rows = found(images, labels)
    assert rows[0].right == len(labels)
    assert preprocessing.best(rows) is None
    own = Model(known()).probabilities(images)[np.arange(len(labels)), labels]
    assert rows[0].loss == pytest.approx(-np.log(own.astype(np.float64)).mean(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "mean", "better"),
    [
        (lambda images: images[..., ::-1], 1.0, {SWAPPED}),
        (lambda images: images, 2.0, {HALF, OWN}),
        (lambda images: 255 - images, 1.0, {NEGATIVE}),
    ],
)
def test_other_preprocessing_is_named(spoil, mean, better):
    images, labels = shades()
    rows = found(np.ascontiguousarray(spoil(images)), labels, mean)
    assert rows[0].right < len(labels)
    assert preprocessing.best(rows).change in better
    assert preprocessing.best(rows).right > rows[0].right


@pytest.mark.slow
def test_random_labels_name_no_preprocessing():
    images, _ = shades(30)
    for seed in range(2):
        labels = np.random.default_rng(seed).integers(0, 3, len(images))
        assert preprocessing.best(found(images, labels)) is None


@pytest.mark.slow
def test_too_few_images_cannot_be_sure():
    images, labels = shades(5)
    assert len(labels) < preprocessing.FEWEST
    assert preprocessing.best(found(np.ascontiguousarray(images[..., ::-1]), labels)) is None


@pytest.fixture
def check(tmp_path):
    """Write a set and weights; return what runs the command."""
    for name in ("right", "swapped"):
        images, labels = shades()
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            file = tmp_path / name / "train" / colour_network.CLASSES[label] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., :: -1 if name == "swapped" else 1].copy()).save(file)
    weights.save(tmp_path / "known.safetensors", known())
    words = ["--network", "cifar-relu", "--val-split", "0", "--weights", str(tmp_path / "known.safetensors")]
    return lambda name, *more: CliRunner().invoke(cli.main, ["check", str(tmp_path / name), *words, *more])


@pytest.mark.slow
def test_the_command_names_it(check, tmp_path):
    result = check("right")
    assert result.exit_code == 0, result.output
    assert f"\nWith {tmp_path / 'known.safetensors'}, 24 images of train:\n" in result.stdout
    assert "  as they are              100.0% right, loss 1." in result.stdout
    assert result.stdout.endswith("No other preprocessing fits better.\n")
    result = check("swapped")
    assert result.exit_code == 0
    assert result.stdout.endswith(
        "preprocessing: they fit better with red and blue swapped. The images were preprocessed differently from those "
        "that the weights were trained on: correct the images, or train on these.\n"
    )
    read = json.loads(check("swapped", "--json").stdout)["weights"]
    assert (read["better"], read["images"], read["split"]) == (SWAPPED, 24, "train")
    assert [row["change"] for row in read["fits"]] == list(preprocessing.CHANGES)
    assert json.loads(check("right", "--json").stdout)["weights"]["better"] is None


@pytest.mark.slow
def test_the_command_says_where_images_are_too_few_to_tell(check, tmp_path):
    for folder in (tmp_path / "swapped/train").iterdir():
        for file in sorted(folder.iterdir())[3:]:
            file.unlink()
    said = "9 images are too few to tell whether another preprocessing fits better: expected 16 or more.\n"
    assert check("swapped").stdout.endswith(said)


def test_classes_that_the_weights_have_not_learned_are_refused(check, tmp_path):
    colour_network.picture(tmp_path / "right/train/mauve/1.png", "red")
    result = check("right")
    assert result.exit_code == 1
    assert "mauve" in result.stderr.splitlines()[-1]
