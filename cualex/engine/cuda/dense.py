"""Dense layers: convolutions over maps of one pixel.

    y[n, o] = bias[o] + SUM over i of x[n, i] * weight[o, i]

`x` is a list of (images, inputs). Where it is shared, every tower reads all of them, one after the other; else
tower t reads `x[t]`. `y` is (towers, images, outputs), the weights (towers, outputs, inputs) with the inputs in the
order (source, row, column, channel), the biases (towers, outputs); in bf16 the argument `weight` is their copy. In
tf32 there is none: one in float32 would cost 4 bytes a weight and update, where the update is bound by memory, and save
instructions that the forward pass and the input gradient hide behind the same memory; so these round the weights.
"""

import numpy as np

from cualex.engine.cuda import gemm
from cualex.engine.cuda.gemm_shape import Shape


def pack(canonical: np.ndarray, *, towers: int = 1, maps: tuple[int, int, int], sources: int = 1) -> np.ndarray:
    """Turn (towers * outputs, inputs), the inputs by channel, row, column, into the engine's layout.

    `maps` is the shape (channels, rows, columns) of what one source gives.
    """
    parts = canonical.reshape(towers, -1, sources, *maps)
    return np.ascontiguousarray(parts.transpose(0, 1, 2, 4, 5, 3)).reshape(towers, -1, canonical.shape[1])


def unpack(packed: np.ndarray, *, maps: tuple[int, int, int], sources: int = 1) -> np.ndarray:
    """Convert the engine's layout to the canonical one."""
    towers, outputs, inputs = packed.shape
    channels, rows, columns = maps
    parts = packed.reshape(towers, outputs, sources, rows, columns, channels)
    return np.ascontiguousarray(parts.transpose(0, 1, 2, 5, 3, 4)).reshape(towers * outputs, inputs)


def forward(device, x, weight, bias, y, *, shared=False, relu=False) -> None:
    """Multiply, add the bias and, with `relu`, apply the ReLU."""
    gemm.forward(device, Shape.of(x, y, shared), x, weight, bias, y, relu, rounds_weight=True)


def backward(device, x, weight, dy, dx, sink=None, bias_sink=None, *, shared=False) -> None:
    """Write the input's gradient, and pass those of weights and biases to the sinks, which may update.

    `dx` is a list as `x` is, or None; a frozen layer has no sinks. Inputs that several towers read get the sum over
    the towers.
    """
    shape = Shape.of(x, dy, shared)
    if dx is not None:
        gemm.input_gradient(device, shape, dy, weight, dx, rounds_weight=True)
    if sink is not None:
        gemm.weight_gradient(device, shape, x, dy, sink, bias_sink)
