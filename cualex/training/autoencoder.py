"""Pre-training without labels: each hidden layer learns to give back what it reads, one after the other.

    h = f(W x + b)    y = V drop(h) + c    L = 1 / (2 n p) SUM (y - x)^2    then W, b times s(before) / s(after)

x: the maps that the layer reads, of the layers below, which are trained already and stay as they are; for the first
layer the image without its mean, scaled.  W, b: the layer's own weights.  f: the activation that follows it.  V, c: a
decoder of the same kind and window, which is thrown away.  drop: dropout of half of h, so that several filters share
in every value; without it more filters than inputs could copy them.  n, p: images, positions.  The updates are Adam's,
as layers differ in the size of what they read.  s: the root of the mean square of h.  How large h is says nothing, as V
makes up for it, but the rate of the training that follows suits the drawn weights: so where f is a ReLU, or none, h is
brought back to its size with those.

Bengio, Lamblin, Popovici and Larochelle (2007), with the convolutions of Masci, Meier, Ciresan and Schmidhuber (2011).
It runs on the engine of all trainings (plan/reconstruction.py): the same convolutions, dense layers, dropout and
updates; the error and its gradient are the host's.
"""

import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cualex.data.batches import Stream
from cualex.data.split import Split
from cualex.devices.control import Control
from cualex.errors import Diverged, UsageError
from cualex.layers import Activation, Conv, Dense, Dropout, Layer, MeanDropout, ReLU
from cualex.networks import Network, build
from cualex.plan import ReconstructionPlan
from cualex.training.finetuning import Start
from cualex.training.rates import head_of
from cualex.training.recipes import Recipe
from cualex.weights import Weights, initial
from cualex.weights.parameters import Parameters

RATE, BATCH, DROPPED = 0.003, 32, 0.5


@dataclass(frozen=True)
class Pretrained:
    """A layer that has learned to give back what it reads.

    layer: its name.  left: SUM (y - x)^2 over SUM x^2 about the mean of x, of the last batches: the fraction of the
    variance that is not given back, with half of the units dropped.  tensors: its `weight` and `bias`, by full name.
    """

    layer: str
    left: float
    tensors: Mapping[str, np.ndarray]


def pretrain(
    network: Network,
    images: Split,
    mean: np.ndarray,
    updates: int,
    *,
    seed: int = 0,
    rate: float = RATE,
    layers: tuple[str, ...] = (),
    device: str = "cpu",
    precision: str | None = None,
) -> Iterator[Pretrained]:
    """Train the hidden layers of a network on images without their labels; yield each when it is done.

    mean: the mean image (stored, stored, 3).  updates: of each layer, in batches of 32, on centre crops.  seed: of
    weights, order and dropout; the layers begin as `weights.initial.draw` with this seed has them.  rate: the learning
    rate.  layers: those to train; by default all that have weights but the last dense layer.  Raise UsageError for a
    network with more than one tower, or a convolution with stride, groups or maps of another size; Diverged where the
    error is NaN or Inf.
    """
    tensors = initial.draw(network, seed)
    for name in layers or hidden(network):
        coder = autoencoder(network, name)
        own = initial.draw(coder, seed) | {key: tensors[key] for key in coder.tensors() if key in tensors}
        parameters = Parameters(coder, device, precision=precision, tensors=own)
        left, size = _train(coder, name, parameters, images, mean, updates, seed, rate)
        factor = np.float32(1 if any(isinstance(layer, Activation) for layer in _code(coder, name)) else size)
        learned = {key: value * factor for key, value in parameters.unload().items() if key.rpartition(".")[0] == name}
        tensors |= learned
        yield Pretrained(name, left, learned)


def start(
    recipe: Recipe, pack: Split, images: Split, updates: int, device: str = "cpu", precision: str | None = None
) -> Generator[Pretrained, None, Start]:
    """Yield the layers of a recipe's network as they are pre-trained on `images`; return the start of its training.

    pack: the labelled images, of which the mean image is taken.
    """
    network = build(recipe.network, **recipe.arguments(len(pack.classes)))
    assert pack.mean is not None  # train has one
    mean, tensors = network.mean_picture(pack.mean), initial.draw(network, recipe.seed)
    work = pretrain(network, images, mean, updates, seed=recipe.seed, device=device, precision=precision)
    for learned in work:
        tensors |= learned.tensors
        yield learned
    said = f"{', '.join(hidden(network))} are pre-trained on {len(images):,} images without their labels"
    return Start(Weights(network, tensors, list(pack.classes), mean), said)


def hidden(network: Network) -> list[str]:
    """Return the layers with weights but the last dense layer, whose outputs are the classes."""
    return [stage.name for stage in network.stages() if stage.parameters and stage.name != head_of(network)]


