"""Convolution as matrix products over columns of windows, a few images at a time.

    y[n, p, q, f] = bias[f] + SUM over r, s, c of x[n, p*stride + r, q*stride + s, c] * weight[r, s, c, f]

`x` is a list of maps (images, rows, columns, channels) with the `pad` pixels of padding already around them, as a
border of zeros, and with more zeros after them where the last filters reach beyond the end. Where it is shared, every
tower reads all of them, side by side along the channels; else tower t reads `x[t]`. `y` is (towers, images, rows,
columns, filters), the biases (towers, filters), the weights as `filters.py` has them.

Each product is one tower's over a fixed cut of the batch, so the bits do not depend on who computes it, nor on
whether the towers are on one device or two.
"""

from collections.abc import Callable, Sequence

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine.host.filters import pack, pack_picture, picture, unpack, unpack_picture
from cualex.engine.host.im2col import cuts, products, tiled
from cualex.engine.host.sums import LANES, add_in_order, add_product
from cualex.engine.weight_ops import Sink

__all__ = [
    "forward",
    "input_gradient",
    "pack",
    "pack_picture",
    "picture",
    "unpack",
    "unpack_picture",
    "weight_gradient",
]


def forward(
    device: HostDevice,
    x: list[np.ndarray],
    weight: np.ndarray,
    bias: np.ndarray,
    y: np.ndarray,
    *,
    size: int,
    stride: int = 1,
    pad: int = 0,
    groups: int = 1,
    shared: bool = False,
    relu: bool = False,
) -> None:
    """Convolve, add the bias and, with `relu`, set what is negative to zero."""
    towers, pictures, height, width, filters = y.shape
    per_group = filters // groups
    parts = cuts(pictures, height, width * weight.shape[2] * y.itemsize)

    def task(cut, own, scratch):
        rows = cut.rows.stop - cut.rows.start

        def reads(tower):
            return [cut.read(maps, size, stride) for maps in (x if shared else x[tower : tower + 1])]

        z = None
        for tower, group, cols in products(reads, own, groups, rows, width, size, stride, scratch):
            z = scratch("product", (len(cols), filters), y.dtype)
            np.matmul(cols, weight[tower, group], out=z[:, group * per_group : (group + 1) * per_group])
            if group == groups - 1:
                _finish(z, bias[tower], y[tower, cut.pictures, cut.rows], relu, scratch)

    _deal(device, task, parts, towers, shared and len(parts) >= device.workers.count)


def weight_gradient(
    device: HostDevice,
    x: list[np.ndarray],
    dy: np.ndarray,
    sink: Sink,
    bias_sink: Sink,
    *,
    size: int,
    stride: int = 1,
    pad: int = 0,
    groups: int = 1,
    shared: bool = False,
) -> None:
    """Give `sink` the gradient of each tower's and group's weights, `bias_sink` that of each tower's biases.

    The images are dealt to `LANES` partial sums, neighbours together, which are then added in their order.
    """
    towers, pictures, height, width, filters = dy.shape
    per_group = filters // groups
    depth = size * size * sum(maps.shape[3] for maps in (x if shared else x[:1])) // groups
    lanes = min(LANES, pictures)
    sums = device.scratch("weight sums", (lanes, towers, groups, depth, per_group), dy.dtype)
    bias_sums = device.scratch("bias sums", (lanes, towers, filters), dy.dtype)

    def lane(i, own, scratch):
        first, last = i * pictures // lanes, (i + 1) * pictures // lanes
        for cut in cuts(last - first, height, width * depth * groups * dy.itemsize, backward=True):
            batch = slice(first + cut.pictures.start, first + cut.pictures.stop)

            def reads(tower, batch=batch):
                return [maps[batch] for maps in (x if shared else x[tower : tower + 1])]

            for tower, group, cols in products(reads, own, groups, height, width, size, stride, scratch):
                d = dy[tower, batch].reshape(-1, filters)
                block = d[:, group * per_group : (group + 1) * per_group]
                add_product(cols.T, block, sums[i, tower, group], batch.start == first, scratch)
                if group == 0:
                    rows = d.reshape(-1, width * filters).sum(0)  # in long runs, and then in those of the filters
                    part = rows.reshape(width, filters).sum(0)
                    bias_sums[i, tower] = part if batch.start == first else bias_sums[i, tower] + part

    def add_up(tower, group, scratch):
        sink((tower, group), add_in_order(sums[:, tower, group]))
        if group == 0:
            bias_sink(tower, add_in_order(bias_sums[:, tower]))

    _deal(device, lane, range(lanes), towers, shared)
    device.grid(add_up, towers, groups)


