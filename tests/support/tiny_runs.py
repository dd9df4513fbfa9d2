"""Runs that take a tenth of a second, and what a run has left without what time puts into it."""

import contextlib
import csv
import hashlib
import json

import numpy as np

from cualex import networks, weights
from cualex.data import colour_noise
from cualex.layers import LRN, BatchNorm, Conv, Dense, Dropout, Exchange, Join, MaxPool, ReLU, Softmax
from cualex.model import Model
from cualex.networks import Network
from cualex.training import loop
from cualex.training.recipes import Recipe
from cualex.training.records import Notice, Update
from cualex.training.state import State
from cualex.weights import Weights, initial

OPTIONS = ("--network", "speck", "--crop", 11, "-b", 8, "--epochs", 3, "--lr", 0.02, "--save-every", 0.002)
OPTIONS += ("--keep", "--no-report")

TINY = Recipe(network="cifar-relu", crop=27, batch=8, rate=0.01, decay=0.0, dropout=0.0, epochs=3, colour_noise=0.0)


def speck(classes=3, crop=11, **numbers):
    """Build a network of two towers with all that an alexnet has, dropout too, for crops of 11 out of 16 pixels."""
    layers = {
        "conv1": Conv(4, size=3, std=0.1),
        "relu1": ReLU(),
        "norm1": LRN(),
        "pool1": MaxPool(size=3, stride=2),
        "exchange2": Exchange(),
        "fc2": Dense(8, std=0.1),
        "relu2": ReLU(),
        "drop2": Dropout(0.5),
        "join3": Join(),
        "fc3": Dense(classes, std=0.1),
        "softmax": Softmax(),
    }
    arguments = {"classes": classes, "crop": crop, **numbers}
    return Network("speck", layers, 2, classes, crop, stored=16, scale=1 / 64, arguments=arguments, **numbers)


def mote(classes=3, crop=11, dropout=0.4, **numbers):
    """Build a network of two towers that normalises above a pool, below a padded convolution, and above dropout."""
    layers = {
        "conv1": Conv(4, size=3, std=None),
        "relu1": ReLU(),
        "pool1": MaxPool(size=3, stride=2),
        "norm1": BatchNorm(),
        "conv2": Conv(6, size=3, pad=1, std=None),
        "relu2": ReLU(),
        "norm2": BatchNorm(momentum=0.75),
        "exchange3": Exchange(),
        "fc3": Dense(8, std=None),
        "relu3": ReLU(),
        "drop3": Dropout(dropout, inverted=True) if dropout else None,
        "norm3": BatchNorm(epsilon=0.25),
        "join4": Join(),
        "fc4": Dense(classes, std=None),
        "softmax": Softmax(),
    }
    layers = {name: layer for name, layer in layers.items() if layer}
    arguments = {"classes": classes, "crop": crop, "dropout": dropout, **numbers}
    return Network("mote", layers, 2, classes, crop, stored=16, scale=1 / 64, arguments=arguments, **numbers)


def broad(classes=3, crop=11, width=3072, **numbers):
    """Build a network whose 12 million weights take longer to send than to compute with."""
    layers = {
        "conv1": Conv(4, size=3, std=0.1),
        "relu1": ReLU(),
        "fc2": Dense(width, std=0.01),
        "relu2": ReLU(),
        "fc3": Dense(width, std=0.01),
        "relu3": ReLU(),
        "fc4": Dense(classes, std=0.1),
        "softmax": Softmax(),
    }
    arguments = {"classes": classes, "crop": crop, "width": width, **numbers}
    return Network("broad", layers, 1, classes, crop, stored=16, scale=1 / 64, arguments=arguments, **numbers)


@contextlib.contextmanager
def known():
    """Let the networks be found by their names."""
    before = dict(networks._NETWORKS)
    networks._NETWORKS |= {"speck": speck, "mote": mote, "broad": broad}
    yield
    networks._NETWORKS.clear()
    networks._NETWORKS.update(before)


# 37 pictures in batches of 8: epochs end in the middle of a batch, and nine of them are 42 updates.
RECIPE = Recipe(network="speck", crop=11, batch=8, rate=0.01, epochs=9, drop_epochs=(6, 8), plain_epochs=2, dropout=0.0)
UPDATES = 42


class Pictures:
    """A pack in memory: each class has a colour of its own, so that it can be learned."""

    def __init__(self, count=24, classes=3, seed=0):
        rng = np.random.default_rng(seed)
        self.size, self.classes = 32, tuple(f"colour {i}" for i in range(classes))
        self.labels = (np.arange(count) % classes).astype(np.int32)
        self.pictures = rng.integers(0, 100, (count, 32, 32, 3), np.uint8)
        self.pictures[np.arange(count), :, :, self.labels % 3] += 100
        self.mean = self.pictures.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.names, self.skipped = tuple(f"{i}.png" for i in range(count)), (("broken.jpg", "it, is"),)

    def __len__(self):
        return len(self.labels)

    def read(self, indices, out):
        out[:] = self.pictures[indices]


class Squares(Pictures):
    """Pictures of 16x16 with components of colour."""

    def __init__(self, count=37, seed=0):
        super().__init__(count, seed=seed)
        self.size, self.components = 16, colour_noise.ILSVRC2012
        self.pictures = np.ascontiguousarray(self.pictures[:, :16, :16])
        self.mean = np.ascontiguousarray(self.mean[:16, :16])


def training(run, recipe=RECIPE, **settings):
    """Start to train, or go on."""
    return loop.train(recipe, Squares(), Squares(12, seed=1), run, **settings)


def stop(records, updates):
    """Take a training that many updates further, and close it."""
    for _ in range(updates):
        while not isinstance(next(records), Update):
            pass
    records.close()


def left(run):
    """Return weights, velocities, numbers, log and results of a run, and the names of its files."""
    last = weights.load(run.path / "last.safetensors")
    state = vars(State.of(last))
    losses = vars(state.pop("losses"))
    for name in ("seconds", "log"):
        state.pop(name)
    return {
        "weights": digest(last.tensors),
        "velocities": digest(last.velocities),
        "best": digest(weights.load(run.path / "best.safetensors").tensors),
        "state": state,
        "losses": {name: losses[name] for name in ("total", "count", "images", "recent")},
        "log": log(run),
        "results": results(run),
        "finished": (run.path / "finished.json").read_text(),
        "files": sorted(file.name for file in run.path.iterdir() if file.name != "previous.safetensors"),
    }


def digest(tensors):
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode() + tensors[name].tobytes())
    return total.hexdigest()


def log(run):
    """Return the lines of the log without the fields named time_*."""
    lines = (run.path / "log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [{name: value for name, value in record.items() if not name.startswith("time_")} for record in records]


def results(run):
    with open(run.path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name not in ("time", "img/s")} for row in rows]


def small_model(**changes):
    """Make a cifar-relu with initial weights, some of them changed."""
    net = networks.build("cifar-relu", classes=3)
    tensors = initial.draw(net, 0) | changes
    return Model(Weights(net, tensors, ["a", "b", "c"], np.full((32, 32, 3), 100, np.float32)))


def go(records, updates):
    """Take a training that many updates further; return the notices."""
    told = []
    while updates:
        record = next(records)
        updates -= isinstance(record, Update)
        told += [record.text] if isinstance(record, Notice) else []
    return told


def command(*arguments):
    return [str(argument) for argument in ("train", *arguments)]
