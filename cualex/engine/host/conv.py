"""Convolution as matrix products over columns of windows, a few pictures at a time.

    y[n, p, q, f] = bias[f] + SUM over r, s, c of x[n, p*stride + r, q*stride + s, c] * weight[r, s, c, f]

`x` is a list of maps (pictures, rows, columns, channels) with the padding already around them as a border of
zeros. Where it is shared, every tower reads all of them, side by side along the channels; else tower t reads
`x[t]`. `y` is (towers, pictures, rows, columns, filters), the biases (towers, filters), the weights as
`filters.py` has them.

Each product is one tower's over a fixed cut of the batch, so the bits do not depend on who computes it, nor on
whether the towers are in one place or two.
"""

import numpy as np

from cualex.engine.host import winograd
from cualex.engine.host.filters import flipped, pack, unpack
from cualex.engine.host.sums import LANES, add_in_order, add_product
from cualex.engine.host.windows import cuts, products, tiled

MINIMAL = 8  # pictures from which Winograd's rules are faster

__all__ = ["forward", "input_gradient", "pack", "unpack", "weight_gradient"]


def forward(device, x, weight, bias, y, *, size, stride=1, groups=1, shared=False, relu=False) -> None:
    """Convolve, add the bias and, with `relu`, set what is negative to zero."""
    if _minimal(y.shape[1], size, stride, groups):
        winograd.forward(device, x, weight, bias, y, size=size, shared=shared, relu=relu)
        return
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

    tasks = _deal(parts, towers, shared and len(parts) >= device.workers.count)
    device.run(lambda i, scratch: task(*tasks[i], scratch), len(tasks))


def weight_gradient(device, x, dy, sink, bias_sink, *, size, stride=1, groups=1, shared=False) -> None:
    """Give `sink` the gradient of each tower's and group's weights, `bias_sink` that of each tower's biases.

    The pictures are dealt to `LANES` partial sums, neighbours together, which are then added in their order.
    """
    if _minimal(dy.shape[1], size, stride, groups):
        winograd.weight_gradient(device, x, dy, sink, bias_sink, size=size, shared=shared)
        return
    towers, pictures, height, width, filters = dy.shape
    per_group = filters // groups
    depth = size * size * sum(maps.shape[3] for maps in (x if shared else x[:1])) // groups
    lanes = min(LANES, pictures)
    sums = device.scratch("weight sums", (lanes, towers, groups, depth, per_group), dy.dtype)
    bias_sums = device.scratch("bias sums", (lanes, towers, filters), dy.dtype)

    def lane(i, own, scratch):
        first, last = i * pictures // lanes, (i + 1) * pictures // lanes
        for cut in cuts(last - first, height, width * depth * groups * dy.itemsize, bands=False):
            batch = slice(first + cut.pictures.start, first + cut.pictures.stop)

            def reads(tower, batch=batch):
                return [maps[batch] for maps in (x if shared else x[tower : tower + 1])]

            for tower, group, cols in products(reads, own, groups, height, width, size, stride, scratch):
                d = dy[tower, batch].reshape(-1, filters)
                ones = scratch.constant("ones", (1, len(d)), d.dtype, 1)
                block = d[:, group * per_group : (group + 1) * per_group]
                add_product(cols.T, block, sums[i, tower, group], batch.start == first, scratch)
                if group == 0:
                    add_product(ones, d, bias_sums[i, tower : tower + 1], batch.start == first, scratch)

    def add_up(tower, group, scratch):
        sink((tower, group), add_in_order(sums[:, tower, group]))
        if group == 0:
            bias_sink(tower, add_in_order(bias_sums[:, tower]))

    tasks = _deal(range(lanes), towers, shared)
    device.run(lambda i, scratch: lane(*tasks[i], scratch), len(tasks))
    device.grid(add_up, towers, groups)


def input_gradient(
    device, dy, weight, dx, *, size, stride=1, pad=0, groups=1, shared=False, relu_of=None
) -> None:
    """Write the gradient of the input, without its border: `dy` correlated with the filters turned about.

    `dx` is a list as `x` is. What several towers read gets the sum over the towers. Where `relu_of` gives the
    input's own values, the derivative of the ReLU that made them is taken as well.
    """
    if _minimal(dy.shape[1], size, stride, groups):
        winograd.input_gradient(
            device, dy, weight, dx, size=size, pad=pad, shared=shared, relu_of=relu_of
        )
        return
    towers, pictures, rows, width, filters = dy.shape
    _, dx_rows, dx_width, _ = dx[0].shape
    turned = flipped(device, weight, size, len(dx) if shared else 1)
    per_group = turned.shape[3]
    edge = size - 1 - pad
    parts = cuts(pictures, dx_rows, dx_width * size * size * filters * dy.itemsize, bands=False)

    def task(cut, own, scratch):
        n = cut.pictures.stop - cut.pictures.start
        around = (n, dx_rows + size - 1, dx_width + size - 1, filters)
        around = scratch.constant(f"around {edge} {stride} {rows} {width}", around, dy.dtype, 0)
        total = scratch("input gradient", (n * dx_rows * dx_width, per_group * groups), dy.dtype)

        def reads(tower):
            last = slice(edge, edge + (rows - 1) * stride + 1, stride)
            around[:, last, edge : edge + (width - 1) * stride + 1 : stride] = dy[tower, cut.pictures]
            return [around]

        for tower in own:
            for _, group, cols in products(reads, (tower,), groups, dx_rows, dx_width, size, 1, scratch):
                np.matmul(
                    cols, turned[tower, group], out=total[:, group * per_group : (group + 1) * per_group]
                )
            targets = range(len(dx)) if shared else (tower,)
            for target, values in zip(targets, np.split(total, len(targets), axis=1), strict=True):
                d = dx[target][cut.pictures]
                values = values.reshape(d.shape)
                if tower == own[0]:
                    np.copyto(d, values)
                else:
                    d += values
                if relu_of is not None and tower == own[-1]:
                    positive = scratch("positive", d.shape, bool)
                    d *= np.greater(relu_of[target][cut.pictures], 0, out=positive)

    tasks = _deal(parts, towers, shared)
    device.run(lambda i, scratch: task(*tasks[i], scratch), len(tasks))


def _minimal(pictures, size, stride, groups) -> bool:
    """Say whether Winograd's rules are faster: enough pictures must pay for transforming the filters.

    So the last bits of a picture's maps may differ between a batch of fewer pictures and one of more.
    """
    return size in winograd.RULES and stride == groups == 1 and pictures >= MINIMAL


def _deal(parts, towers, together) -> list:
    """Make the tasks: a part of the batch with all towers together, or with one tower each."""
    everyone = tuple(range(towers))
    return [(part, own) for part in parts for own in ([everyone] if together else [(t,) for t in everyone])]


def _finish(z, bias, target, relu, scratch) -> None:
    """Add the bias to a product and put it in its place."""
    pictures, rows, width, _ = target.shape
    z = z.reshape(pictures, rows, -1)
    z += tiled(scratch, bias, width)
    target = target.reshape(z.shape)
    if relu:
        np.maximum(z, scratch.constant("zero row", (z.shape[2],), z.dtype, 0), out=target)
    else:
        np.copyto(target, z)
