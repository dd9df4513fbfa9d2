"""Networks that want a mean and a scale a channel, as torchvision's do: (RGB / 255 - mean) / deviation."""

import json

import numpy as np
import pytest
import safetensors

from cualex import networks, weights
from cualex.errors import WeightsError
from cualex.layers import Dense, Softmax
from cualex.model import Model
from cualex.networks import Network
from cualex.training import loop
from cualex.training.run import Run
from tests.support.tiny_runs import RECIPE, Squares, stop

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def straight(classes=3, crop=11, mean_at="crop", scale=tuple(1 / (255 * each) for each in DEVIATION)):
    """Build a network whose scores are its pictures' own numbers."""
    layers = {"fc1": Dense(classes), "softmax": Softmax()}
    arguments = {"classes": classes, "crop": crop, "mean_at": mean_at}
    mean = tuple(255 * each for each in MEAN)
    return Network(
        "straight",
        layers,
        1,
        classes,
        crop,
        stored=16,
        scale=scale,
        mean=mean,
        mean_at=mean_at,
        arguments=arguments,
    )


@pytest.fixture
def file(monkeypatch, tmp_path):
    """Train a little, and return the checkpoint."""
    monkeypatch.setitem(networks._NETWORKS, "straight", straight)
    run = Run.create(tmp_path)
    stop(loop.train(RECIPE.but(network="straight"), Squares(), Squares(12, seed=1), run), 2)
    return run.path / "last.safetensors"


def test_a_trained_network_sees_them_as_torchvision_has_them(file):
    kept, pictures = weights.load(file), Squares(5).pictures
    assert np.ptp(kept.mean.reshape(-1, 3), axis=0).tolist() == [0, 0, 0]
    seen = ((pictures / 255 - MEAN) / DEVIATION)[:, 2:13, 2:13].transpose(0, 3, 1, 2)
    wanted = seen.reshape(5, -1) @ kept.tensors["fc1.weight"].T + kept.tensors["fc1.bias"]
    np.testing.assert_allclose(Model(kept).features(pictures, "fc1"), wanted, rtol=0, atol=2e-6)


def test_the_weights_file_says_so(file, monkeypatch):
    with safetensors.safe_open(file, framework="numpy") as opened:
        said = json.loads(opened.metadata()["preprocessing"])
    assert said["channel_mean"] == [255 * each for each in MEAN]
    assert said["scale"] == [1 / (255 * each) for each in DEVIATION]
    monkeypatch.setitem(networks._NETWORKS, "straight", lambda **given: straight(**given, scale=1 / 255))
    with pytest.raises(WeightsError, match=r"its images have scale \[0.017.*\], expected 0.0039"):
        weights.load(file)
