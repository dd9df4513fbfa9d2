"""What the kernels over parameters must give: update rules, and the sums and averages of batch normalisation.

Update rules round each operation once, as float32 does here: their bits are the CPU's.
"""

import numpy as np

from cualex.devices.self_test.trial import UNIT, Trial

KEEP, MOMENTUM, SUM = range(3)  # as kernels/common/sink.cuh names them


def sink(t: Trial, kind: str, decay: float, bias: bool, factor: str, names: tuple, at: np.ndarray, gradient) -> None:
    """Expect what a sink makes of a gradient; `names` are its arrays: values, velocity, copy."""
    control, (values, velocity, copy) = t.read_control(), names
    gradient = np.asarray(gradient).astype(np.float32)
    if t[kind] == MOMENTUM:
        _momentum(t, control, decay, bias, t.given(factor), (values, velocity, copy), at, gradient)
    elif t[kind] == SUM:  # the control's part is not the first
        t.expect(values, at, t.read(values).at(at).astype(np.float32) + gradient)
    else:
        t.expect(values, at, gradient)


def _momentum(t: Trial, control, decay, bias, factor, names, at, gradient) -> None:
    """v = momentum v - rate g - shrink w; w = w + v: every operation rounds once."""
    values, velocity, copy = names
    w, v = (t.read(name).at(at).astype(np.float32) for name in (values, velocity))
    rate = control["bias_rate" if bias else "rate"] * factor
    v = v * control["momentum"] - gradient * rate
    if decay:
        v = v - w * (control["shrink"] * factor * np.float32(decay))
    t.expect(velocity, at, v)
    t.expect(values, at, w + v)
    if copy and t.has(copy):
        t.expect(copy, at, w + v)


def weight_update(t: Trial) -> None:
    """The sum of the parts of a gradient, for its sink."""
    at, slabs = t.spread(t["COUNT"]), t.read("slabs")
    gradient = np.sum([slabs.at(split * t["COUNT"] + at) for split in range(t["SPLITS"])], axis=0)
    sink(t, "SINK", t["DECAY"], bool(t["BIAS"]), "factor", ("weight", "velocity", "copy"), at, gradient)


def momentum(t: Trial) -> None:
    """SGD with momentum, by a gradient that was kept."""
    at = t.spread(t["COUNT"])
    gradient, names = t.read("gradient").at(at).astype(np.float32), ("weight", "velocity", "copy")
    _momentum(t, t.read_control(), t["DECAY"], bool(t["BIAS"]), t.given("factor"), names, at, gradient)


def adam(t: Trial) -> None:
    """Adam, in the order of operations of kernels/update.cu."""
    at, control, factor = t.spread(t["COUNT"]), t.read_control(), t.given("factor")
    g, w, m = (t.read(name).at(at).astype(np.float32) for name in ("gradient", "weight", "first"))
    s = t.read("second", 0, 4).at(at).astype(np.float32)
    fresh_first, fresh_second, epsilon = (np.float32(t[name]) for name in ("FRESH_FIRST", "FRESH_SECOND", "EPSILON"))
    if t["DECAY"]:
        g = g + w * (control["decay"] * np.float32(t["DECAY"]))
    m = m + (g - m) * fresh_first
    s = s + (g * g - s) * fresh_second
    rate = control["bias_corrected" if t["BIAS"] else "corrected"] * factor
    w = w - m * rate / (np.sqrt(s) + epsilon)
    for name, values in (("first", m), ("second", s), ("weight", w), ("copy", w)):
        if t.has(name):
            t.expect(name, at, values)


def lars_sums(t: Trial) -> None:
    """Sums of squares of weights and gradient, over each piece of each tower."""
    (pieces, _, towers), count, piece = t.grid, t["COUNT"], t["PIECE"]
    for k, name in enumerate(("weight", "gradient")):
        squares, own = t.read(name), t.some(towers * pieces, 8)
        for part in own:
            first = part % pieces * piece
            at = part // pieces * count + np.arange(first, min(first + piece, count))
            t.expect("sums", k * towers * pieces + part, np.sum(squares.at(at) ** 2))


