"""Dense layers of every kind: sizes, inputs, what the formula gives, and the host engine on them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.testing import assert_array_equal

from cualex.engine.host import dense
from cualex.engine.host.update import Keep
from tests.support import reference
from tests.support.host_layout import Untouched


@dataclass(frozen=True)
class Case:
    """Sizes of one dense layer; `maps` is what one source gives, `outputs` are those of one tower."""

    maps: tuple = (3, 2, 4)  # channels, rows, columns: all unlike
    outputs: int = 5
    pictures: int = 2
    towers: int = 1
    sources: int = 1
    shared: bool = False

    @property
    def inputs(self):
        return int(np.prod(self.maps)) * (self.sources if self.shared else 1)


CASES = {
    "plain": Case(),
    "one of each": Case(maps=(1, 1, 1), outputs=1, pictures=1),
    "flat inputs": Case(maps=(17, 1, 1), pictures=9),
    "blocks, and one left over": Case((dense.INPUTS + dense.UPDATED + 1, 1, 1), 33),
    "two towers": Case(towers=2, sources=2, pictures=5),
    "two sources for two towers": Case(towers=2, sources=2, shared=True, pictures=9),
    "two sources for two towers, blocks": Case((dense.INPUTS + 1, 1, 1), 33, towers=2, sources=2, shared=True),
    "two sources for one tower": Case(sources=2, shared=True),
    "one source for two towers": Case(towers=2, shared=True, pictures=1),
    "one picture, blocks of rows": Case((dense.ALONE + 1, 1, 1), 7, towers=2, sources=2, pictures=1),
}


def draw(case, whole):
    """Draw x (sources, n, c, h, w), weight (towers * outputs, inputs), bias and dy (towers, n, outputs)."""
    rng = np.random.default_rng(2012)

    def numbers(*shape):
        values = rng.integers(-3, 4, shape) if whole else rng.normal(1, 2, shape)
        return values.astype(np.float32).astype(np.float64)

    return (
        numbers(case.sources, case.pictures, *case.maps),
        numbers(case.towers * case.outputs, case.inputs),
        numbers(case.towers * case.outputs),
        numbers(case.towers, case.pictures, case.outputs),
    )


def formula(case, x, weight, bias, dy):
    """Compute y, dweight, dbias and dx by the reference; x is flattened by channel, row, column."""
    x = x.reshape(case.sources, case.pictures, -1)
    weight = weight.reshape(case.towers, case.outputs, -1)
    bias = bias.reshape(case.towers, -1)
    y, dweight, dread = [], [], []
    for t in range(case.towers):
        read = np.concatenate(list(x), axis=1) if case.shared else x[t]
        y.append(reference.dense(read, weight[t], bias[t]))
        by_output = reference.gradient(
            lambda w, read=read: reference.dense(read, w).T, weight[t], dy[t].T, step=1, apart=True
        )
        dweight.append(by_output)
        dread.append(reference.gradient(lambda x, t=t: reference.dense(x, weight[t]), read, dy[t], step=1, apart=True))
    dx = np.split(sum(dread), case.sources, axis=1) if case.shared else dread
    dx = np.reshape(dx, (case.sources, case.pictures, *case.maps))
    return np.array(y), np.concatenate(dweight), dy.sum(1).ravel(), dx


@cache
def expected(case, whole):
    return formula(case, *draw(case, whole))


def flat(maps, dtype):
    """Flatten (sources, n, c, h, w) as the engine does: by row, column, channel."""
    moved = np.moveaxis(maps, 2, 4).astype(dtype)
    return [np.ascontiguousarray(own).reshape(own.shape[0], -1) for own in moved]


def engine(device, case, x, weight, bias, dy, dtype=np.float32, relu=False, down=True):
    """Compute the same on the host."""
    sources = case.sources if case.shared else 1
    x, dy = flat(x, dtype), dy.astype(dtype)
    weight = dense.pack(weight.astype(dtype), towers=case.towers, maps=case.maps, sources=sources)
    bias = bias.astype(dtype).reshape(case.towers, -1)
    y, dweight, dbias, *dx = (np.full_like(array, np.nan) for array in (dy, weight, bias, *x))
    with Untouched(*x, weight, bias, dy):
        dense.forward(device, x, weight, bias, y, shared=case.shared, relu=relu)
        dense.backward(device, x, weight, dy, dx if down else None, Keep(dweight), Keep(dbias), shared=case.shared)
    channels, rows, columns = case.maps
    back = np.reshape(dx, (case.sources, case.pictures, rows, columns, channels))
    dweight = dense.unpack(dweight, maps=case.maps, sources=sources)
    return y, dweight, dbias.ravel(), np.moveaxis(back, 4, 2)


def equal(found, wanted):
    for name, a, b in zip(("y", "dweight", "dbias", "dx"), found, wanted, strict=True):
        assert_array_equal(a, b, name)
