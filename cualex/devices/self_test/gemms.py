"""What the gemms of convolution and dense layers must give, as direct sums over what kernels/conv.cu lists.

Operands are float32 here: a sum of products of small integers is exact as long as it is below 2^24. Those of wgmma are
real numbers, summed in float64, with a tolerance: in which order the hardware adds is not published.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from cualex.devices.self_test.parameters import sink
from cualex.devices.self_test.trial import PERIOD, UNIT, Pattern, Trial
from cualex.devices.stored import from_bf16, to_bf16

MOST = 2_000_000  # values of one operand that are looked up
FEWEST, MANY = 8, 40  # sampled rows, or columns, beside those at edges


def _number(depth: int) -> int:
    """Return how many rows, and columns, are sampled of a gemm of this depth."""
    return int(np.clip(MOST // depth, FEWEST, MANY))


def _ends(count: int) -> list[int]:
    """Return the first and the last of so many towers, or groups."""
    return sorted({0, count - 1})


def _parts(t: Trial, depth: int) -> list[slice]:
    """Return which part of the depth each split adds up: whole steps, as even as they allow."""
    steps, splits = -(-depth // t["TILE_DEPTH"]), t["SPLITS"]
    first = [split * steps // splits * t["TILE_DEPTH"] for split in range(splits + 1)]
    return [slice(one, min(other, depth)) for one, other in pairwise(first)]


def _maps(t: Trial, tower: int, read: Callable[[str], Pattern]) -> list[Pattern]:
    """Return the maps that a tower reads, a source each."""
    if t["READS_ALL"]:
        return [read(f"x{source}") for source in range(t["SOURCES"])]
    return [read(f"x{tower}")]


def _pixels(t: Trial) -> int:
    return t["BATCH"] * t["OUT_ROWS"] * t["OUT_COLUMNS"]


def _window(t: Trial) -> int:
    return t["SOURCES"] * t["FILTER_SIZE"] ** 2 * (t["CHANNELS"] // t["GROUPS"])


def _im2col(
    t: Trial, tower: int, group: int, pixels: np.ndarray, taps: np.ndarray, read: Callable[[str], Pattern]
) -> np.ndarray:
    """Return (pixels, taps): the value that each window has at each index (source, r, s, channel), 0 beyond the maps.

    x[source][n, p * STRIDE + r - PAD, q * STRIDE + s - PAD, channel]
    """
    channels, size = t["CHANNELS"] // t["GROUPS"], t["FILTER_SIZE"]
    source, rest = np.divmod(taps, size * size * channels)
    r, rest = np.divmod(rest, size * channels)
    s, channel = np.divmod(rest, channels)
    image, place = np.divmod(pixels, t["OUT_ROWS"] * t["OUT_COLUMNS"])
    top, left = (each * t["STRIDE"] - t["PAD"] for each in np.divmod(place, t["OUT_COLUMNS"]))
    first = ((image * t["ROWS"] + top) * t["COLUMNS"] + left) * t["CHANNELS"] + group * channels
    further = (r * t["COLUMNS"] + s) * t["CHANNELS"] + channel
    values = np.empty((pixels.size, taps.size), np.float32)
    for number, maps in enumerate(_maps(t, tower, read)):
        values[:, source == number] = maps.table(first, further[source == number])
    for start, tap, length in ((top, r, t["ROWS"]), (left, s, t["COLUMNS"])):
        inside = (start[:, None] + np.arange(size) >= 0) & (start[:, None] + np.arange(size) < length)
        if not inside.all():
            values *= inside[:, tap]
    return values


def conv_forward_wgmma(t: Trial) -> None:
    """y[pixel, filter] = bias + SUM over the window of x * weight, within what a sum in float32 may be off by."""
    bias = _reals(t, "bias")
    for at, filters, a, b in _forward(t, partial(_reals, t)):
        a, b = a.astype(np.float64), b.astype(np.float64)
        y = a @ b.T + bias.at(filters)
        magnitude = np.abs(a) @ np.abs(b).T + np.abs(bias.at(filters))
        t.expect("y", at, np.maximum(y, 0) if t["RELU"] else y, _error(_window(t) + 1) * magnitude)


def _reals(t: Trial, name: str) -> Pattern:
    """Let an argument hold numbers of bfloat16, around 0.5 with deviation 1."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).normal(0.5, 1, PERIOD).astype(np.float32)
    return t.hold(name, from_bf16(to_bf16(drawn)).astype(np.float64))


