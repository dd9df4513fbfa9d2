"""The formulas in float64, each as the paper or a textbook has it: what every engine is held against.

Arrays are (picture, channel, row, column), or (picture, feature) behind the dense layers. Nothing here knows
of towers, chunks, packed weights or float32: a tower is a group of a convolution, or a call of its own.
Only one gradient is written out, that of max-pooling, whose ties no difference can see; every other gradient
is `gradient`, so that there is no second derivation by hand to get wrong.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}  # half the spacing of floats at 1
AT_ONCE = 2**14  # numbers that `gradient` moves in one call


def gradient(f, x, dy, step=1e-5, apart=False):
    """Differentiate sum(f(x) * dy) by each element of x: central differences, at step=1 exact for a linear f.

    With `apart` f treats the entries of the first axis of x and f(x) one by one (pictures, or filters), and takes any
    number of them: every entry is then repeated, each time with another element moved, as many as `AT_ONCE` allows.
    """
    x, dy = np.array(x, np.float64), np.asarray(dy, np.float64)
    if not apart:
        x, dy = x[None], dy[None]
        return np.squeeze(_differences(lambda many: np.stack([f(one) for one in many]), x, dy, step, 1), 0)
    return _differences(f, x, dy, step, max(1, AT_ONCE // x.size))


def _differences(f, x, dy, step, count):
    """Move `count` elements of every entry at a time, each in a copy of the entry."""
    dx = np.empty((len(x), x[0].size))
    for start in range(0, dx.shape[1], count):
        moved = np.arange(start, min(start + count, dx.shape[1]))
        sides = []
        for sign in (1, -1):
            copies = np.repeat(x, len(moved), axis=0)
            copies.reshape(len(x), len(moved), -1)[:, np.arange(len(moved)), moved] += sign * step
            sides.append(f(copies))
        change = (sides[0] - sides[1]) * np.repeat(dy, len(moved), axis=0)
        dx[:, moved] = change.reshape(len(x), len(moved), -1).sum(2) / (2 * step)
    return dx.reshape(x.shape)


def bound(terms, magnitude, result, dtype=np.float32, tensor=False):
    """Bound the error of a sum of products: 4 u sqrt(K) sum|ab|, and the result's own rounding.

    `terms` is K, `magnitude` is sum|ab| of each result, u is half a unit in the last place of `dtype`.
    The rounding errors of K additions are taken as independent (hence the root), and 4 of their standard
    deviations are allowed.

    On tensor cores (`tensor`) there is a bias: after each 8 products the sum is not rounded but cut off, towards zero,
    by less than a unit in its last place, 2 u sum|ab|. Of numbers of one sign all K / 8 such errors have one sign.
    """
    unit = UNIT[np.dtype(dtype)]
    bias = 2 * unit * math.ceil(terms / 8) if tensor else 0
    return (4 * unit * math.sqrt(terms) + bias) * np.abs(magnitude) + unit * np.abs(result)


def conv(x, weight, bias=None, stride=1, pad=0, groups=1, round_up=False):
    """Slide the filters over the maps: y[o,r,c] = bias[o] + sum x[i, r*stride+a, c*stride+b] * w[o,i,a,b].

    x (n, in, h, w), weight (out, in/groups, k, k), bias (out,) -> (n, out, oh, ow). The filters of group g
    see the g-th part of the maps and no other. Not flipped, as in every network library. Rounded up, the last
    filters reach beyond the lower and right ends, onto zeros.
    """
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    n, channels, height, width = x.shape
    filters, depth, size, _ = weight.shape
    assert channels == depth * groups
    assert filters % groups == 0
    sides = [length + 2 * pad for length in (height, width)]
    if round_up:
        sides = [size + -(-(side - size) // stride) * stride for side in sides]
    padded = np.zeros((n, groups, depth, *sides))
    padded[..., pad : pad + height, pad : pad + width] = x.reshape(n, groups, depth, height, width)
    windows = sliding_window_view(padded, (size, size), axis=(3, 4))[:, :, :, ::stride, ::stride]
    rows, columns = windows.shape[3:5]
    windows = windows.transpose(1, 0, 3, 4, 2, 5, 6).reshape(groups, n * rows * columns, -1)
    y = windows @ weight.reshape(groups, filters // groups, -1).transpose(0, 2, 1)
    y = y.reshape(groups, n, rows, columns, -1).transpose(1, 0, 4, 2, 3).reshape(n, filters, rows, columns)
    return y if bias is None else y + np.asarray(bias, np.float64)[:, None, None]


def dense(x, weight, bias=None):
    """Multiply: y = x @ weight.T + bias; x (n, in), weight (out, in), bias (out,) -> (n, out)."""
    y = np.asarray(x, np.float64) @ np.asarray(weight, np.float64).T
    return y if bias is None else y + np.asarray(bias, np.float64)


def relu(x):
    """Keep what is above zero."""
    return np.where(np.asarray(x, np.float64) > 0, x, 0.0)


def lrn(x, n=5, k=2.0, alpha=1e-4, beta=0.75):
    """Divide by the strength of the neighbours: y[c] = x[c] / (k + alpha * sum x[j]**2)**beta, section 3.3.

    j runs over c - n//2 ... c + n//2 (so an even n means n + 1 channels); those that do not exist are left
    out. The sum is not divided by n. x (n, channels, h, w).
    """
    x = np.asarray(x, np.float64)
    return x / lrn_base(x, n, k, alpha) ** beta


def lrn_base(x, n, k, alpha):
    """Sum what LRN divides by, before the power: k + alpha * sum of x[j]**2."""
    base = np.empty_like(x)
    for c in range(x.shape[1]):
        base[:, c] = k + alpha * (x[:, max(c - n // 2, 0) : c + n // 2 + 1] ** 2).sum(1)
    return base


def spatial_lrn(x, n=5, k=1.0, alpha=4e-5, beta=0.75):
    """Divide by the strength of the neighbours in the same map: n // 2 rows and columns to each side."""
    x = np.asarray(x, np.float64)
    base = spatial_base(x, n, k, alpha)
    return np.divide(x, base**beta, out=np.zeros_like(x), where=base > 0)


