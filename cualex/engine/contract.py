"""What layers and plans know of engines and devices: the functions of both engines, the methods of both devices.

An engine is a set of modules, one an operation; map_ops.py, weight_ops.py and array_ops.py have their functions, with
all arguments and shapes. An engine's functions take its own kind of device first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np

from cualex.devices.control import Control
from cualex.devices.fallbacks import Touched
from cualex.devices.runtime import Array
from cualex.engine import array_ops, map_ops, weight_ops

DeviceT = TypeVar("DeviceT")


@dataclass(frozen=True)
class Saved:
    """What an engine keeps from the forward to the backward pass of a step.

    It has the shape of the step's input or output (`like`), and the maps' type unless `dtype` names one.
    """

    label: str
    like: str
    dtype: np.dtype | type | None = None


@dataclass(frozen=True)
class Engine(Generic[DeviceT]):
    """The arithmetic for one kind of device: its operations, and what plans must know of how it works.

    saves: what a step keeps for its backward pass, by its layers' kinds ("lrn+maxpool").
    borders: maps lie with the zeros of a padded convolution around them; else the convolution is told its padding.
    slots: for how many batches inputs have room, on an axis before their own; 0 for one, without that axis.
    fuses: pairs of neighbouring layers that one step does together, forward and backward.
    takes_relu: kinds of layers whose backward step can take the ReLU below as well.
    tree: adds gradients of parts as a balanced tree, where that is asked for; None: always in a chain.
    """

    activation: map_ops.ActivationOps[DeviceT]
    averagepool: map_ops.AveragePoolOps[DeviceT]
    batchnorm: weight_ops.BatchNormOps[DeviceT]
    conv: weight_ops.ConvOps[DeviceT]
    crop: map_ops.CropOps[DeviceT]
    dense: weight_ops.DenseOps[DeviceT]
    dropout: map_ops.DropoutOps[DeviceT]
    exchange: map_ops.ExchangeOps[DeviceT]
    grey: map_ops.GreyOps[DeviceT]
    layout: array_ops.LayoutOps[DeviceT]
    lrn: map_ops.LRNOps[DeviceT]
    maxpool: map_ops.MaxPoolOps[DeviceT]
    relu: map_ops.ReLUOps[DeviceT]
    softmax: map_ops.SoftmaxOps[DeviceT]
    spatial_lrn: map_ops.NormaliseOps[DeviceT]
    statistics: array_ops.StatisticsOps[DeviceT]
    update: weight_ops.UpdateOps[DeviceT]

    saves: Mapping[str, Saved]
    borders: bool
    slots: int
    fuses: frozenset[tuple[str, str]] = frozenset({("conv", "relu"), ("dense", "relu"), ("lrn", "maxpool")})
    takes_relu: frozenset[str] = frozenset({"batchnorm", "conv", "lrn", "maxpool", "spatial_lrn"})
    tree: weight_ops.TreeOps | None = None


class Device(Protocol):
    """A place that computes, as plans and parameters see it: `cpu` or a GPU.

    `dtype` is that of maps and gradients, `master` that of weights and their gradients; `engine` names its engine.
    Work is queued in order; only `download`, `synchronize` and the function that `fetch` returns wait for it.
    """

    name: str
    engine: str
    dtype: np.dtype
    master: np.dtype

    @property
    def scratch_bytes(self) -> int:
        """Return the size of the engine's own work arrays."""

    def allocate(self, shape: tuple[int, ...], dtype: Any = ..., zero: bool = False) -> Array:
        """Return a new array on this device; with `zero`, of zeros."""

    def free(self) -> int | None:
        """Return how many bytes can be allocated; None where only trying tells."""

    def upload(self, target: Array, values: np.ndarray) -> None:
        """Copy values, rounded to the array's type and broadcast to its shape, to this device."""

    def upload_rounded(self, target: Array, values: np.ndarray) -> None:
        """Copy what gemms read: in tf32 it is rounded."""

    def copies(self, dimensions: int) -> bool:
        """Return whether gemms read a copy of weights with so many axes, rounded; each update writes both."""

    def zero(self, target: Array) -> None:
        """Queue that all of an array becomes zero."""

    def download(self, source: Array) -> np.ndarray:
        """Wait for what is queued; return a copy on the host."""

    def fetch(self, source: Array) -> Callable[[], np.ndarray]:
        """Queue a copy to the host; return a function that waits for it and returns it."""

    def begin_loading(self, slot: int) -> None:
        """Let what is loaded from here on wait until no step reads this input slot any more."""

    def load(self, inputs: Sequence[tuple[Array, np.ndarray]], block: Array | None) -> None:
        """Queue copies of inputs, (array, values), beside the step that runs; the next step waits for them.

        With `block`, the memory in which all of them lie, queue one copy behind the work that is queued.
        """

    def loaded(self) -> Callable[[], None]:
        """Return a function that waits until all that has been loaded so far is there."""

    def staging(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory of the host from which inputs are loaded."""

    def begin(self, control: Control, training: bool) -> None:
        """Start a step of training or inference with these numbers."""

    def end(self, control: Control, training: bool) -> None:
        """Note that all of the step is queued."""

    def link(self, home: Self, source: Array, target: Array, name: str, *, finite: bool) -> None:
        """Copy maps from another device, `home`, and count them in the ledger under the name of the link.

        With `finite` the word goes along that says whether the loss was finite.
        """

    def prepare(self, function: Callable[[], None], rounds: bool = ...) -> tuple[Callable[[], None], list]:
        """Return what runs an engine's function again and again, and the kernel launches it consists of.

        With `rounds` gemms read the maps that it writes, which in tf32 are rounded; else they stay float32.
        """

    def compile(self, launches: list, progress: Callable[[int, int], None] | None = None) -> None:
        """Compile the kernels of a plan."""

    def self_test(self, launches: list, disposable: Sequence[Array]) -> bool:
        """Test kernels at their first use; False: some failed, and the plan's functions now describe others.

        Arrays are left as they were, but for the disposable ones.
        """

    def capture(
        self, devices: Sequence[Self], work: Callable[[], None], touched: Callable[[], Touched] | None = ...
    ) -> Callable[[], None] | None:
        """Record what `work` queues on these devices as a graph; return what launches it, None without graphs.

        With `touched`, the graph may be compared with the work, and None returned where they differ. The first launch
        does nothing where the comparison has run it.
        """

    def synchronize(self) -> None:
        """Wait until nothing is queued."""


def rank(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count the classes that are named before each label: (images,).

    A higher score is named first, among equals the lower class; a score that is not a number is named last, and
    its own class is never right.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    ahead = (scores > own) | ((scores == own) & before)
    return np.where(np.isnan(own[:, 0]), scores.shape[1] + 5, ahead.sum(axis=1))