def input_gradient(
    device: HostDevice,
    dy: np.ndarray,
    weight: np.ndarray,
    dx: list[np.ndarray],
    *,
    size: int,
    stride: int = 1,
    pad: int = 0,
    groups: int = 1,
    shared: bool = False,
    relu_of: list[np.ndarray] | None = None,
) -> None:
    """Write the gradient of the input, without its border: what each window gives, added up where windows overlap.

    `dx` is a list as `x` is. What several towers read gets the sum over the towers. Where `relu_of` gives the
    input's own values, the derivative of the ReLU that made them is taken as well.
    It goes by rows of the filters: the products of one stay in a core's own cache until they are added.
    """
    towers, pictures, rows, width, filters = dy.shape
    depth, per_group = weight.shape[2], filters // groups
    sources = len(dx) if shared else 1
    _, dx_rows, dx_width, channels = dx[0].shape
    run = size * (channels // groups)  # what a row of a window has
    inner = slice(pad, pad + dx_rows), slice(pad, pad + dx_width)
    sides = [max(side + 2 * pad, (count - 1) * stride + size) for side, count in ((dx_rows, rows), (dx_width, width))]
    parts = cuts(pictures, rows, width * depth * dy.itemsize, backward=True)

    def task(cut, own, scratch):
        part, n = cut.pictures, cut.pictures.stop - cut.pictures.start
        around = scratch("around", (sources, groups, n, *sides, channels // groups), dy.dtype)
        given = scratch("columns", (n, rows, width, size, channels // groups), dy.dtype)
        for tower in own:
            around[...] = 0
            d = dy[tower, part].reshape(-1, filters)
            for source, group, r in np.ndindex(sources, groups, size):
                first = (source * size + r) * run
                block = d[:, group * per_group : (group + 1) * per_group]
                np.matmul(block, weight[tower, group, first : first + run].T, out=given.reshape(-1, run))
                down = slice(r, r + (rows - 1) * stride + 1, stride)
                for s in range(size):
                    across = slice(s, s + (width - 1) * stride + 1, stride)
                    place = around[source, group, :, down, across]
                    place += given[:, :, :, s]
            for source, target in enumerate(dx if shared else dx[tower : tower + 1]):
                values = np.moveaxis(around[source], 0, 3)[:, *inner]
                target = target[part].reshape(values.shape)
                if tower == own[0]:
                    np.copyto(target, values)
                else:
                    target += values
        if relu_of is not None:
            for source in range(sources) if shared else own:
                target = dx[source][part]
                positive = scratch("positive", target.shape, bool)
                target *= np.greater(relu_of[source][part], 0, out=positive)

    _deal(device, task, parts, towers, shared)


def _deal(device: HostDevice, task: Callable[..., None], parts: Sequence, towers: int, together: bool) -> None:
    """Run `task(part, towers, scratch)` for each part of the batch, with all towers together, or one tower each."""
    everyone = tuple(range(towers))
    tasks = [(part, own) for part in parts for own in ([everyone] if together else [(t,) for t in everyone])]
    device.run(lambda i, scratch: task(*tasks[i], scratch), len(tasks))


def _finish(z, bias, target, relu, scratch) -> None:
    """Add the bias to a product and write it to `target`."""
    pictures, rows, width, _ = target.shape
    z = z.reshape(pictures, rows, -1)
    z += tiled(scratch, bias, width)
    target = target.reshape(z.shape)
    if relu:
        np.maximum(z, scratch.constant("zero row", (z.shape[2],), z.dtype, 0), out=target)
    else:
        np.copyto(target, z)