def spatial_base(x, n, k, alpha):
    """Sum what that divides by, before the power: k + alpha * sum of x[i, j]**2."""
    base, reach = np.empty_like(x), n // 2
    for row, column in np.ndindex(x.shape[2:]):
        rows, columns = (slice(max(place - reach, 0), place + reach + 1) for place in (row, column))
        base[:, :, row, column] = k + alpha * (x[:, :, rows, columns] ** 2).sum((2, 3))
    return base


def activation(x, function):
    """Apply an activation as a textbook prints it."""
    x = np.asarray(x, np.float64)
    if function == "tanh":
        return (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)
    name, _, a = function.partition(":")
    if name == "leaky-relu":
        return np.where(x > 0, x, float(a or 0.01) * x)
    if name == "elu":
        return np.where(x > 0, x, float(a or 1) * (np.exp(x) - 1))
    if name == "gelu":
        return x * normal(x)
    if name == "linear" and a:
        slope, _, offset = a.partition(",")
        return float(slope) * x + float(offset or 0)
    return {"sigmoid": 1 / (1 + np.exp(-x)), "softplus": np.log(1 + np.exp(x)), "linear": x}[function]


def normal(x):
    """Return the distribution function of the standard normal distribution."""
    return (1 + np.vectorize(math.erf)(np.asarray(x, np.float64) / math.sqrt(2))) / 2


def grey(x):
    """Weigh red, green and blue as the luminance of television does: x (n, 3, h, w) -> (n, 1, h, w)."""
    return np.einsum("nchw,c->nhw", np.asarray(x, np.float64), [0.299, 0.587, 0.114])[:, None]


def places(length, size, stride, round_up):
    """Count the windows along an axis: those that fit, or, rounded up, all that begin before its end."""
    fit = (length - size) // stride + 1
    return fit + (round_up and (fit - 1) * stride + size < length and fit * stride < length)


def averagepool(x, size=2, stride=2, round_up=False):
    """Take the mean of every window, of the values that it has where it reaches beyond the end."""
    x = np.asarray(x, np.float64)
    y = np.empty((*x.shape[:2], *(places(length, size, stride, round_up) for length in x.shape[2:])))
    for row, column in np.ndindex(y.shape[2:]):
        top, left = row * stride, column * stride
        y[:, :, row, column] = x[:, :, top : top + size, left : left + size].mean((2, 3))
    return y


def maxpool(x, size=3, stride=2, round_up=False):
    """Take the largest of every window: x (n, c, h, w) -> (n, c, (h-size)//stride+1, ...), or one more."""
    x = np.asarray(x, np.float64)
    y = np.empty((*x.shape[:2], *(places(length, size, stride, round_up) for length in x.shape[2:])))
    for row, column in np.ndindex(y.shape[2:]):
        top, left = row * stride, column * stride
        y[:, :, row, column] = x[:, :, top : top + size, left : left + size].max((2, 3))
    return y


