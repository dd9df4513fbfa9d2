"""Layers that are called with arrays: `y = LRN()(x)` and `dx = y.backward(dy)`, on the device of x.

No array is kept on a layer: what a call computes, and what its backward pass needs, belongs to the result. The steps
are those that the layer gives every plan, run one by one: `Call` is the `Build` that runs them at once.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from cualex import engine
from cualex.devices.control import Control
from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.devices.host import HostDevice
from cualex.devices.runtime import Array
from cualex.engine.contract import Device, Engine
from cualex.errors import UsageError
from cualex.layers.layer import Layer
from cualex.layers.maps import Arguments, Buffer, Maps, PerDevice, Shape

CPU, GPU = 1, 2  # of DLPack
_turn = threading.Lock()  # calls share a device, whose work memory serves one at a time


@dataclass(frozen=True, eq=False)
class Result:
    """Output of a layer that was called: an array (images, channels, rows, columns), and the way back.

    array: NumPy's or CuPy's, as x was. np.asarray and DLPack (`torch.from_dlpack(y)`) take the result itself.
    """

    array: Array
    _back: Callable[[Array], Array]

    def backward(self, dy: Array) -> Array:
        """Return dx, the gradient of x, for that of the output; raise UsageError for an array of another kind.

        Dropout is that of inference. What is called for another gradient gives another dx: nothing is used up.
        """
        return self._back(dy)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return self.array.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype, copy=copy)

    def __dlpack__(self, **settings: Any) -> Any:
        return self.array.__dlpack__(**settings)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class MapLayer(Layer):
    """A layer without weights that reads the maps of one tower: it can be called."""

    def __call__(self, x: Array) -> Result:
        """Apply the layer to maps (images, channels, rows, columns), as in inference, on the device of x.

            >>> y = LRN()(np.ones((1, 8, 2, 2), np.float32))
            >>> y.shape, y.backward(np.ones(y.shape, np.float32)).shape
            ((1, 8, 2, 2), (1, 8, 2, 2))

        x: float32, on a CPU also float64; NumPy's, CuPy's, or any with DLPack (`__dlpack__`). All channels are one
        tower's. On a GPU x must be contiguous, and products have float32's precision. Raise UsageError for an array of
        another shape or type.
        """
        device, given = _placed(x)

        def beside(dy: Array) -> Array:
            other, array = _placed(dy)
            if other is not device:
                raise UsageError(
                    f"dy must be {device.master} on {device.name}, as x is; got {array.dtype} on {other.name}"
                )
            return array

        return apply(self, given, device, beside)


def apply(layer: Layer, x: Array, device: Any, beside: Callable[[Array], Array] = lambda dy: dy) -> Result:
    """Apply a layer to a plain array of a device; `beside` brings its gradient there."""
    _check("x", x, device, None)
    call = Call(device, layer.kind)
    build: Any = call  # it has what layers without weights ask of a plan
    with _turn:
        maps = call.read(x)
        y, kept = layer.forward(build, maps, ())
        plain = call.plain(y)

    def back(dy: Array) -> Array:
        given = beside(dy)
        _check("dy", given, device, plain.shape)
        with _turn:
            dx = layer.backward(build, maps, y, kept, call.read(given), ())
            if dx is None:
                raise TypeError(f"{type(layer).__name__} gives its input no gradient")
            return call.plain(dx)

    return Result(plain, back)


def _placed(x: Array) -> tuple[Any, Array]:
    """Return the device of an array, and the array as that device's library has it."""
    if not hasattr(x, "__dlpack_device__"):
        raise UsageError(f"expected an array of NumPy or CuPy, or one with __dlpack__; got {type(x).__name__}")
    kind, index = x.__dlpack_device__()
    if kind == GPU:
        device = _gpu(int(index))
        return device, device.runtime.shared(x)
    if kind != CPU:
        raise UsageError(f"expected an array on a CPU or a CUDA GPU; DLPack has this one on a device of kind {kind}")
    given = x if isinstance(x, np.ndarray) else np.from_dlpack(x)
    return _cpu("fp64" if given.dtype == np.float64 else "fp32"), given


@cache
def _cpu(precision: str) -> HostDevice:
    return HostDevice(precision=precision)


@cache
def _gpu(index: int) -> CudaDevice:
    return CudaDevice(f"cuda:{index}", CupyRuntime(), index, "fp32")


def _check(name: str, x: Array, device: Any, shape: tuple[int, ...] | None) -> None:
    """Raise UsageError unless an array has the device's type and four axes, or a shape."""
    if x.dtype != device.master:
        raise UsageError(f"{name} must be {device.master}, got {x.dtype}")
    if x.ndim != 4 or 0 in x.shape:
        raise UsageError(f"{name} must be (images, channels, rows, columns), got {tuple(x.shape)}")
    if shape is not None and tuple(x.shape) != tuple(shape):
        raise UsageError(f"{name} must have the shape of the output, {tuple(shape)}, got {tuple(x.shape)}")
    if device.engine == "cuda" and not x.flags.c_contiguous:
        raise UsageError(f"{name} must be contiguous on a GPU: give cupy.ascontiguousarray({name})")


class Call:
    """What a layer that is called has for a `Build`: one tower on one device, whose steps run at once."""

    training, trained, index, accumulated = False, False, 0, 1
    class_weights = None

    def __init__(self, device: Any, kind: str) -> None:
        """Compute a layer of this kind on a device."""
        self.device: Device = device
        self.engine: Engine[Any] = engine.find(device.engine)
        self.control, self._kind, self._batch = Control(), kind, 0
        self.first_tower = PerDevice(lambda place: 0)

    def read(self, x: Array) -> Maps:
        """Return a plain array as maps."""
        self._batch = len(x)
        maps = self.maps(x.shape[1:], 1)
        self._run(partial(self.engine.layout.from_plain, self.device, x, maps.on(0).array()))
        return maps

    def plain(self, maps: Maps) -> Array:
        """Return maps as a plain array, once all that is queued is done."""
        y = self.device.allocate((self._batch, *maps.shape), self.device.master)
        self._run(partial(self.engine.layout.to_plain, self.device, maps.on(0).array(), y))
        self.device.synchronize()
        return y

    def maps(self, shape: Shape, towers: int, label: str = "", border: int | None = None, dtype: Any = None) -> Maps:
        """Make maps; none of these layers' readers wants a border."""
        channels, rows, columns = shape
        full, kind = (1, self._batch, rows, columns, channels), np.dtype(dtype or self.device.dtype)
        return Maps(
            (channels, rows, columns), 1, (Buffer(label, 0, full, kind, array=self.device.allocate(full, kind)),)
        )

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
        **numbers: Any,
    ) -> None:
        """Run a step."""
        arrays = {name: given and given.on(0).array() for name, given in {**reads, **writes}.items()}
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
