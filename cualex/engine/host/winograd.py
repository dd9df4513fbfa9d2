"""Convolution of stride 1 with fewer products: Winograd's minimal filtering, two outputs a side at a time.

    y = A' [ (B' d B) * (G g G') ] A        for each tile d of the input, each filter g; * element by element

The sums over channels become one matrix product for each of the elements of a transformed tile: 16 instead of 36
for four outputs of a 3x3 filter. B and A hold only 0, 1 and -1, G also halves, so that small integers stay exact.
A rule for 5x5 filters, 49 products instead of 100, was tried: transforming its tiles costs what it saves.

The functions are those of `conv.py` and take the same arrays; `conv.py` calls them where they are faster.
Source: Winograd, "Arithmetic complexity of computations", 1980; for networks Lavin and Gray, arXiv:1509.09308.
"""

from dataclasses import dataclass

import numpy as np

from cualex.engine.host.filters import flipped
from cualex.engine.host.sums import LANES, add_in_order, add_product

TILE_BYTES = 4 << 20  # transformed tiles of one part of a batch


@dataclass(frozen=True)
class Rule:
    """Hold the matrices of a rule for two outputs: B' (elements, tile), G (elements, filter), A' (2, elements)."""

    tile: np.ndarray
    filter: np.ndarray
    output: np.ndarray


THREE = Rule(
    tile=np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    filter=np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    output=np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
)
RULES = {3: THREE}


def forward(device, x, weight, bias, y, *, size, shared=False, relu=False) -> None:
    """Convolve, add the bias and, with `relu`, set what is negative to zero."""
    sources = len(x) if shared else 1
    parts = weight[:, 0].reshape(len(weight), sources, size, size, -1, weight.shape[3])
    filters = _transformed(device, parts, size)

    def finish(tower, batch, rows, columns, values, scratch):
        values += bias[tower]
        target = y[tower, batch, rows, columns]
        if relu:
            np.maximum(values, 0, out=target)
        else:
            np.copyto(target, values)

    def reads(tower, batch):
        return [maps[batch] for maps in (x if shared else x[tower : tower + 1])]

    _correlate(device, reads, filters, y.shape, RULES[size], shared, finish)


def input_gradient(device, dy, weight, dx, *, size, pad=0, shared=False, relu_of=None) -> None:
    """Write the gradient of the input: `dy` correlated with the filters turned about."""
    towers, pictures = dy.shape[:2]
    sources = len(dx) if shared else 1
    turned = flipped(device, weight, size, sources)[:, 0]
    filters = _transformed(device, turned.reshape(towers, 1, size, size, -1, turned.shape[2]), size)
    edge = size - 1 - pad
    channels = dx[0].shape[3]

    def finish(tower, batch, rows, columns, values, scratch):
        for source in range(sources):
            target = source if shared else tower
            d = dx[target][batch, rows, columns]
            part = values[..., source * channels : (source + 1) * channels]
            if tower and shared:
                d += part
            else:
                np.copyto(d, part)
            if relu_of is not None and (tower == towers - 1 or not shared):
                positive = scratch("positive", d.shape, bool)
                d *= np.greater(relu_of[target][batch, rows, columns], 0, out=positive)

    def reads(tower, batch):
        return [dy[tower, batch]]

    shape = (towers, pictures, *dx[0].shape[1:3], turned.shape[2])
    _correlate(device, reads, filters, shape, RULES[size], False, finish, edge, shared)


