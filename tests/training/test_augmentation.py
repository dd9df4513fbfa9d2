"""Colour noise in whole trainings: what it changes and what it does not, and the options of `cualex train`."""

import json

import numpy as np
import pytest

from cualex import weights
from cualex.data import pack as packs
from cualex.data import sources
from cualex.data.decoding import finish
from cualex.training import loop
from cualex.training.run import Run
from tests.support import tiny_runs
from tests.support.colour_network import run
from tests.support.data_sets import LOUD, colourful, folder
from tests.support.tiny_runs import RECIPE, Squares


@pytest.fixture
def ended(tmp_path):
    """Train for two epochs and return what the weights are then."""

    def train(**numbers):
        place, made = Run.create(tmp_path), RECIPE.but(epochs=2, plain_epochs=0, drop_epochs=(9,)).but(**numbers)
        with tiny_runs.known():
            list(loop.train(made, Squares(), Squares(8, seed=1), place))
            kept = weights.load(place.path / "last.safetensors")
        return np.concatenate([kept.tensors[name].ravel() for name in sorted(kept.tensors)])

    return train


@pytest.mark.slow
def test_noise_changes_a_training_and_the_same_noise_gives_the_same_bits(ended):
    plain, noisy = ended(colour_noise=0.0), ended()
    assert (noisy == ended()).all()
    assert (noisy != plain).mean() > 0.5
    assert (noisy != ended(colour_noise=0.2)).mean() > 0.5


@pytest.mark.slow
def test_of_plain_epochs_alone_the_training_is_one_without_noise(ended):
    assert (ended(plain_epochs=2) == ended(colour_noise=0.0)).all()
    assert (ended(plain_epochs=1) != ended(colour_noise=0.0)).any()
    assert (ended(plain_epochs=1) != ended()).any()


@pytest.mark.slow
def test_the_mean_at_the_centre_changes_a_training(ended):
    assert (ended(mean_at="centre") != ended()).any()


@pytest.mark.slow
def test_the_run_says_all_that_it_was_asked_for(tmp_path):
    data, cache = folder(tmp_path / "set", colourful), tmp_path / "cache"
    words = ["train", data, "--recipe", "cifar", "--epochs", 1, "-b", 4, "--cache", cache]
    options = ["--colour-noise", 0.3, "--colour-components", "2012", "--plain-epochs", 1, "--mean-at", "centre"]
    result = run(*words, *options, "--output", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    lines = {tuple(line.split()) for line in result.stderr.splitlines()}
    assert ("augmented", "views", "per", "image", "72", "2,048") in lines
    assert ("PCA", "colour", "noise,", "std", "0.3", "0.1") in lines
    said = json.loads((tmp_path / "runs" / "train" / "args.json").read_text())
    names = ("augment", "colour_noise", "colour_components", "plain_epochs", "mean_at")
    assert [said["recipe"][name] for name in names] == [True, 0.3, "2012", 1, "centre"]
    pack = finish(packs.pack(sources.find(data), "train", 32, cache=cache))
    assert said["colours"]["covariance"] == [list(row) for row in pack.covariance]
    assert said["colours"]["variances"] == list(pack.components.variances)
    assert said["colours"].keys() == {"covariance", *vars(LOUD)}


def test_noise_without_augmentation_is_refused(tmp_path):
    result = run("train", tmp_path, "--no-augment", "--colour-noise", "0.1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == ("Error: --colour-noise: --no-augment turns it off; leave one of them out\n")
