"""Layers that are called with arrays: `y = LRN()(x)` and `dx = y.backward(dy)`, on the device of x.

Those with weights are given them, or draw them: `Conv(8, size=3)(x, weight, bias)`, `Conv(8, size=3)(x, seed=1)`.

No array is kept on a layer: what a call computes, and what its backward pass needs, belongs to the result. The steps
are those that the layer gives every plan, run one by one: `Call` (immediate.py) is the `Build` that runs them at once.
"""

import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.devices.host import HostDevice
from cualex.devices.runtime import Array
from cualex.errors import UsageError
from cualex.layers.immediate import Call
from cualex.layers.layer import Layer, Parameter

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
        return called(self, x, {}, 0)


class WeightedLayer(Layer):
    """A layer with weights that reads the maps of one tower: it can be called."""

    def __call__(self, x: Array, weight: Array | None = None, bias: Array | None = None, *, seed: int = 0) -> Result:
        """Apply the layer to maps (images, channels, rows, columns), as in inference, on the device of x.

        x: as for layers without weights (`MapLayer`).  weight, bias: canonical, of the shapes that `parameters` gives
        for one image of x, as PyTorch has them; those that are not given are drawn as at the start of a training, from
        `seed`. `backward` gives the gradient of x; weights get none. Raise UsageError for an array of another shape or
        type, and where the layer does not fit the maps.
        """
        return called(self, x, {"weight": weight, "bias": bias}, seed)


def called(layer: Layer, x: Array, tensors: Mapping[str, Array | None], seed: int) -> Result:
    """Apply a layer to an array on the device of x; see `apply`."""
    device, given = _placed(x)

    def beside(dy: Array) -> Array:
        other, array = _placed(dy)
        if other is not device:
            raise UsageError(f"dy must be {device.master} on {device.name}, as x is; got {array.dtype} on {other.name}")
        return array

    return apply(layer, given, device, beside, tensors, seed)


def apply(
    layer: Layer,
    x: Array,
    device: Any,
    beside: Callable[[Array], Array] = lambda dy: dy,
    tensors: Mapping[str, Array | None] = MappingProxyType({}),
    seed: int = 0,
) -> Result:
    """Apply a layer to a plain array of a device; `beside` brings its gradient there.

    tensors: canonical parameters and state by their last names; None, or no entry, is drawn from the seed.
    """
    _check("x", x, device, None)
    try:
        layer.output_shape(x.shape[1:])
    except ValueError as error:
        raise UsageError(f"{error}; x is {tuple(x.shape)}") from None
    own = {**layer.parameters(x.shape[1:]), **layer.state(x.shape[1:])}
    canonical = {name: _canonical(name, each, tensors.get(name), seed) for name, each in own.items()}
    call = Call(device, layer, x.shape[1:], canonical)
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


def _canonical(name: str, parameter: Parameter, given: Array | None, seed: int) -> np.ndarray:
    """Return a canonical tensor that is given, on the host, or drawn."""
    if given is None:
        return parameter.draw(parameter.shape, [seed, zlib.crc32(name.encode())])
    device, array = _placed(given)
    if array.dtype not in (np.float32, np.float64) or tuple(array.shape) != parameter.shape:
        raise UsageError(
            f"{name} must be float32 or float64 of the shape {parameter.shape}, got {array.dtype} {tuple(array.shape)}"
        )
    return np.asarray(device.download(array))
