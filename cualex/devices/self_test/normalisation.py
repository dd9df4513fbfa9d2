"""What local response normalisation and the passes of batch normalisation must give, in float64, within roundings.

Inputs are integers so large that the squares matter beside k, with the paper's alpha too. Tolerances are in units of
float32 (UNIT). With the reciprocal root good to 2 units in the last place, 4 of these, r = s^-1/2 is off by 4.5 with
the rounding of s, r^2 by 10, its root's reciprocal by 6.5, and so s^-3/4 by 18; powf is off by no more.
"""

import numpy as np

from cualex.devices.self_test.maps import gathered, windows
from cualex.devices.self_test.trial import UNIT, Trial

LARGE = 127  # of an input: exact in bfloat16
FACTOR = 20 * UNIT  # of s^-beta, and the rounding of its product
SHARE = 32 * UNIT  # of x s^-(beta + 1) dy


def _powers(t: Trial, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return s^-beta and 1 / s; both are 0 where k = 0 and all is zero."""
    base = t.real("K") + t.real("ALPHA") * squares
    some = base > 0
    safe = np.where(some, base, 1)
    return np.where(some, safe ** -t.real("BETA"), 0), np.where(some, 1 / safe, 0)


def _near(t: Trial, channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the channels of the window around each channel, on a new last axis, and whether they exist."""
    reach = t["WINDOW"] // 2
    near = channel[..., None] + np.arange(-reach, reach + 1)
    return near, (near >= 0) & (near < t["CHANNELS"])


def _across(t: Trial, pixel: np.ndarray, channel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, s^-beta and 1 / s at channels of pixels."""
    x, count = t.read("x", -LARGE, LARGE), t["CHANNELS"]
    near, there = _near(t, channel)
    squares = (np.where(there, x.at(pixel[..., None] * count + near), 0) ** 2).sum(axis=-1)
    return x.at(pixel * count + channel), *_powers(t, squares)


def lrn_forward(t: Trial) -> None:
    """y = x s^-beta."""
    at = t.spread(t["PIXELS"] * t["CHANNELS"], 500)
    x, factor, _ = _across(t, *np.divmod(at, t["CHANNELS"]))
    t.expect("y", at, x * factor, FACTOR * np.abs(x * factor))


def _backward(t: Trial, pixel: np.ndarray, channel: np.ndarray, dy_at) -> None:
    """dx = dy s^-beta - 2 alpha beta x SUM of dy x s^-(beta + 1); dy_at(pixels, channels) gives dy."""
    count = t["CHANNELS"]
    near, there = _near(t, channel)
    inside = np.clip(near, 0, count - 1)
    pixels = np.broadcast_to(pixel[:, None], inside.shape)
    x, factor, inverse = _across(t, pixels, inside)
    share = np.where(there, x * inverse * factor * dy_at(pixels, inside), 0)
    x, factor, _ = _across(t, pixel, channel)
    _combine(t, pixel * count + channel, x, dy_at(pixel, channel) * factor, share)


def _combine(t: Trial, at: np.ndarray, x, direct, share, error: float = SHARE) -> None:
    """Expect dx = direct - 2 alpha beta x SUM of shares, which are off by `error` of themselves."""
    slope = 2 * t.real("ALPHA") * t.real("BETA") * x
    dx = direct - slope * share.sum(axis=-1)
    error = error + (4 + share.shape[-1]) * UNIT
    tolerance = FACTOR * np.abs(direct) + error * np.abs(slope) * np.abs(share).sum(axis=-1)
    t.expect("dx", at, np.where(x > 0, dx, 0) if t["RELU"] else dx, tolerance)


def lrn_backward(t: Trial) -> None:
    """The gradient of the input."""
    pixels = t["IMAGES"] * t["ROWS"] * t["COLUMNS"]
    dy = t.read("dy", -LARGE, LARGE)
    pixel, channel = np.divmod(t.spread(pixels * t["CHANNELS"], 500), t["CHANNELS"])
    _backward(t, pixel, channel, lambda pixel, channel: dy.at(pixel * t["CHANNELS"] + channel))


def lrn_maxpool_forward(t: Trial) -> None:
    """The maximum of the normalised values of each window; which is the first, rounding may decide."""
    images = t.given("y").size // (t["OUT_ROWS"] * t["OUT_COLUMNS"] * t["CHANNELS"])
    at = t.spread(images * t["OUT_ROWS"] * t["OUT_COLUMNS"] * t["CHANNELS"], 500)
    pixel, channel = np.divmod(at, t["CHANNELS"])
    line, q = np.divmod(pixel, t["OUT_COLUMNS"])
    image, p = np.divmod(line, t["OUT_ROWS"])
    where, there = windows(t, image, p, q, channel)
    x, factor, _ = _across(t, where // t["CHANNELS"], np.broadcast_to(channel[:, None], where.shape))
    values = np.where(there, x * factor, -np.inf)
    best = values.max(axis=1)
    t.expect("y", at, best, FACTOR * np.abs(best))
    if t["CHOOSE"]:
        rounding = 2.0**-7 if t.given("x").dtype == np.uint16 else 2 * UNIT
        t.expect_one_of("choice", at, values >= (best - (2 * FACTOR + rounding) * np.abs(best))[:, None])


def lrn_maxpool_backward(t: Trial) -> None:
    """The gradient of the input from that of the pooled maps, which is rounded as it would be stored."""

    def dy(pixel: np.ndarray, channel: np.ndarray) -> np.ndarray:
        line, column = np.divmod(pixel, t["COLUMNS"])
        return t.stored("dx", gathered(t, *np.divmod(line, t["ROWS"]), column, channel))

    pixels = t["IMAGES"] * t["ROWS"] * t["COLUMNS"]
    _backward(t, *np.divmod(t.spread(pixels * t["CHANNELS"], 500), t["CHANNELS"]), dy)


# --- within a channel, over a square of pixels


def _square(t: Trial, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat indices of the square around each value, and whether they exist."""
    pixel, channel = np.divmod(at, t["CHANNELS"])
    line, column = np.divmod(pixel, t["COLUMNS"])
    image, row = np.divmod(line, t["ROWS"])
    reach = t["WINDOW"] // 2
    down, across = np.divmod(np.arange(t["WINDOW"] ** 2), t["WINDOW"])
    rows, columns = row[..., None] + down - reach, column[..., None] + across - reach
    there = (rows >= 0) & (rows < t["ROWS"]) & (columns >= 0) & (columns < t["COLUMNS"])
    return ((image[..., None] * t["ROWS"] + rows) * t["COLUMNS"] + columns) * t["CHANNELS"] + channel[..., None], there


def _within(t: Trial) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Choose values; return their flat indices, x, s^-beta and 1 / s."""
    at, x = t.spread(t["IMAGES"] * t["ROWS"] * t["COLUMNS"] * t["CHANNELS"], 500), t.read("x", -LARGE, LARGE)
    near, there = _square(t, at)
    return at, x.at(at), *_powers(t, (np.where(there, x.at(near), 0) ** 2).sum(axis=-1))


def spatial_lrn_forward(t: Trial) -> None:
    """y = x s^-beta."""
    at, x, factor, _ = _within(t)
    t.expect("y", at, x * factor, FACTOR * np.abs(x * factor))


def spatial_lrn_summands(t: Trial) -> None:
    """What each pixel adds to the sums: dy x s^-(beta + 1)."""
    at, x, factor, inverse = _within(t)
    shares = t.read("dy", -LARGE, LARGE).at(at) * factor * x * inverse
    t.expect("summands", at, shares, SHARE * np.abs(shares))


def spatial_lrn_backward(t: Trial) -> None:
    """The gradient of the input, from the summands."""
    at, x, factor, _ = _within(t)
    near, there = _square(t, at)
    share = np.where(there, t.read("summands").at(near), 0)
    _combine(t, at, x, t.read("dy", -LARGE, LARGE).at(at) * factor, share, error=0.0)


# --- batch normalisation


def _channel(t: Trial, x: str) -> tuple[np.ndarray, np.ndarray]:
    """Choose values of maps; return their flat indices, and those of their channels."""
    at = t.spread(t.grid[1] * t["PIXELS"] * t["CHANNELS"], 500)
    return at, at // (t["PIXELS"] * t["CHANNELS"]) * t["CHANNELS"] + at % t["CHANNELS"]


def batchnorm_forward(t: Trial) -> None:
    """y = weight (x - mean) / sqrt(variance + EPSILON) + bias."""
    at, own = _channel(t, "y")
    root = 1 / np.sqrt(t.read("variance", 1, 9).at(own) + t.real("EPSILON"))
    scaled = (t.read("x").at(at) - t.read("mean").at(own)) * t.read("weight").at(own) * root
    y = scaled + t.read("bias").at(own)
    t.expect("y", at, y, 8 * UNIT * np.abs(scaled) + 2 * UNIT * np.abs(y))


def batchnorm_backward(t: Trial) -> None:
    """dx = weight r (dy - dbias / PIXELS - (x - mean) r dweight / PIXELS), the last two where they are given."""
    at, own = _channel(t, "dx")
    root = 1 / np.sqrt(t.read("variance", 1, 9).at(own) + t.real("EPSILON"))
    x, parts = t.read("x").at(at), [t.read("dy").at(at)]
    if t.has("dweight"):
        # Large, or dividing by the number of pixels would hide them.
        parts.append(-t.read("dbias", -999, 999).at(own) / t["PIXELS"])
        slope = t.read("dweight", -999, 999).at(own) * root / t["PIXELS"]
        parts.append(-(x - t.read("mean").at(own)) * slope)
    scale = t.read("weight").at(own) * root
    dx, size = scale * sum(parts), np.abs(scale) * sum(map(np.abs, parts))
    t.expect("dx", at, np.where(x > 0, dx, 0) if t["RELU"] else dx, 20 * UNIT * size)
