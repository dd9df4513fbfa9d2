"""Convolutions of every kind: sizes, inputs, what the formula gives, and the host engine on them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.testing import assert_array_equal

from cualex.engine.host import conv
from cualex.engine.host.update import Keep
from tests.support import reference
from tests.support.host_layout import Untouched, empty, inside, outside


@dataclass(frozen=True)
class Case:
    """Sizes of one convolution; `channels` are those of one source, `filters` those of one tower."""

    channels: int = 3
    filters: int = 4
    size: int = 3
    stride: int = 1
    pad: int = 0
    groups: int = 1
    height: int = 5
    width: int = 7
    pictures: int = 2
    towers: int = 1
    sources: int = 1
    shared: bool = False
    round_up: bool = False

    @property
    def depth(self):
        return self.channels * (self.sources if self.shared else 1) // self.groups

    @property
    def out(self):
        rest = self.stride - 1 if self.round_up else 0
        return tuple((n + 2 * self.pad - self.size + rest) // self.stride + 1 for n in (self.height, self.width))

    @property
    def numbers(self):
        return {"size": self.size, "stride": self.stride, "groups": self.groups, "shared": self.shared}


CASES = {
    "plain": Case(height=7, width=9),
    "one filter of one": Case(channels=1, filters=1, size=1, pictures=1),
    "as large as the maps": Case(size=5, width=5, filters=7),
    "seventeen channels, padded": Case(channels=17, pad=1, pictures=5),
    "stride 2, a rest left over": Case(stride=2, height=8, pad=1, pictures=5),
    "stride 3": Case(stride=3, size=5, pad=2, height=11, pictures=1),
    "stride 4, as conv1": Case(stride=4, size=11, filters=6, height=19, width=23, pictures=5),
    "stride beyond the size": Case(stride=3, size=2, pictures=9),
    "two groups": Case(channels=6, groups=2, pad=1, pictures=5),
    "two groups, stride 2": Case(channels=6, filters=6, groups=2, stride=2, size=5, pad=2),
    "padded as far as it goes": Case(size=3, pad=2, height=4, width=3, pictures=9),
    "two towers": Case(towers=2, sources=2, channels=5, pad=1, pictures=9),
    "two towers, as conv2": Case(towers=2, sources=2, channels=3, size=5, pad=2, pictures=1),
    "two towers with two groups": Case(towers=2, sources=2, channels=6, groups=2, pad=1),
    "one source for two towers": Case(towers=2, shared=True, stride=4, size=5, height=13, pictures=5),
    "two sources for two towers": Case(towers=2, sources=2, shared=True, pad=1, pictures=5),
    "two sources for one tower": Case(towers=1, sources=2, shared=True, stride=2, pad=1),
    "rounded up": Case(stride=4, size=11, filters=6, height=18, width=24, pictures=5, round_up=True),
    "rounded up, padded": Case(channels=5, stride=3, size=5, pad=1, height=8, pictures=3, round_up=True),
    "rounded up, two sources for two towers": Case(
        towers=2, sources=2, shared=True, stride=2, size=4, pad=1, height=7, width=8, round_up=True
    ),
    # From some number of pictures on, an engine may count on other rules than the sum itself.
    "many pictures, even maps": Case(pictures=9, height=6, width=4, pad=1, channels=5),
    "many pictures, odd and even": Case(pictures=17, height=4, width=7, filters=3),
    "many pictures, seventeen channels": Case(pictures=9, height=3, width=4, pad=1, channels=17, filters=18),
    "many pictures, two sources": Case(pictures=9, height=4, pad=2, towers=2, sources=2, shared=True),
    "many pictures, 5x5": Case(pictures=9, size=5, pad=2, towers=2, sources=2),
    "many pictures, smallest": Case(pictures=8, height=3, width=3, channels=1, filters=1),
}


@dataclass
class Arrays:
    """Inputs in canonical order, float64; dx and x a source, y and dy a tower."""

    x: list
    weight: np.ndarray
    bias: np.ndarray
    dy: list


def draw(case, whole):
    """Draw inputs of a case: small integers, or real numbers that float32 can hold."""
    rng = np.random.default_rng(2012)

    def numbers(*shape):
        values = rng.integers(-3, 4, shape) if whole else rng.normal(1, 2, shape)  # lopsided
        return values.astype(np.float32).astype(np.float64)

    return Arrays(
        [numbers(case.pictures, case.channels, case.height, case.width) for _ in range(case.sources)],
        numbers(case.towers * case.filters, case.depth, case.size, case.size),
        numbers(case.towers * case.filters),
        [numbers(case.pictures, case.filters, *case.out) for _ in range(case.towers)],
    )


def read_by(case, x, tower):
    """Say what a tower reads."""
    return np.concatenate(x, axis=1) if case.shared else x[tower]


def of_tower(case, parameter, tower):
    return parameter[tower * case.filters : (tower + 1) * case.filters]


def formula(case, arrays):
    """Compute y, dweight, dbias and dx by the reference: lists by tower, dx by source."""

    def convolve(x, weight, bias=None):
        return reference.conv(x, weight, bias, case.stride, case.pad, case.groups, case.round_up)

    y, dweight, dbias, dread = [], [], [], []
    for tower in range(case.towers):
        x = read_by(case, arrays.x, tower)
        weight, bias = (of_tower(case, p, tower) for p in (arrays.weight, arrays.bias))
        dy = arrays.dy[tower]
        y.append(convolve(x, weight, bias))
        by_filter = reference.gradient(
            lambda w, x=x: convolve(x, w).swapaxes(0, 1), weight, dy.swapaxes(0, 1), step=1, apart=True
        )
        dweight.append(by_filter)
        dbias.append(dy.sum((0, 2, 3)))
        dread.append(reference.gradient(lambda x, w=weight: convolve(x, w), x, dy, step=1, apart=True))
    dx = np.split(sum(dread), case.sources, axis=1) if case.shared else dread
    return y, np.concatenate(dweight), np.concatenate(dbias), dx


@cache
def expected(case, whole):
    return formula(case, draw(case, whole))


def engine(device, case, arrays, dtype=np.float32, relu=False, relu_of=False, down=True):
    """Compute the same on the host."""
    border = case.pad + case.stride * case.round_up  # as much as the last filters can want, and more
    around = [inside(maps, dtype, border) for maps in arrays.x]
    x = [maps[:, border - case.pad :, border - case.pad :] for maps in around]
    dy = np.stack([inside(maps, dtype) for maps in arrays.dy])
    layout = {"towers": case.towers, "sources": case.sources if case.shared else 1, "groups": case.groups}
    weight = conv.pack(arrays.weight.astype(dtype), **layout)
    bias = arrays.bias.astype(dtype).reshape(case.towers, case.filters)
    values = [inside(maps, dtype) for maps in arrays.x] if relu_of else None

    y = empty(*dy.shape, dtype=dtype)
    dweight, dbias = empty(*weight.shape, dtype=dtype), empty(*bias.shape, dtype=dtype)
    dx = [empty(*maps.shape, dtype=dtype) for maps in (inside(maps) for maps in arrays.x)]
    with Untouched(*x, dy, weight, bias):
        conv.forward(device, x, weight, bias, y, **case.numbers, relu=relu)
        conv.weight_gradient(device, x, dy, Keep(dweight), Keep(dbias), **case.numbers)
        if down:
            conv.input_gradient(device, dy, weight, dx, **case.numbers, pad=case.pad, relu_of=values)
    dweight = conv.unpack(dweight, size=case.size, sources=layout["sources"])
    return [outside(maps) for maps in y], dweight, dbias.ravel(), [outside(maps) for maps in dx]


def equal(found, wanted):
    for name, a, b in zip(("y", "dweight", "dbias", "dx"), found, wanted, strict=True):
        assert_array_equal(np.asarray(a), np.asarray(b), name)


FULL = {
    "conv1": Case(towers=2, shared=True, filters=48, size=11, stride=4, height=227, width=227),
    "conv2": Case(towers=2, sources=2, channels=48, filters=128, size=5, pad=2, height=27, width=27),
    "conv3": Case(towers=2, sources=2, channels=128, filters=192, pad=1, height=13, width=13, shared=True),
}