def _error(terms: int) -> float:
    """Bound the error of a sum on tensor cores, of SUM |ab|: 4 u sqrt(K) + 2 u K / 8, u = UNIT.

    Roundings count as independent, four of their standard deviations; but the hardware cuts off after each 8 products
    or more, towards zero, by less than a unit in the last place of the sum, and such errors may have one sign. Stored
    in bfloat16 a sum that is off may round the other way, so that the bound grows by that rounding, 2^-8.
    """
    return (4 * UNIT * terms**0.5 + 2 * UNIT * -(-terms // 8)) * (1 + 2.0**-8)


def conv_forward(t: Trial) -> None:
    """y[pixel, filter] = bias + SUM over the window of x * weight; parts of the sum to slabs where it is split."""
    pixels, window = _pixels(t), _window(t)
    for at, filters, a, b in _forward(t, t.read):
        if t["SPLITS"] > 1:
            for split, part in enumerate(_parts(t, window)):
                slab = split * t["TOWERS"] * pixels * t["FILTERS"]
                t.expect("slabs", slab + at, a[:, part] @ b[:, part].T)
            continue
        y = a @ b.T + t.read("bias").at(filters)
        t.expect("y", at, np.maximum(y, 0) if t["RELU"] else y)


def _forward(t: Trial, read: Callable[[str], Pattern]) -> Iterator[tuple[np.ndarray, ...]]:
    """Choose pixels and filters of each tower and group; yield where in y, the filters of all, windows, weights."""
    pixels, window, made = _pixels(t), _window(t), t["FILTERS"] // t["GROUPS"]
    weight, depth, number = read("weight"), np.arange(window), _number(window)
    for tower in _ends(t.grid[2] // (t["GROUPS"] * t["SPLITS"])):
        for group in _ends(t["GROUPS"]):
            rows, columns = t.some(pixels, number, t["TILE_ROWS"]), t.some(made, number, t["TILE_COLUMNS"])
            filters = tower * t["FILTERS"] + group * made + columns
            a, b = _im2col(t, tower, group, rows, depth, read), weight.table(filters * window, depth)
            at = (tower * pixels + rows)[:, None] * t["FILTERS"] + group * made + columns
            yield at, filters, a, b


def accumulated(t: Trial, y: str, relu_of: str, at: np.ndarray, sums: np.ndarray) -> None:
    """Expect what becomes of the sums of an input gradient (kernels/common/accumulate.cuh)."""
    if t["ADD"]:
        sums = t.read(y).at(at) + t.stored(y, sums)
    if t.has(relu_of):
        sums = np.where(t.read(relu_of).at(at) > 0, sums, 0)
    t.expect(y, at, sums)


def conv_input_gradient(t: Trial) -> None:
    """dx[pixel, channel] = SUM over r, s, f of dy * weight, with p * STRIDE = h + PAD - r, q * STRIDE = w + PAD - s."""
    size, made, channels = t["FILTER_SIZE"], t["FILTERS"] // t["GROUPS"], t["CHANNELS"] // t["GROUPS"]
    inputs, pixels, window = t["BATCH"] * t["ROWS"] * t["COLUMNS"], _pixels(t), _window(t)
    towers = t.grid[2] // (t["GROUPS"] * t["SPLITS"])
    dy, weight, depth = t.read("dy"), t.read("weight"), np.arange(size * size * made)
    tap, filters = np.divmod(depth, made)
    r, s = np.divmod(tap, size)
    number = _number(depth.size)
    for tower in _ends(towers):
        for group in _ends(t["GROUPS"]):
            rows = t.some(inputs, number, t["TILE_ROWS"])
            columns = t.some(t["SOURCES"] * channels, number, t["TILE_COLUMNS"])
            image, place = np.divmod(rows, t["ROWS"] * t["COLUMNS"])
            h, w = np.divmod(place, t["COLUMNS"])
            (p, down), (q, across) = (
                np.divmod(start[:, None] + t["PAD"] - tap, t["STRIDE"]) for start, tap in ((h, r), (w, s))
            )
            inside = (down == 0) & (across == 0) & (p >= 0) & (p < t["OUT_ROWS"]) & (q >= 0) & (q < t["OUT_COLUMNS"])
            pixel = tower * pixels + (image[:, None] * t["OUT_ROWS"] + p) * t["OUT_COLUMNS"] + q
            a = dy.at(pixel * t["FILTERS"] + group * made + filters) * inside
            source, channel = np.divmod(columns, channels)
            value = (source[:, None] * size * size + tap) * channels + channel[:, None]
            b = weight.at((tower * t["FILTERS"] + group * made + filters) * window + value)
            for target in sorted({*source.tolist()} if t["READS_ALL"] else {tower}):
                own = source == target if t["READS_ALL"] else np.full(source.shape, True)
                at = rows[:, None] * t["CHANNELS"] + group * channels + channel[own]
                if t["SPLITS"] == 1:
                    accumulated(t, f"dx{target}", f"relu{target}", at, a @ b[own].T)
                    continue
                targets = t["SOURCES"] if t["READS_ALL"] else towers
                for split, part in enumerate(_parts(t, depth.size)):
                    slab = (split * targets + target) * inputs * t["CHANNELS"]
                    t.expect("slabs", slab + at, a[:, part] @ b[own][:, part].T)


def conv_weight_gradient(t: Trial) -> None:
    """dweight[f, window] = SUM over pixels of dy * x, dbias[f] = SUM of dy; to the sinks, or in parts to slabs."""
    pixels, window, made = _pixels(t), _window(t), t["FILTERS"] // t["GROUPS"]
    dy, depth, number = t.read("dy"), np.arange(pixels), _number(pixels)
    parts, tiles = _parts(t, pixels), -(-window // t["TILE_COLUMNS"])
    for tower in _ends(t["TOWERS"]):
        for group in _ends(t["GROUPS"]):
            rows, columns = t.some(made, number, t["TILE_ROWS"]), t.some(window, number, t["TILE_COLUMNS"])
            filters = tower * t["FILTERS"] + group * made + rows
            a = dy.table((tower * pixels + depth) * t["FILTERS"], group * made + rows)
            b = _im2col(t, tower, group, depth, columns, t.read) * _within_filter(t, columns)
            at = filters[:, None] * window + columns
            if t["SPLITS"] == 1:
                sink(t, "SINK", t["DECAY"], False, "factor", ("weight", "velocity", "copy"), at, a.T @ b)
                names = ("bias", "bias_velocity", "")
                sink(t, "BIAS_SINK", t["BIAS_DECAY"], True, "bias_factor", names, filters, a.sum(axis=0))
                continue
            steps = np.add.reduceat(a, np.arange(0, pixels, t["TILE_DEPTH"]))
            for split, part in enumerate(parts):
                t.expect("slabs", split * t["TOWERS"] * t["FILTERS"] * window + at, a[part].T @ b[part])
                mine = np.arange(part.start // t["TILE_DEPTH"], -(-part.stop // t["TILE_DEPTH"]))
                for tile in _ends(tiles):
                    slab = (split * tiles + tile) * t["TOWERS"] * t["FILTERS"]
                    t.expect("bias_slabs", slab + filters, steps[mine[mine % tiles == tile]].sum(axis=0))


def _within_filter(t: Trial, columns: np.ndarray) -> np.ndarray:
    """Return 0 for the weights beyond a filter that lies over blocks of pixels (kernels/common/mask.cuh), else 1."""
    block, size = t["BLOCK"], t["FILTER_SIZE"]
    if block == 1:
        return np.ones(columns.shape)
    tap, within = np.divmod(columns // (t["CHANNELS"] // block**2), block**2)
    row = tap // size % size * block + within // block
    column = tap % size * block + within % block
    return ((row < t["SIZE"]) & (column < t["SIZE"])).astype(np.float64)


def sum_splits(t: Trial) -> None:
    """y = SUM over splits of slabs, in their order, plus bias, ReLU, or what an input gradient adds."""
    count, targets = t["COUNT"], t.grid[1]
    slabs, at = t.read("slabs"), t.spread(count)
    for target in range(targets):
        sums = np.sum([slabs.at((split * targets + target) * count + at) for split in range(t["SPLITS"])], axis=0)
        if t.has("bias"):
            sums = sums + t.read("bias").at(target * t["CHANNELS"] + at % t["CHANNELS"])
        accumulated(t, f"y{target}", f"relu{target}", at, np.maximum(sums, 0) if t["RELU"] else sums)
