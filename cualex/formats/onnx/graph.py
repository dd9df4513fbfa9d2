"""A network as an ONNX graph: one node or a few a layer, the towers concatenated along the channels.

    image (n, 3, crop, crop), RGB from 0 to 255  ->  minus the mean at the centre crop, times the scale
    ->  the layers  ->  probabilities (n, classes)

LRN: ONNX divides alpha by the size of the window, so alpha is multiplied by it here. Towers meet only where the network
has them meet: LRN, which has no groups, is split by tower and concatenated again; so are dense layers within a tower.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from cualex.engine import activations
from cualex.engine.map_ops import BLUE, GREEN, RED
from cualex.formats import plain_weights
from cualex.layers import (
    LRN,
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Grey,
    Layer,
    ReLU,
    Softmax,
    SpatialLRN,
)
from cualex.layers.pool import Pool
from cualex.networks import Network, Stage

INPUT, OUTPUT = "picture", "probabilities"
FUNCTIONS = {
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "linear": "Identity",
    "leaky-relu": "LeakyRelu",
    "elu": "Elu",
}


Attribute = int | float | list[int]


class Graph:
    """Nodes (type, inputs, outputs, attributes) and initialisers of a network."""

    def __init__(self, network: Network, tensors: dict[str, np.ndarray], mean: np.ndarray) -> None:
        """Lower a network layer by layer; `mean` is (stored, stored, 3)."""
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Attribute]]] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.tensors = plain_weights.plain(network, tensors)
        self._prepare(network, mean)
        for stage in network.stages():
            self.stage = stage
            getattr(self, f"_{stage.layer.kind}")(stage.layer)
        self.nodes.append(("Identity", [self.value], [OUTPUT], {}))

    def _node(self, kind: str, inputs: list[str], **attributes: Attribute) -> str:
        """Add a node of one output and return its name."""
        self.value = f"{self.stage.name}.{len(self.nodes)}"
        self.nodes.append((kind, inputs, [self.value], attributes))
        return self.value

    def _keep(self, name: str, values: ArrayLike) -> str:
        """Add an initialiser and return its name."""
        self.initializers[name] = np.asarray(values)
        return name

    def _prepare(self, network: Network, mean: np.ndarray) -> None:
        """Subtract the mean at the centre crop and scale."""
        stage = next(network.stages())
        self.stage = Stage(0, "preprocessing", stage.layer, stage.reading, stage.output, 1)
        image = np.ascontiguousarray(mean.transpose(2, 0, 1)[None], np.float32)
        crop = [
            self._keep(f"preprocessing.{name}", np.array(values, np.int64))
            for name, values in (
                ("begin", [network.centre.start] * 2),
                ("end", [network.centre.stop] * 2),
                ("axes", [2, 3]),
            )
        ]
        self._node("Slice", [self._keep("preprocessing.mean", image), *crop])
        self._node("Sub", [INPUT, self.value])
        scale = np.broadcast_to(np.asarray(network.scale, np.float32), (3,)).reshape(1, 3, 1, 1)
        if not np.all(scale == 1):
            self._node("Mul", [self.value, self._keep("preprocessing.scale", np.ascontiguousarray(scale))])

    def _exchange(self, layer: Layer) -> None:
        """Add nothing: towers are concatenated already, and dropout does nothing at test."""

    _join = _dropout = _exchange

    def _weights(self) -> list[str]:
        """Add the layer's weights and biases and return their names."""
        return [self._keep(name, self.tensors[name]) for name in self.stage.parameters]

    def _conv(self, layer: Conv) -> None:
        sides = zip(self.stage.reading.shape[1:], self.stage.output[1:], strict=True)
        ends = [max(layer.pad, (count - 1) * layer.stride + layer.size - layer.pad - length) for length, count in sides]
        self._node(
            "Conv",
            [self.value, *self._weights()],
            kernel_shape=[layer.size] * 2,
            strides=[layer.stride] * 2,
            pads=[layer.pad, layer.pad, *ends],
            group=plain_weights.groups(self.stage),
        )

    def _dense(self, layer: Dense) -> None:
        towers = 1 if self.stage.reading.shared else self.stage.towers
        if towers == 1:
            self._node("Gemm", [self._node("Flatten", [self.value], axis=1), *self._weights()], transB=1)
            return
        # A tower's rows of the weights read the maps of that tower alone.
        reading, outputs = self.stage.reading.shape[0], self.stage.output[0]
        parts = self._split(self.value, towers, reading, 1)
        weights, biases = (self._split(name, towers, outputs, 0) for name in self._weights())
        made = [
            self._node("Gemm", [self._node("Flatten", [part], axis=1), weight, bias], transB=1)
            for part, weight, bias in zip(parts, weights, biases, strict=True)
        ]
        self._node("Concat", made, axis=1)

    def _split(self, value: str, towers: int, each: int, axis: int) -> list[str]:
        """Split a value by tower, in parts of length `each`."""
        sizes = self._keep(f"{self.stage.name}.{each}", np.full(towers, each, np.int64))
        names = [f"{self.stage.name}.{len(self.nodes)}.{number}" for number in range(towers)]
        self.nodes.append(("Split", [value, sizes], names, {"axis": axis}))
        return names

    def _lrn(self, layer: LRN) -> None:
        """Normalise across channels; a window of even n has n + 1 channels, n // 2 on either side."""
        towers = self.stage.towers
        size = 2 * (layer.n // 2) + 1
        numbers: dict[str, Attribute] = {
            "size": size,
            "alpha": float(layer.alpha * size),
            "beta": float(layer.beta),
            "bias": float(layer.k),
        }
        if towers == 1:
            self._node("LRN", [self.value], **numbers)
        else:
            parts = self._split(self.value, towers, self.stage.reading.shape[0], 1)
            self._node("Concat", [self._node("LRN", [part], **numbers) for part in parts], axis=1)

    def _spatial_lrn(self, layer: SpatialLRN) -> None:
        """Normalise by neighbouring pixels: x (k + alpha SUM x^2)^-beta, the sum as an average times n^2.

        The average includes the zero padding, so it is the sum over n^2 at the border too.
        """
        x, name = self.value, self.stage.name
        size = 2 * (layer.n // 2) + 1
        square = self._node("Mul", [x, x])
        window: dict[str, Attribute] = {
            "kernel_shape": [size] * 2,
            "strides": [1, 1],
            "pads": [layer.n // 2] * 4,
            "count_include_pad": 1,
        }
        mean = self._node("AveragePool", [square], **window)
        scaled = self._node("Mul", [mean, self._keep(f"{name}.alpha", np.float32(layer.alpha * size**2))])
        below = self._node("Add", [scaled, self._keep(f"{name}.k", np.float32(layer.k))])
        power = self._node("Pow", [below, self._keep(f"{name}.beta", np.float32(layer.beta))])
        self._node("Div", [x, power])

    def _relu(self, layer: ReLU) -> None:
        self._node("Relu", [self.value])

    def _activation(self, layer: Activation) -> None:
        found = activations.find(layer.function)
        if found.name == "gelu":
            self._gelu()
        elif found.name == "linear" and found.parameter is not None:
            name = self.stage.name
            scaled = self._node("Mul", [self.value, self._keep(f"{name}.a", np.float32(found.a))])
            self._node("Add", [scaled, self._keep(f"{name}.b", np.float32(found.offset))])
        else:
            alpha = {} if found.parameter is None else {"alpha": found.parameter}
            self._node(FUNCTIONS[found.name], [self.value], **alpha)

    def _gelu(self) -> None:
        """Add x (1 + erf(x / sqrt(2))) / 2: the operator Gelu came after this opset."""
        x, name = self.value, self.stage.name
        scaled = self._node("Mul", [x, self._keep(f"{name}.scale", np.float32(math.sqrt(0.5)))])
        error = self._node("Erf", [scaled])
        shifted = self._node("Add", [error, self._keep(f"{name}.one", np.float32(1))])
        halved = self._node("Mul", [x, self._keep(f"{name}.half", np.float32(0.5))])
        self._node("Mul", [halved, shifted])

    def _maxpool(self, layer: Pool) -> None:
        self._node("MaxPool", [self.value], **self._window(layer))

    def _averagepool(self, layer: Pool) -> None:
        self._node("AveragePool", [self.value], count_include_pad=0, **self._window(layer))

    def _window(self, layer: Pool) -> dict[str, Attribute]:
        numbers: dict[str, Attribute] = {"kernel_shape": [layer.size] * 2, "strides": [layer.stride] * 2}
        return numbers | ({"ceil_mode": 1} if layer.round_up else {})

    def _batchnorm(self, layer: BatchNorm) -> None:
        names = [*self.stage.parameters, *self.stage.state]
        kept = [self._keep(name, self.tensors[name]) for name in names]
        self._node("BatchNormalization", [self.value, *kept], epsilon=float(layer.epsilon))

    def _grey(self, layer: Grey) -> None:
        weight = np.array([RED, GREEN, BLUE], np.float32).reshape(1, 3, 1, 1)
        self._node("Conv", [self.value, self._keep(f"{self.stage.name}.weight", weight)], kernel_shape=[1, 1])

    def _softmax(self, layer: Softmax) -> None:
        self._node("Softmax", [self.value], axis=1)
