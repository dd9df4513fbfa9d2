"""What a layer asks of the plan while the list of steps is made; plan/builder.py answers."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cualex.devices.control import Control
from cualex.engine.contract import Engine
from cualex.layers.maps import Arguments, Maps, Operand, PerDevice, Shape


class Build(Protocol):
    """The plan that is being made, as a layer sees it: maps to read and write, and `step`, which appends to the list.

    A layer names no device and no tower: what it asks for exists on all of them, and a step is made for each.
    """

    training: bool
    control: Control
    labels: Operand
    sums: Operand
    class_weights: Operand | None

    @property
    def engine(self) -> Engine[Any]:
        """Return the engine, whose functions the steps call."""

    @property
    def trained(self) -> bool:
        """Return whether this layer has parameters that are not frozen."""

    @property
    def index(self) -> int:
        """Return this layer's index in the network."""

    @property
    def accumulated(self) -> int:
        """Return in how many parts a batch is computed, whose gradients are added up before one update."""

    @property
    def first_tower(self) -> PerDevice:
        """Return the index of each device's first tower."""

    @property
    def weight(self) -> PerDevice:
        """Return this layer's weights as the engine's products read them."""

    @property
    def bias(self) -> PerDevice:
        """Return this layer's biases."""

    def state(self, last: str) -> PerDevice:
        """Return what this layer keeps from step to step, by the last part of its name ("mean")."""

    def maps(self, shape: Shape, towers: int, label: str = "", border: int | None = None, dtype: Any = None) -> Maps:
        """Make maps on all devices; by default with the border that the next layer reads."""

    def per_channel(self, x: Maps, label: str) -> Maps:
        """Make (towers, channels) on all devices: a number for each channel of x, as exact as the weights."""

    def saved(self, x: Maps, y: Maps) -> Maps | None:
        """Make what the engine keeps of the step from x to y for the backward pass; None where it keeps nothing."""

    def wants_gradient(self, x: Maps) -> bool:
        """Return whether anything below learns: not the image, nor layers that are frozen."""

    def gradient(self, x: Maps, *, relu: bool = True) -> Maps:
        """Make the gradient of x.

        Where the engine's backward step of this layer also takes the derivative of the ReLU that made x, the gradient
        is `relu_taken`; never without `relu`.
        """

    def gather(self, x: Maps, readers: int) -> Maps:
        """Give the first `readers` towers the maps of all towers: link what is on another device."""

    def scatter(self, x: Maps, dy: Maps) -> Maps:
        """Give each tower the gradients of its maps from all that read them, added up."""

    def step(
        self,
        function: Callable[..., None],
        /,
        *,
        reads: Arguments,
        writes: Arguments = ...,
        sinks: Mapping[str, str] = ...,
        products: int = 0,
        place: int | None = None,
        **numbers: Any,
    ) -> None:
        """Append a step on each device, or at one `place`: `function(device, **reads, **writes, **sinks, **numbers)`.

        function: one of `engine`. reads, writes: its arrays by argument; None is passed on. sinks: by argument, the
        last name of the parameter whose gradient it takes. products: how often the step makes the layer's product, for
        the count of operations. numbers: its other arguments; of a `PerDevice` each device gets its own.
        """
