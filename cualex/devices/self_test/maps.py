"""What the kernels over maps must give: crop, activations, dropout, pooling.

Maps are (images, rows, columns, channels), the images those of all towers. Where a kernel rounds each operation once,
float32 here gives its bits; a tolerance is in units of float32, `UNIT`, by the errors that CUDA's functions are
documented to have.
"""

import math

import numpy as np

from cualex.devices.self_test.trial import UNIT, Trial
from cualex.random import philox

ACTIVATION = 32 * UNIT  # exp, erfc, tanh, log1p: 4 units in the last place at most, two of them and a division


def relu_forward(t: Trial) -> None:
    """y = max(x, 0)."""
    at = t.spread(t["COUNT"])
    t.expect("y", at, np.maximum(t.read("x").at(at), 0))


def relu_backward(t: Trial) -> None:
    """dx = dy where y > 0."""
    at = t.spread(t["COUNT"])
    t.expect("dx", at, np.where(t.read("y").at(at) > 0, t.read("dy").at(at), 0))


def add(t: Trial) -> None:
    """y = y + x."""
    at = t.spread(t["COUNT"])
    t.expect("y", at, t.read("y").at(at) + t.read("x").at(at))


def scale(t: Trial) -> None:
    """y = x * FACTOR."""
    at = t.spread(t["COUNT"])
    t.expect("y", at, t.read("x").at(at).astype(np.float32) * np.float32(t["FACTOR"]))


def _normal(x: np.ndarray) -> np.ndarray:
    """Return the distribution function of the standard normal distribution."""
    return np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in x.ravel().tolist()]).reshape(x.shape)


