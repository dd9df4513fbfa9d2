"""A network as Caffe's layers: the list of a prototxt, and the blobs.

Caffe's usual preprocessing is BGR from 0 to 255 minus the mean, so the first filters' channels are reversed and
multiplied by the scale. alpha is multiplied by the size of the window, which Caffe divides by. Towers are concatenated
along the channels as groups; LRN, which has no groups, is sliced by tower and concatenated again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cualex.engine import activations
from cualex.engine.map_ops import BLUE, GREEN, RED
from cualex.errors import UsageError
from cualex.formats import plain_weights
from cualex.layers import (
    LRN,
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Exchange,
    Grey,
    ReLU,
    Softmax,
    SpatialLRN,
)
from cualex.layers.pool import Pool
from cualex.networks import Network

FUNCTIONS = {"tanh": "TanH", "sigmoid": "Sigmoid", "softplus": "BNLL"}


@dataclass
class Entry:
    """A layer of Caffe: name and type, bottoms and tops, hyperparameters as in a prototxt, blobs."""

    name: str
    type: str
    bottoms: list[str]
    tops: list[str]
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: list[np.ndarray] = field(default_factory=list)


class Layers:
    """A network lowered to `entries`, layer by layer."""

    def __init__(self, network: Network, tensors: dict[str, np.ndarray]) -> None:
        # k is 1 in old versions of Caffe and can be set in later ones alone, so the weights absorb it.
        self.tensors = plain_weights.plain(network, tensors, k=1.0)
        self.network = plain_weights.inverted(network, k=1.0)
        self.entries: list[Entry] = []
        self.value, self.first = "data", True
        for stage in self.network.stages():
            self.stage = stage
            lower = getattr(self, f"_{stage.layer.kind}", None)
            if lower is None:
                missing = f"{stage.name} ({stage.layer.kind}) of {network.name}"
                raise UsageError(f"Caffe has no layer for {missing}. Use --to onnx.")
            lower(stage.layer)

    def _add(
        self,
        type: str,
        numbers: dict[str, dict[str, Any]] | None = None,
        blobs: Sequence[np.ndarray] = (),
        name: str = "",
        bottoms: Sequence[str] = (),
        tops: Sequence[str] = (),
    ) -> None:
        name = name or self.stage.name
        tops = list(tops) or [name]
        self.entries.append(Entry(name, type, list(bottoms) or [self.value], tops, numbers or {}, list(blobs)))
        self.value = tops[0]

    def _seen(self, weight: np.ndarray) -> np.ndarray:
        """Return the first weights for BGR minus the mean."""
        if not self.first:
            return weight
        self.first = False
        scale = np.broadcast_to(np.asarray(self.network.scale, np.float32), (3,)).reshape(1, 3, 1, 1)
        return (weight * scale)[:, ::-1]

    def _blobs(self) -> list[np.ndarray]:
        weight, bias = (self.tensors[name] for name in self.stage.parameters)
        return [self._seen(weight), bias]

    def _conv(self, layer: Conv) -> None:
        shape = self.stage.reading.shape
        if layer.round_up and self.stage.output != replace(layer, round_up=False).output_shape(shape):
            raise UsageError(
                f"Caffe has no convolution with padding on one side, as {self.stage.name} of "
                f"{self.network.name} does. Use --to onnx."
            )
        numbers = {"num_output": layer.filters * self.stage.towers, "kernel_size": layer.size}
        numbers |= {"stride": layer.stride, "pad": layer.pad, "group": plain_weights.groups(self.stage)}
        self._add("Convolution", {"convolution_param": numbers}, self._blobs())

    def _dense(self, layer: Dense) -> None:
        towers, (weight, bias) = 1 if self.stage.reading.shared else self.stage.towers, self._blobs()
        name, each = self.stage.name, len(bias) // towers
        parts = [""] if towers == 1 else [f"_{tower}" for tower in range(towers)]
        reads = [self.value] if towers == 1 else self._slice(towers)
        for tower, (part, read) in enumerate(zip(parts, reads, strict=True)):
            rows = slice(tower * each, (tower + 1) * each)
            numbers = {"inner_product_param": {"num_output": each}}
            self._add("InnerProduct", numbers, [weight[rows], bias[rows]], f"{name}{part}", [read])
        if towers > 1:
            self._add("Concat", bottoms=[f"{name}{part}" for part in parts])

    def _slice(self, towers: int) -> list[str]:
        """Slice the maps by tower."""
        tops = [f"{self.stage.name}_in_{tower}" for tower in range(towers)]
        self._add("Slice", {"slice_param": {"axis": 1}}, name=f"{self.stage.name}_slice", tops=tops)
        return tops

    def _lrn(self, layer: LRN) -> None:
        towers = self.stage.towers
        size = 2 * (layer.n // 2) + 1
        numbers = {"local_size": size, "alpha": layer.alpha * size, "beta": layer.beta, "k": layer.k}
        if towers == 1:
            self._add("LRN", {"lrn_param": numbers})
            return
        made = [f"{self.stage.name}_{tower}" for tower in range(towers)]
        for name, part in zip(made, self._slice(towers), strict=True):
            self._add("LRN", {"lrn_param": numbers}, name=name, bottoms=[part])
        self._add("Concat", bottoms=made)

    def _spatial_lrn(self, layer: SpatialLRN) -> None:
        """Normalise within a map, for which Caffe has k = 1 alone."""
        size = 2 * (layer.n // 2) + 1
        if layer.k != 1:
            raise UsageError(f"Caffe's within-channel LRN has k 1; {self.stage.name} has k {layer.k:g}. Use --to onnx.")
        numbers = {"norm_region": "WITHIN_CHANNEL", "local_size": size, "alpha": layer.alpha * size**2}
        self._add("LRN", {"lrn_param": numbers | {"beta": layer.beta}})

    def _relu(self, layer: ReLU) -> None:
        self._add("ReLU")

    def _activation(self, layer: Activation) -> None:
        found = activations.find(layer.function)
        if found.name == "leaky-relu":
            self._add("ReLU", {"relu_param": {"negative_slope": found.a}})
        elif found.name == "elu":
            self._add("ELU", {"elu_param": {"alpha": found.a}})
        elif found.name in FUNCTIONS:
            self._add(FUNCTIONS[found.name])
        elif found.name == "linear" and found.parameter is not None:
            self._add("Power", {"power_param": {"power": 1.0, "scale": found.a, "shift": found.offset}})
        elif found.name != "linear":
            raise UsageError(f"Caffe has no layer for {found.name}. Use --to onnx.")

    def _maxpool(self, layer: Pool) -> None:
        self._pool("MAX", layer)

    def _averagepool(self, layer: Pool) -> None:
        self._pool("AVE", layer)

    def _pool(self, way: str, layer: Pool) -> None:
        """Pool; Caffe rounds sizes up, so round_mode is added where that makes a difference."""
        numbers = {"pool": way, "kernel_size": layer.size, "stride": layer.stride}
        left = any((length - layer.size) % layer.stride for length in self.stage.reading.shape[1:])
        self._add("Pooling", {"pooling_param": numbers | ({"round_mode": "FLOOR"} if left > layer.round_up else {})})

    def _dropout(self, layer: Dropout) -> None:
        self._add("Dropout", {"dropout_param": {"dropout_ratio": layer.share}})

    def _batchnorm(self, layer: BatchNorm) -> None:
        """Add Caffe's two layers: the normalisation, whose third blob divides the others, and weight and bias."""
        mean, variance = (self.tensors[name] for name in self.stage.state)
        numbers = {"use_global_stats": True, "eps": layer.epsilon}
        self._add("BatchNorm", {"batch_norm_param": numbers}, [mean, variance, np.ones(1, np.float32)])
        self._add("Scale", {"scale_param": {"bias_term": True}}, self._scales(), f"{self.stage.name}_scale")

    def _scales(self) -> list[np.ndarray]:
        return [self.tensors[name] for name in self.stage.parameters]

    def _grey(self, layer: Grey) -> None:
        numbers = {"num_output": 1, "kernel_size": 1, "bias_term": False}
        weight = self._seen(np.array([RED, GREEN, BLUE], np.float32).reshape(1, 3, 1, 1))
        self._add("Convolution", {"convolution_param": numbers}, [weight])

    def _softmax(self, layer: Softmax) -> None:
        self._add("Softmax", name="prob")

    def _exchange(self, layer: Exchange) -> None:
        """Add nothing: the towers are concatenated already."""

    _join = _exchange