def autoencoder(network: Network, name: str) -> Network:
    """Return the network that gives back what the layer `name` reads: those below, it, its activation, its decoder."""
    if network.towers > 1:
        raise UsageError(f"{network.name} has {network.towers} towers: an auto-encoder is for networks of one")
    network.require([name])
    names = list(network.layers)
    at = names.index(name)
    stage = list(network.stages())[at]
    layers = {below: _as_at_test(network.layers[below]) for below in names[:at]}
    layers[name] = stage.layer
    if at + 1 < len(names) and isinstance(network.layers[names[at + 1]], ReLU | Activation):
        layers[names[at + 1]] = network.layers[names[at + 1]]
    layers["drop"] = Dropout(DROPPED, inverted=True)
    layers["decoder"] = _decoder(network, name, stage.layer, stage.reading.shape)
    return Network(
        f"auto-encoder of {name}", layers, 1, 1, network.crop, network.stored, network.scale, network.mean_at
    )


def _decoder(network: Network, name: str, layer: Layer, shape: tuple[int, int, int]) -> Layer:
    """Return the decoder of a layer that reads maps of a shape."""
    if isinstance(layer, Dense):
        return Dense(int(np.prod(shape)), std=None)
    same = isinstance(layer, Conv) and layer.groups == 1 and layer.output_shape(shape)[1:] == shape[1:]
    if not isinstance(layer, Conv) or not same:
        raise UsageError(
            f"{network.name}: {name} has no auto-encoder; expected a dense layer, or a convolution whose maps are as "
            "large as those it reads, without groups"
        )
    return Conv(shape[0], size=layer.size, pad=layer.size - 1 - layer.pad, std=None)


def _as_at_test(layer: Layer) -> Layer:
    """Return a layer below as it is at test: nothing is dropped."""
    return MeanDropout(layer.share, layer.inverted) if isinstance(layer, Dropout) else layer


def _code(coder: Network, name: str) -> list[Layer]:
    """Return the layer that is trained and its activation."""
    names = list(coder.layers)
    return [coder.layers[each] for each in names[names.index(name) : names.index("drop")]]


def _train(
    coder: Network,
    name: str,
    parameters: Parameters,
    images: Split,
    mean: np.ndarray,
    updates: int,
    seed: int,
    rate: float,
) -> tuple[float, float]:
    """Train an auto-encoder.

    Return the fraction of the variance that is left in the last tenth of the batches, and the size of h in the first
    batch over that in these.
    """
    names = list(coder.layers)
    below, code = names[names.index(name) - 1] if names[0] != name else "", names[names.index("drop") - 1]
    factors = {key: float(key.rpartition(".")[0] in (name, "decoder")) for key in coder.parameters()}
    control = Control(rate, decay=0.0, seed=seed)
    outputs = (below, code) if below else (code,)
    plan = ReconstructionPlan(parameters, BATCH, outputs=outputs, factors=factors, control=control)
    plan.put_mean(mean)
    stream = Stream(images, seed, coder.crop, augment=False)
    batch = np.empty((BATCH, coder.stored, coder.stored, 3), np.uint8)
    views, labels = np.empty((BATCH, 3), np.int32), np.empty(BATCH, np.int32)
    colours = np.empty((BATCH, 3), np.float32)
    wrong = whole = 0.0
    sizes = []
    for update in range(updates):
        stream.fill(update * BATCH, batch, views, labels, colours)
        plan.put(batch)
        y = plan.forward()
        target = (plan.output(below) if below else _pictures(coder, batch, mean)).reshape(y.shape)
        last = update >= updates - max(1, updates // 10)
        if last or not update:
            sizes.append(_mean_square(plan.output(code)))
        loss = plan.step(target)
        if not np.isfinite(loss):
            raise Diverged(f"the error of the auto-encoder of {name} is {loss} at update {update + 1}: lower its rate")
        if last:
            wrong += 2 * loss * len(y) * y[0, 0].size
            whole += float(np.square(target - target.mean(axis=(0, 2, 3), keepdims=True), dtype=np.float64).sum())
    plan.release()
    after = float(np.mean(sizes[-max(1, updates // 10) :]))
    return wrong / whole if whole else 0.0, math.sqrt(sizes[0] / after) if after else 1.0


def _mean_square(maps: np.ndarray) -> float:
    return float(np.square(maps, dtype=np.float64).mean())


def _pictures(network: Network, images: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return stored images as the first layer reads them: (n, 3, crop, crop), without their mean, scaled."""
    seen = (images - mean)[:, network.centre, network.centre] * np.asarray(network.scale, np.float32)
    return np.ascontiguousarray(seen.transpose(0, 3, 1, 2), np.float32)