ACTIVATIONS = {
    "TANH_FUNCTION": (lambda x, a: np.tanh(x), lambda y, a: 1 - y * y),
    "SIGMOID_FUNCTION": (lambda x, a: 1 / (1 + np.exp(-x)), lambda y, a: y * (1 - y)),
    "SOFTPLUS_FUNCTION": (lambda x, a: np.log1p(np.exp(x)), lambda y, a: -np.expm1(-y)),
    "LINEAR_FUNCTION": (lambda x, a: x, lambda y, a: np.ones_like(y)),
    "LEAKY_RELU_FUNCTION": (lambda x, a: np.where(x > 0, x, a * x), lambda y, a: np.where(y > 0, 1, a)),
    "ELU_FUNCTION": (lambda x, a: np.where(x > 0, x, a * np.expm1(x)), lambda y, a: np.where(y > 0, 1, y + a)),
    "AFFINE_FUNCTION": (lambda x, a: a * x, lambda y, a: np.full_like(y, a)),
    "GELU_FUNCTION": (
        lambda x, a: x * _normal(x),
        lambda x, a: _normal(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
}


def activation_forward(t: Trial) -> None:
    """y = f(x), plus b where the function has one."""
    at = t.spread(t["COUNT"])
    y = ACTIVATIONS[t["FUNCTION"]][0](t.read("x").at(at), t.real("PARAMETER")) + t.real("OFFSET")
    t.expect("y", at, y, ACTIVATION * np.maximum(np.abs(y), 1))


def activation_backward(t: Trial) -> None:
    """dx = dy f'(x), from y or x."""
    at = t.spread(t["COUNT"])
    slope = ACTIVATIONS[t["FUNCTION"]][1](t.read("kept").at(at), t.real("PARAMETER"))
    dy = t.read("dy").at(at)
    t.expect("dx", at, dy * slope, ACTIVATION * np.abs(dy) * np.maximum(np.abs(slope), 1))


def from_plain(t: Trial) -> None:
    """y[n, pixel, c] = x[n, c, pixel]."""
    at = t.spread(t["IMAGES"] * t["CHANNELS"] * t["PIXELS"])
    pixel, channel = np.divmod(at, t["CHANNELS"])
    image, place = np.divmod(pixel, t["PIXELS"])
    t.expect("y", at, t.read("x").at((image * t["CHANNELS"] + channel) * t["PIXELS"] + place))


def to_plain(t: Trial) -> None:
    """y[n, c, pixel] = x[n, pixel, c]."""
    at = t.spread(t["IMAGES"] * t["CHANNELS"] * t["PIXELS"])
    channel, place = np.divmod(at, t["PIXELS"])
    image, own = np.divmod(channel, t["CHANNELS"])
    t.expect("y", at, t.read("x").at((image * t["PIXELS"] + place) * t["CHANNELS"] + own))


def grey(t: Trial) -> None:
    """y = 0.299 red + 0.587 green + 0.114 blue, for each tower."""
    at, x = t.spread(t["PIXELS"]), t.read("x", 0, 255)
    red, green, blue = (
        x.at(at * 3 + i).astype(np.float32) * np.float32(share) for i, share in enumerate((0.299, 0.587, 0.114))
    )
    for tower in range(t.grid[1]):
        t.expect("y", tower * t["PIXELS"] + at, red + green + blue)


def grey_backward(t: Trial) -> None:
    """dx: each colour's share of dy, those of all towers added."""
    at, dy = t.spread(t["PIXELS"]), t.read("dy")
    given = [dy.at(tower * t["PIXELS"] + at).astype(np.float32) for tower in range(t["TOWERS"])]
    for i, share in enumerate((0.299, 0.587, 0.114)):
        parts = [t.stored("dx", each * np.float32(share)) for each in given]
        t.expect("dx", at * 3 + i, np.sum(parts, axis=0).astype(np.float32))


def crop(t: Trial) -> None:
    """y = scale * (image - mean + colour) at the crop, mirrored where a view says so; zero around it."""
    images, block, side = t["BATCH"], t["BLOCK"], t["CROP"]
    depth, columns = 3 * block**2, t["OUT_COLUMNS"]
    slot = t.read_last_slot("views", images * 3)
    t.read_control()
    at = t.spread(images * t["OUT_ROWS"] * columns * depth, 2000)
    pixel, value = np.divmod(at, depth)
    line, w = np.divmod(pixel, columns)
    n, h = np.divmod(line, t["OUT_ROWS"])
    r, rest = np.divmod(value, 3 * block)
    s, channel = np.divmod(rest, 3)
    row, column = h * block + r - t["PAD"], w * block + s - t["PAD"]
    inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
    image = slot * images + n
    # 0 or 1 for a view's row, column and mirror: a crop from the second row on exists unless there is one place only.
    views = t.read("views", 0, int(min(t["ROWS"], t["COLUMNS"]) > side))
    top, left, mirror = (views.at(image * 3 + i).astype(np.int64) for i in range(3))
    seen = np.where(mirror > 0, side - 1 - column, column)
    stored = ((top + row) * t["COLUMNS"] + left + seen) * 3 + channel
    if t["CENTRED"]:
        centre = (t["ROWS"] - side) // 2 + row, (t["COLUMNS"] - side) // 2 + column
        mean_at = (centre[0] * t["COLUMNS"] + centre[1]) * 3 + channel
    else:
        mean_at = stored
    pixels = t.read("pictures", 0, 255).at(image * t["ROWS"] * t["COLUMNS"] * 3 + stored)
    mean = t.read("mean", 90, 140).at(mean_at)
    colour = t.read("colours", -9, 9).at(image * 3 + channel)
    factor = np.array([np.float32(t[name]) for name in ("RED", "GREEN", "BLUE")])[channel]
    t.expect("y", at, np.where(inside, factor * (pixels - mean + colour).astype(np.float32), 0))


def dropout(t: Trial) -> None:
    """y = x * FACTOR where the element's word of Philox is below the limit, else 0."""
    control, features, images = t.control, t["FEATURES"], t["BATCH"]
    t.read_control()
    at, x = t.spread(images * features), t.read("x")
    image, feature = np.divmod(at, features)
    for tower in range(t.grid[1]):
        row = (control.part * images + image) * t["TOWERS"] + int(t.given("first_tower")) + tower
        number = row * features + feature
        words = philox.blocks(control.seed, philox.DROPOUT, int(t.given("layer")), control.step, number // 4)
        kept = words[number % 4, np.arange(number.size)] < t.given("limit")
        place = tower * images * features + at
        factor = np.where(kept, np.float32(t["FACTOR"]), np.float32(0))
        t.expect("y", place, x.at(place).astype(np.float32) * factor)


# --- pooling


def _values(t: Trial, rows: str, columns: str, number: int = 400) -> tuple[np.ndarray, ...]:
    """Choose values of maps of that size; return their flat indices, images, rows, columns and channels."""
    at = t.spread(t["IMAGES"] * t[rows] * t[columns] * t["CHANNELS"], number)
    pixel, channel = np.divmod(at, t["CHANNELS"])
    line, column = np.divmod(pixel, t[columns])
    image, row = np.divmod(line, t[rows])
    return at, image, row, column, channel


def _at(t: Trial, rows: str, columns: str, image, row, column, channel) -> np.ndarray:
    """Return flat indices of maps."""
    return ((image * t[rows] + row) * t[columns] + column) * t["CHANNELS"] + channel


def windows(t: Trial, image, p, q, channel) -> tuple[np.ndarray, np.ndarray]:
    """Return (windows, SIZE^2): the flat index of each of a window's values in x, and whether it exists."""
    r, s = np.divmod(np.arange(t["SIZE"] ** 2), t["SIZE"])
    row, column = p[:, None] * t["STRIDE"] + r, q[:, None] * t["STRIDE"] + s
    at = _at(t, "ROWS", "COLUMNS", image[:, None], row, column, channel[:, None])
    return at, (row < t["ROWS"]) & (column < t["COLUMNS"])


def maxpool_forward(t: Trial) -> None:
    """The first maximum of each window, and its index in the window."""
    at, image, p, q, channel = _values(t, "OUT_ROWS", "OUT_COLUMNS")
    where, there = windows(t, image, p, q, channel)
    values = np.where(there, t.read("x").at(where), -np.inf)
    t.expect("y", at, values.max(axis=1))
    if t["CHOOSE"]:
        t.expect("choice", at, values.argmax(axis=1))


def gathered(t: Trial, image, row, column, channel, *, y: str = "") -> np.ndarray:
    """Sum dy over the windows that chose a value, with `y` only where that is positive."""
    choice, dy = t.read("choice", 0, t["SIZE"] ** 2 - 1), t.read("dy")
    total = np.zeros(np.broadcast_shapes(*(np.shape(each) for each in (image, row, column, channel))))
    for up in range((t["SIZE"] - 1) // t["STRIDE"] + 1):
        for left in range((t["SIZE"] - 1) // t["STRIDE"] + 1):
            p, q = row // t["STRIDE"] - up, column // t["STRIDE"] - left
            r, s = row - p * t["STRIDE"], column - q * t["STRIDE"]
            exists = (p >= 0) & (p < t["OUT_ROWS"]) & (q >= 0) & (q < t["OUT_COLUMNS"])
            exists = exists & (r < t["SIZE"]) & (s < t["SIZE"])
            at = _at(t, "OUT_ROWS", "OUT_COLUMNS", image, p, q, channel)
            chosen = exists & (choice.at(at) == r * t["SIZE"] + s)
            if y:
                chosen = chosen & (t.read(y).at(at) > 0)
            total = total + np.where(chosen, dy.at(at), 0)
    return total


def maxpool_backward(t: Trial) -> None:
    """dx: the gradients of the windows that chose a value."""
    at, image, row, column, channel = _values(t, "ROWS", "COLUMNS")
    t.expect("dx", at, gathered(t, image, row, column, channel, y="y" if t.has("y") else ""))


def averagepool_forward(t: Trial) -> None:
    """The mean of what each window has."""
    at, image, p, q, channel = _values(t, "OUT_ROWS", "OUT_COLUMNS")
    where, there = windows(t, image, p, q, channel)
    sums = np.where(there, t.read("x").at(where), 0).sum(axis=1).astype(np.float32)
    t.expect("y", at, sums / there.sum(axis=1).astype(np.float32))


def averagepool_backward(t: Trial) -> None:
    """dx: an equal share of the gradient of each window, summed in float32 from the upper left on."""
    at, image, row, column, channel = _values(t, "ROWS", "COLUMNS")
    dy, size, stride = t.read("dy"), t["SIZE"], t["STRIDE"]
    total = np.zeros(at.shape, np.float32)
    for up in range((size - 1) // stride, -1, -1):
        for left in range((size - 1) // stride, -1, -1):
            p, q = row // stride - up, column // stride - left
            exists = (p >= 0) & (p < t["OUT_ROWS"]) & (q >= 0) & (q < t["OUT_COLUMNS"])
            exists &= (row - p * stride < size) & (column - q * stride < size)
            rows, columns = np.minimum(t["ROWS"] - p * stride, size), np.minimum(t["COLUMNS"] - q * stride, size)
            count = np.where(exists, rows * columns, 1).astype(np.float32)
            given = dy.at(_at(t, "OUT_ROWS", "OUT_COLUMNS", image, p, q, channel)).astype(np.float32)
            total = np.where(exists, total + given / count, total)
    t.expect("dx", at, total)