def maxpool_gradient(x, dy, size=3, stride=2):
    """Hand each dy to the first of its window's largest values, rows from the top and each from the left."""
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    dx = np.zeros_like(x)
    for picture, c, row, column in np.ndindex(dy.shape):
        top, left = row * stride, column * stride
        window = x[picture, c, top : top + size, left : left + size]
        a, b = np.unravel_index(np.argmax(window), window.shape)  # argmax names the first in this very order
        dx[picture, c, top + a, left + b] += dy[picture, c, row, column]
    return dx


def batchnorm(x, weight, bias, epsilon, mean=None, variance=None):
    """Normalise each channel: weight * (x - mean) / sqrt(variance + epsilon) + bias, x (n, c) or (n, c, h, w).

    Mean and biased variance are x's own over pictures and pixels, unless they are given.
    """
    x = np.asarray(x, np.float64)
    over = (0, *range(2, x.ndim))
    mean = x.mean(over) if mean is None else mean
    variance = x.var(over) if variance is None else variance
    weight, bias, mean, variance = (
        np.asarray(each, np.float64).reshape(-1, *[1] * (x.ndim - 2)) for each in (weight, bias, mean, variance)
    )
    return weight * (x - mean) / np.sqrt(variance + epsilon) + bias


def dropout(x, mask, keep=0.5, inverted=False):
    """Drop in training: x * mask; inverted dropout also divides by the share kept."""
    x = np.asarray(x, np.float64) * mask
    return x / keep if inverted else x


def dropout_at_test(x, keep=0.5, inverted=False):
    """Drop nothing: classic dropout multiplies by the share kept, inverted dropout changes nothing."""
    return np.asarray(x, np.float64) * (1.0 if inverted else keep)


def softmax(scores):
    """Turn scores into probabilities: exp(s) / sum exp(s), (n, classes) -> (n, classes)."""
    scores = np.asarray(scores, np.float64)
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def losses(scores, labels):
    """Say how unlikely each true class was: -log softmax[label], 0 for a picture that is not counted (-1)."""
    scores = np.asarray(scores, np.float64)
    highest = scores.max(1)
    total = np.log(np.exp(scores - highest[:, None]).sum(1)) + highest
    return np.array([0.0 if y < 0 else total[i] - scores[i, y] for i, y in enumerate(labels)])


def cross_entropy(scores, labels, weights=None):
    """Average the losses over the pictures that count, each times its class's weight, if there are weights."""
    each = losses(scores, labels)
    if weights is not None:
        each = each * [0.0 if y < 0 else weights[y] for y in labels]
    return each.sum() / max(sum(y >= 0 for y in labels), 1)


def right(scores, labels, top=1):
    """Count the pictures whose class would be among the `top` named.

    The highest score is named first; of equal scores the lower class; scores that are no numbers come last,
    and a class with such a score is never right. Label -1 is not counted.
    """
    count = 0
    for row, label in zip(scores, labels, strict=True):
        if label >= 0 and not np.isnan(row[label]):
            named = sorted(range(len(row)), key=lambda c: (np.isnan(row[c]), -row[c], c))
            count += int(label in named[:top])
    return count


def momentum(weight, velocity, gradient, rate, momentum=0.9, decay=0.0005):
    """Update as section 5 prints it: v <- 0.9 v - 0.0005 rate w - rate g, w <- w + v. Returns (w, v)."""
    velocity = momentum * velocity - decay * rate * weight - rate * gradient
    return weight + velocity, velocity


def adam(weight, first, second, gradient, t, rate, decay=0.0, betas=(0.9, 0.999), epsilon=1e-7):
    """Update as Keras does, for the t-th time from 1 on. Returns (w, m, s).

    m <- m + (g - m) (1 - b1), s <- s + (g g - s) (1 - b2), w <- w - rate c m / (sqrt(s) + epsilon), where c is
    sqrt(1 - b2^t) / (1 - b1^t) and g has decay * w added.
    """
    gradient = gradient + decay * weight
    first = first + (gradient - first) * (1 - betas[0])
    second = second + (gradient**2 - second) * (1 - betas[1])
    correction = math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    return weight - rate * correction * first / (np.sqrt(second) + epsilon), first, second


def lars(weight, velocity, gradient, rate, trust, momentum=0.9, decay=0.0005):
    """Update as algorithm 1 of You, Gitman and Ginsburg (2017): v <- m v + L rate (g + decay w), w <- w - v.

    L = trust |w| / (|g| + decay |w|), trust where a norm is 0. Returns (w, v), v with the sign of `momentum` above.
    """
    norms = [math.sqrt(math.fsum(np.ravel(each) ** 2)) for each in (weight, gradient)]
    local = trust * norms[0] / (norms[1] + decay * norms[0]) if all(norms) else trust
    velocity = momentum * velocity - local * rate * (gradient + decay * weight)
    return weight + velocity, velocity
