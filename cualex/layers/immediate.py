"""A layer's steps, run at once on one device: the `Build` of layers that are called."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cualex import engine
from cualex.devices.control import Control
from cualex.devices.runtime import Array
from cualex.engine.contract import Device, Engine
from cualex.layers.layer import Layer, Reading
from cualex.layers.maps import Arguments, Buffer, Maps, Operand, PerDevice, Shape


def _bound(given: Any) -> Any:
    """Return the array of an operand, those of a list, or an array itself."""
    if isinstance(given, list):
        return [each.array() for each in given]
    return given.array() if isinstance(given, Operand) else given


class Call:
    """What a layer that is called has for a `Build`: one tower on one device, whose steps run at once."""

    training, trained, index, accumulated = False, False, 0, 1
    class_weights = None

    def __init__(self, device: Any, layer: Layer, shape: Shape, tensors: Mapping[str, np.ndarray]) -> None:
        """Compute a layer that reads maps of a shape on a device, with canonical tensors by their last names."""
        self.device: Device = device
        self.engine: Engine[Any] = engine.find(device.engine)
        self.control, self._kind, self._batch = Control(), layer.kind, 0
        self.first_tower = PerDevice(lambda place: 0)
        self._border = layer.border(shape) if self.engine.borders else 0
        # Filters over maps are those of stride 1; with their stride an engine orders them for the pixels of an image.
        packing: Any = layer
        if layer.kind == "conv":
            packing = replace(packing, stride=1)
        reading = Reading(shape)
        self._tensors: dict[str, Array] = {}
        for name, canonical in tensors.items():
            packed = packing.pack(self.engine, name, canonical, 1, reading)
            self._tensors[name] = device.allocate(packed.shape, device.master)
            device.upload(self._tensors[name], packed.astype(device.master, copy=False))

    @property
    def weight(self) -> PerDevice:
        """Return the weights."""
        return self.state("weight")

    @property
    def bias(self) -> PerDevice:
        """Return the biases."""
        return self.state("bias")

    def state(self, last: str) -> PerDevice:
        """Return a tensor by its last name."""
        return PerDevice(lambda place: self._tensors[last])

    def wants_gradient(self, x: Maps) -> bool:
        """Return True: x gets one."""
        return True

    def read(self, x: Array) -> Maps:
        """Return a plain array as maps."""
        self._batch = len(x)
        maps = self.maps(x.shape[1:], 1, border=self._border)
        self._run(partial(self.engine.layout.from_plain, self.device, x, maps.on(0).array()))
        return maps

    def plain(self, maps: Maps) -> Array:
        """Return maps as a plain array, once all that is queued is done."""
        y = self.device.allocate((self._batch, *maps.shape), self.device.master)
        self._run(partial(self.engine.layout.to_plain, self.device, maps.on(0).array(), y))
        self.device.synchronize()
        return y

    def maps(self, shape: Shape, towers: int, label: str = "", border: int | None = None, dtype: Any = None) -> Maps:
        """Make maps, with zeros around them where a border is asked for."""
        channels, rows, columns = shape
        edge, kind = border or 0, np.dtype(dtype or self.device.dtype)
        full = (1, self._batch, rows + 2 * edge, columns + 2 * edge, channels)
        array = self.device.allocate(full, kind, zero=edge > 0)
        return Maps((channels, rows, columns), 1, (Buffer(label, 0, full, kind, edge, array=array),))

    def saved(self, x: Maps, y: Maps) -> Maps | None:
        """Make what the engine keeps for the backward pass."""
        keeps = self.engine.saves.get(self._kind)
        if keeps is None:
            return None
        return self.maps({"input": x, "output": y}[keeps.like].shape, 1, dtype=keeps.dtype)

    def gradient(self, x: Maps, *, relu: bool = True) -> Maps:
        """Make the gradient of x."""
        return self.maps(x.shape, 1)

    def step(
        self,
        function: Callable[..., None],
        /,
        *,
        reads: Arguments,
        writes: Arguments,
        sinks: Mapping[str, str] = {},
        products: int = 0,
        place: int | None = None,
        **numbers: Any,
    ) -> None:
        """Run a step."""
        arrays = {name: given and _bound(given.on(0)) for name, given in {**reads, **writes}.items()}
        own = {name: each.on(0) if isinstance(each, PerDevice) else each for name, each in numbers.items()}
        self._run(partial(function, self.device, **arrays, **own))

    def _run(self, work: Callable[[], None]) -> None:
        """Run an engine's function; on a GPU once its kernels are compiled and tested."""
        while True:
            run, launches = self.device.prepare(work)
            self.device.compile(launches)
            if self.device.self_test(launches, []):
                run()
                return
