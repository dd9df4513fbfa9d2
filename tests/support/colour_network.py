"""A network that names the strongest colour of a picture, made by hand, with the pictures to ask it about.

What it answers is known beforehand, and each shade has a probability of its own, so an answer that belongs to
another picture shows.
"""

import json

import numpy as np
from click.testing import CliRunner
from PIL import Image

from cualex import cli, networks, weights
from cualex.weights import Weights

# In each class folder: what the pictures in it really show.
SHOWN = {
    "blue": ["blue"] * 9 + ["green"] * 2,
    "green": ["green"] * 4 + ["red"] * 3,
    "red": ["red"] * 15 + ["blue"] * 4,
}

CLASSES = ["green", "red", "blue"]  # neither the order of the channels nor that of the alphabet
RGB = {"red": 0, "green": 1, "blue": 2}


def made(classes=CLASSES, loudness=0.01):
    """Make the weights: every layer passes the three channels on, the last compares their sums."""
    network = networks.build("cifar-relu", classes=len(classes))
    tensors = {name: np.zeros(shape, np.float32) for name, shape in network.parameters().items()}
    for layer, passed in (("conv1", 1 / network.scale), ("conv2", 1), ("conv3", 1)):
        for channel in range(3):
            tensors[f"{layer}.weight"][channel, channel, 2, 2] = passed
    inputs = tensors["fc4.weight"].reshape(len(classes), 64, -1)
    for label, name in enumerate(classes):
        inputs[label, RGB[name]] = loudness
    return Weights(network, tensors, list(classes), np.zeros((32, 32, 3), np.float32))


def saved(path, **changes):
    """Save the network and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights.save(path, made(**changes))
    return path


def finished(root, name="train", **arguments):
    """Make a run that has come to its end, and return its weights file."""
    path = saved(root / name / "best.safetensors")
    (root / name / "args.json").write_text(json.dumps(arguments))
    (root / name / "finished.json").write_text("{}")
    return path


def picture(path, colour, level=255, size=(40, 33)):
    """Write a picture of one colour, and return where."""
    shade = [0, 0, 0]
    shade[RGB[colour]] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, tuple(shade)).save(path)
    return path


def broken(path, data=b"no picture at all"):
    """Write a file that is no picture, and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def run(*arguments, **more):
    """Run a command in this process and return its result."""
    return CliRunner().invoke(cli.main, list(map(str, arguments)), **more)


def fill(place, shown=SHOWN):
    """Write class folders; every picture has a shade of its own."""
    level = 100
    for folder, colours_shown in shown.items():
        for number, colour in enumerate(colours_shown):
            picture(place / folder / f"{number}.png", colour, level)
            level += 3
    return place