def weight_gradient(device, x, dy, sink, bias_sink, *, size, shared=False) -> None:
    """Give `sink` the gradient of each tower's weights, `bias_sink` that of each tower's biases."""
    towers, pictures, height, width, filters = dy.shape
    rule = RULES[size]
    count, sources = len(rule.tile), len(x) if shared else 1
    channels = sources * x[0].shape[3]
    lanes = min(LANES, pictures)
    sums = device.scratch("weight sums", (lanes, towers, count**2, channels, filters), dy.dtype)
    bias_sums = device.scratch("bias sums", (lanes, towers, filters), dy.dtype)
    fit = _fit(rule, height, width, channels + filters, dy.itemsize)

    def lane(i, own, scratch):
        first, last = i * pictures // lanes, (i + 1) * pictures // lanes
        for start in range(first, last, fit):
            batch = slice(start, min(start + fit, last))
            for tower in own:
                if tower == own[0]:
                    maps = [m[batch] for m in (x if shared else x[tower : tower + 1])]
                    tiles = _tiles(maps, rule, height, width, 0, scratch)
                d = dy[tower, batch]
                spread = _spread(d, rule, scratch)
                add_product(tiles.transpose(0, 2, 1), spread, sums[i, tower], start == first, scratch)
                ones = scratch.constant("ones", (1, d[..., 0].size), d.dtype, 1)
                add_product(ones, d.reshape(-1, filters), bias_sums[i, tower : tower + 1], start == first, scratch)

    def add_up(tower, scratch):
        total = add_in_order(sums[:, tower]).reshape(count, -1)
        gradient = _both_sides(rule.filter.T, total, scratch).reshape(size, size, sources, -1, filters)
        ordered = scratch("weight gradient", (sources, size, size, channels // sources, filters), dy.dtype)
        np.copyto(ordered, gradient.transpose(2, 0, 1, 3, 4))
        sink((tower, 0), ordered.reshape(-1, filters))
        bias_sink(tower, add_in_order(bias_sums[:, tower]))

    everyone = tuple(range(towers))
    tasks = [(i, own) for i in range(lanes) for own in ([everyone] if shared else [(t,) for t in everyone])]
    device.run(lambda i, scratch: lane(*tasks[i], scratch), len(tasks))
    device.grid(add_up, towers)


def _correlate(device, reads, filters, shape, rule, shared, finish, edge=0, ordered=False) -> None:
    """Correlate maps with transformed filters; `finish` gets every second row and column of the result.

    `reads(tower, batch)` gives the maps, `edge` is the border of zeros to put around them. Where the maps are
    `shared` they are transformed once; where results are added up, `ordered`, one task takes all towers.
    """
    towers, pictures, height, width, outputs = shape
    count = len(rule.tile)
    fit = _fit(rule, height, width, filters.shape[2] + outputs, filters.itemsize)
    batches = [slice(n, min(n + fit, pictures)) for n in range(0, pictures, fit)]

    def task(batch, own, scratch):
        for tower in own:
            if tower == own[0] or not shared:
                tiles = _tiles(reads(tower, batch), rule, height, width, edge, scratch)
            products = scratch("products", (count**2, tiles.shape[1], outputs), tiles.dtype)
            np.matmul(tiles, filters[tower], out=products)
            grid = (batch.stop - batch.start, -(-height // 2), -(-width // 2), outputs)
            half = scratch("half", (2, count, *grid), tiles.dtype)
            _mix(rule.output, products.reshape(count, count, *grid), half)
            whole = scratch("whole", (2, *grid), tiles.dtype)
            for p in range(2):
                _mix(rule.output, half[p], whole)
                for q in range(2):
                    seen = whole[q, :, : (height + 1 - p) // 2, : (width + 1 - q) // 2]
                    finish(tower, batch, slice(p, None, 2), slice(q, None, 2), seen, scratch)

    everyone = tuple(range(towers))
    together = ordered or (shared and len(batches) >= device.workers.count)
    tasks = [(batch, own) for batch in batches for own in ([everyone] if together else [(t,) for t in everyone])]
    device.run(lambda i, scratch: task(*tasks[i], scratch), len(tasks))


def _fit(rule: Rule, height: int, width: int, channels: int, itemsize: int) -> int:
    """Say how many pictures' transformed tiles stay below `TILE_BYTES`."""
    tiles = -(-height // 2) * -(-width // 2)
    return max(1, TILE_BYTES // (len(rule.tile) ** 2 * tiles * channels * itemsize // 2))


def _tiles(maps, rule: Rule, height: int, width: int, edge: int, scratch) -> np.ndarray:
    """Transform the tiles of some maps: (elements, pictures * tiles, channels) of B' d B."""
    count, side = rule.tile.shape
    down, across = -(-height // 2), -(-width // 2)
    n, rows, columns, channels = maps[0].shape
    shape = (n, 2 * down + side - 2, 2 * across + side - 2, channels * len(maps))
    around = scratch.constant(f"around {edge} {rows} {columns}", shape, maps[0].dtype, 0)
    for source, part in enumerate(maps):
        own = slice(source * channels, (source + 1) * channels)
        around[:, edge : edge + rows, edge : edge + columns, own] = part
    half = scratch("half tiles", (count, n, down, shape[2], shape[3]), maps[0].dtype)
    _mix(rule.tile, [around[:, k : k + 2 * down - 1 : 2] for k in range(side)], half)
    tiles = scratch("tiles", (count, count, n, down, across, shape[3]), maps[0].dtype)
    for i in range(count):
        _mix(rule.tile, [half[i][:, :, k : k + 2 * across - 1 : 2] for k in range(side)], tiles[i])
    return tiles.reshape(count * count, -1, shape[3])


def _spread(dy, rule: Rule, scratch) -> np.ndarray:
    """Transform the tiles of a gradient: (elements, pictures * tiles, filters) of A dy A'."""
    n, rows, columns, filters = dy.shape
    down, across = -(-rows // 2), -(-columns // 2)
    even = scratch.constant(f"even {rows} {columns}", (n, 2 * down, 2 * across, filters), dy.dtype, 0)
    even[:, :rows, :columns] = dy
    count, back = len(rule.tile), rule.output.T
    half = scratch("half spread", (count, n, down, 2 * across, filters), dy.dtype)
    _mix(back, [even[:, p::2] for p in range(2)], half)
    spread = scratch("spread", (count, count, n, down, across, filters), dy.dtype)
    for i in range(count):
        _mix(back, [half[i][:, :, q::2] for q in range(2)], spread[i])
    return spread.reshape(count * count, -1, filters)


def _transformed(device, parts, size) -> np.ndarray:
    """Transform filters (towers, sources, size, size, channels, outputs): (towers, elements, inputs, outputs)."""
    towers, sources, _, _, channels, outputs = parts.shape
    matrix = RULES[size].filter
    count = len(matrix)
    shape = (towers, count, count, sources, channels, outputs)
    filters = device.scratch("transformed filters", shape, parts.dtype)

    def transform(tower, source, scratch):
        whole = _both_sides(matrix, parts[tower, source].reshape(size, -1), scratch)
        filters[tower, :, :, source] = whole.reshape(count, count, channels, outputs)

    device.grid(transform, towers, sources)
    return filters.reshape(towers, count * count, sources * channels, outputs)


def _both_sides(matrix, values, scratch) -> np.ndarray:
    """Multiply (a, a * numbers) values from both sides: (b, b, numbers), the matrix being (b, a)."""
    matrix = matrix.astype(values.dtype)
    b, a = matrix.shape
    rows = scratch("one side", (b, values.shape[1]), values.dtype)
    np.matmul(matrix, values, out=rows)
    rows = rows.reshape(b, a, -1)
    return np.matmul(matrix, rows, out=scratch("both sides", (b, b, rows.shape[2]), values.dtype))


def _mix(matrix, parts, out) -> None:
    """Write out[i] = SUM over k of matrix[i, k] * parts[k], where the matrix holds 0, 1 and -1."""
    for row, target in zip(matrix, out, strict=True):
        plus = [part for number, part in zip(row, parts, strict=True) if number > 0]
        minus = [part for number, part in zip(row, parts, strict=True) if number < 0]
        if not plus:
            np.negative(minus.pop(), out=target)
        elif len(plus) > 1:
            np.add(plus.pop(0), plus.pop(0), out=target)
        elif minus:
            np.subtract(plus.pop(), minus.pop(0), out=target)
        else:
            np.copyto(target, plus.pop())
        for part in plus:
            target += part
        for part in minus:
            target -= part