def lars_rates(t: Trial) -> None:
    """L = trust |w| / (|g| + decay |w|), by the sums of squares over the pieces."""
    towers, control, sums = t.grid[0], t.read_control(), t.read("sums", 1, 9)
    rows = np.arange(towers * t["PIECES"]).reshape(towers, -1)
    w, g = (np.sqrt(sums.at(rows + k * rows.size).sum(axis=1)) for k in range(2))
    decay = np.float64(control["decay"] * np.float32(t["DECAY"]))
    t.expect("rates", np.arange(towers), np.float64(control["trust"]) * w / (g + decay * w))


def lars(t: Trial) -> None:
    """SGD with momentum, by a gradient that was kept, at the rate of each tower."""
    towers, count = t.grid[2], t["COUNT"]
    at = t.spread(towers * count)
    gradient, names = t.read("gradient").at(at).astype(np.float32), ("weight", "velocity", "copy")
    factor = t.given("factor") * t.read("rates", 1, 3).at(at // count).astype(np.float32)
    _momentum(t, t.read_control(), t["DECAY"], bool(t["BIAS"]), factor, names, at, gradient)


def batchnorm_sums(t: Trial) -> None:
    """Sums over each split's pixels, of x - pivot and its square, or of dy and dy (x - mean)."""
    pixels, channels, splits, towers = t["PIXELS"], t["CHANNELS"], t["SPLITS"], t.grid[2]
    x, own = t.read("x"), t.some(channels, int(np.clip(3_000_000 // pixels, 4, 32)))
    first = [pixels * split // splits for split in range(splits)]
    for tower in range(towers):
        start = tower * pixels * channels
        at = start + np.arange(pixels)[:, None] * channels + own
        if t["BACKWARD"]:
            dy = t.read("dy").at(at)
            summands = dy, (x.at(at) - t.read("mean").at(tower * channels + own)) * dy
        else:
            centred = x.at(at) - x.at(start + own)
            summands = centred, centred**2
        for k, values in enumerate(summands):
            sums = np.add.reduceat(values, first)
            slab = (np.arange(splits)[:, None] * 2 + k) * towers + tower
            t.expect("slabs", slab * channels + own, sums)


def _slab_sums(t: Trial, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both sums over the splits."""
    slabs = t.read("slabs", 0, 1000)
    rows = np.arange(t["SPLITS"])[:, None] * 2
    first, second = (slabs.at((rows + k) * t["CHANNELS"] + at).sum(axis=0) for k in range(2))
    return first, second


def batchnorm_statistics(t: Trial) -> None:
    """mean = pivot + S1 / PIXELS, variance = S2 / PIXELS - (S1 / PIXELS)^2, in float64, not below 0."""
    at, length = t.spread(t["CHANNELS"]), t["LENGTH"]
    first, second = (sums / t["PIXELS"] for sums in _slab_sums(t, at))
    pivot = t.read("x").at(at // length * t["PIXELS"] * length + at % length)
    t.expect("mean", at, pivot + first, UNIT * np.abs(pivot + first))
    # The difference may be made with one rounding or two, in float64.
    t.expect("variance", at, np.maximum(second - first**2, 0), 2.0**-50 * (second + first**2))


def batchnorm_slopes(t: Trial) -> None:
    """dbias = S1, dweight = S2 / sqrt(variance + EPSILON)."""
    at = t.spread(t["CHANNELS"])
    first, second = _slab_sums(t, at)
    t.expect("dbias", at, first)
    t.expect("dweight", at, second / np.sqrt(t.read("variance", 1, 9).at(at) + t.real("EPSILON")), UNIT * second)


def batchnorm_average(t: Trial) -> None:
    """running = MOMENTUM * running + REST * the batch's; each operation rounds once."""
    at = t.spread(t["CHANNELS"])
    t.read_control()
    for name in ("mean", "variance"):
        running, batch = (t.read(each).at(at).astype(np.float32) for each in (name, f"batch_{name}"))
        t.expect(name, at, running * np.float32(t["MOMENTUM"]) + batch * np.float32(t["REST"]))
