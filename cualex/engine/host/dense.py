"""Dense layers, by blocks of their large weight matrices.

    y[n, o] = bias[o] + SUM over i of x[n, i] * weight[i, o]

`x` is a list of (images, inputs). Where it is shared, every tower reads all of them, one after the other; else
tower t reads `x[t]`. `y` is (towers, images, outputs), the weights (towers, inputs, outputs) with the inputs in
the order (source, row, column, channel), the biases (towers, outputs).
"""

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine.host.sums import LANES, add_in_order, add_product
from cualex.engine.weight_ops import Sink

ALONE, SEVERAL = 1024, 512  # rows of a block in the forward pass, at most: of one image, and of more
INPUTS = 256  # rows of a block in the backward pass: enough for the products
PACKED = 64  # outputs that are reordered at a time: a cache line is read once for all of them
# Rows that the sink gets at a time: their weights, velocities and gradient fit a core's own cache.
UPDATED = 64


def pack(canonical: np.ndarray, *, towers: int = 1, maps: tuple[int, int, int], sources: int = 1) -> np.ndarray:
    """Turn (towers * outputs, inputs), the inputs by channel, row, column, into the engine's order.

    `maps` is the shape (channels, rows, columns) of what one source gives.
    """
    ordered = canonical.reshape(towers, -1, sources, *maps).transpose(0, 2, 4, 5, 3, 1)
    packed = np.empty(ordered.shape, canonical.dtype)
    for first in range(0, ordered.shape[-1], PACKED):
        packed[..., first : first + PACKED] = ordered[..., first : first + PACKED]
    return packed.reshape(towers, canonical.shape[1], -1)


def unpack(packed: np.ndarray, *, maps: tuple[int, int, int], sources: int = 1) -> np.ndarray:
    """Turn the engine's order back into the canonical one."""
    towers, inputs, outputs = packed.shape
    channels, rows, columns = maps
    parts = packed.reshape(towers, sources, rows, columns, channels, outputs)
    return np.ascontiguousarray(parts.transpose(0, 5, 1, 4, 2, 3)).reshape(towers * outputs, inputs)


def forward(
    device: HostDevice,
    x: list[np.ndarray],
    weight: np.ndarray,
    bias: np.ndarray,
    y: np.ndarray,
    *,
    shared: bool = False,
    relu: bool = False,
) -> None:
    """Multiply, add the bias and, with `relu`, set what is negative to zero.

    By whole rows of the weights, as they lie in memory: for a few images it takes as long as reading them. The rows
    are dealt to `LANES` partial sums, neighbours together, which are then added in their order.
    """
    towers, inputs, outputs = weight.shape
    pictures = y.shape[1]
    x = [_side_by_side(device, x)] * towers if shared else x
    rows = ALONE if pictures == 1 else SEVERAL
    lanes = min(LANES, -(-inputs // rows))
    sums = device.scratch("sums of rows", (lanes, towers, pictures, outputs), y.dtype)

    def add_up(tower, lane, scratch):
        start, stop = lane * inputs // lanes, (lane + 1) * inputs // lanes
        for first in range(start, stop, rows):
            own = slice(first, min(first + rows, stop))
            add_product(x[tower][:, own], weight[tower, own], sums[lane, tower], first == start, scratch)

    device.grid(add_up, towers, lanes)
    z = add_in_order(sums)
    z += bias[:, None]
    if relu:
        np.maximum(z, 0, out=z)
    np.copyto(y, z)


def backward(
    device: HostDevice,
    x: list[np.ndarray],
    weight: np.ndarray,
    dy: np.ndarray,
    dx: list[np.ndarray] | None,
    sink: Sink | None = None,
    bias_sink: Sink | None = None,
    *,
    shared: bool = False,
) -> None:
    """Write the input's gradient and give the sinks those of weights and biases, in one pass over the weights.

    A block of weights is read once: for `dx`, from the weights as they are, and then by the sink, which may
    update them. `dx` is a list as `x` is, or None; a frozen layer has no sinks. What several towers read gets the sum
    over the towers.
    """
    towers, _, outputs = dy.shape
    blocks = [
        (source, slice(first, min(first + INPUTS, maps.shape[1])))
        for source, maps in enumerate(x)
        for first in range(0, maps.shape[1], INPUTS)
    ]
    starts = np.cumsum([0] + [maps.shape[1] for maps in x])

    def task(i, scratch):
        source, rows = blocks[i]
        count, offset = rows.stop - rows.start, starts[source] if shared else 0
        place = slice(offset + rows.start, offset + rows.stop)
        for tower in range(towers) if shared else (source,):
            if dx is not None:
                product = scratch("product", (count, len(dy[tower])), dy.dtype)
                np.matmul(weight[tower, place], dy[tower].T, out=product)
                if tower and shared:
                    dx[source][:, rows] += product.T
                else:
                    np.copyto(dx[source][:, rows], product.T)
            if sink is None:
                continue
            block = scratch("weight gradient", (count, outputs), dy.dtype)
            np.matmul(x[source][:, rows].T, dy[tower], out=block)
            for first in range(0, count, UPDATED):
                part = block[first : first + UPDATED]
                start = place.start + first
                sink((tower, slice(start, start + len(part))), part)

    device.run(task, len(blocks))
    if bias_sink is not None:
        for tower in range(towers):
            bias_sink(tower, dy[tower].sum(0))


def _side_by_side(device, x) -> np.ndarray:
    """Copy the inputs of all sources into one matrix."""
    if len(x) == 1:
        return x[0]
    everything = device.scratch("side by side", (len(x[0]), sum(m.shape[1] for m in x)), x[0].dtype)
    return np.concatenate(x, axis=1, out=everything)
