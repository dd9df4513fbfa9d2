"""Dense layers by the CUDA kernels, in the emulator: against the formula, and against the host."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine.cuda import dense
from cualex.engine.cuda.update import Keep, Momentum, apply
from tests.support import reference
from tests.support.cuda_arrays import UNITS, cut_into, in_precision, open_bench
from tests.support.dense_cases import CASES, Case, draw, equal, formula
from tests.support.dense_cases import engine as on_the_host

PRECISIONS = ["fp32", "tf32", "bf16"]
SMALL = {name: case for name, case in CASES.items() if "block" not in name}
CUDA = {
    "whole chunks": Case((8, 3, 3), 72, pictures=20, towers=2, sources=2, shared=True),
    "a batch of one": Case((40, 2, 1), 70, pictures=1, towers=2, sources=2),
    "a thousandth part": Case((8, 2, 2), 10, pictures=3, sources=2, shared=True),
}
ALL = {**SMALL, **CUDA}


@pytest.fixture(params=PRECISIONS)
def bench(request, emulated):
    return open_bench(emulated, request.param)


@cache
def small(case):
    """Draw whole numbers whose sums bfloat16 can hold."""
    return tuple(np.clip(values, -1, 1) for values in draw(case, True))


@cache
def wanted(case):
    return formula(case, *small(case))


class Layer:
    """Hold the arrays of a case on a device; x (sources, n, c, h, w) comes in the reference's order."""

    def __init__(self, bench, case, x, weight, bias, dy):
        self.bench, self.case = bench, case
        self.sources = case.sources if case.shared else 1
        moved = np.moveaxis(x, 2, 4)
        self.x = [bench.put(own.reshape(len(own), -1)) for own in moved]
        packed = dense.pack(weight, towers=case.towers, maps=case.maps, sources=self.sources)
        self.weight, self.master = bench.put(packed), bench.put(packed, np.float32)
        self.bias = bench.put(bias.reshape(case.towers, -1), np.float32)
        self.dy = bench.put(dy)

    def forward(self, relu=False):
        """Return y (towers, n, outputs)."""
        bench, y = self.bench, self.bench.empty(self.dy.shape)
        with bench.untouched(*self.x, self.weight, self.bias):
            dense.forward(bench.device, self.x, self.weight, self.bias, y, shared=self.case.shared, relu=relu)
        return bench.get(y)

    def backward(self, sink, bias_sink, down=True):
        """Return dx (sources, n, c, h, w) where it is asked for."""
        bench, (channels, rows, columns) = self.bench, self.case.maps
        dx = [bench.empty(maps.shape) for maps in self.x] if down else None
        arguments = self.x, self.weight, self.dy, dx, sink, bias_sink
        with bench.untouched(*self.x, self.dy):
            dense.backward(bench.device, *arguments, shared=self.case.shared)
        if down:
            back = [bench.get(maps).reshape(-1, rows, columns, channels) for maps in dx]
            return np.moveaxis(np.stack(back), 4, 2)
        return None

    def all(self, relu=False):
        """Return y, dweight, dbias and dx."""
        y = self.forward(relu)
        dweight, dbias = (self.bench.empty(each.shape, np.float32) for each in (self.weight, self.bias))
        dx = self.backward(Keep(dweight), Keep(dbias))
        dweight = dense.unpack(self.bench.get(dweight), maps=self.case.maps, sources=self.sources)
        return y, dweight, self.bench.get(dbias).ravel(), dx


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_equals_the_formula_on_integers(bench, case):
    equal(Layer(bench, case, *small(case)).all(), wanted(case))


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("name", ["whole chunks", "a batch of one", "two sources for two towers"])
def test_splits_and_relu(bench, name, splits, monkeypatch):
    y, *others = wanted(ALL[name])
    with cut_into(monkeypatch, (16, 64, 16, 32), splits=splits):
        equal(Layer(bench, ALL[name], *small(ALL[name])).all(relu=True), (reference.relu(y), *others))


@pytest.mark.parametrize("name", ["whole chunks", "two towers"])
def test_real_numbers_within_the_bound(bench, name):
    case, precision = ALL[name], bench.device.precision
    arrays = tuple(in_precision(values, "bf16") for values in draw(case, False))
    right, magnitudes = formula(case, *arrays), formula(case, *map(np.abs, arrays))
    shared = case.towers if case.shared else 1
    terms = case.inputs + 1, case.pictures, case.pictures, case.outputs * shared
    stored = np.array([1, 0, 0, 2 * shared - 1]) * (UNITS[precision] if precision == "bf16" else 0)
    found = Layer(bench, case, *arrays).all()
    for a, b, magnitude, count, unit in zip(found, right, magnitudes, terms, stored, strict=True):
        own = unit * (np.abs(b) if unit <= UNITS[precision] else magnitude)  # see test_conv.py
        allowed = reference.bound(count, magnitude, b, tensor=precision != "fp32")
        assert (np.abs(a - b) <= allowed * (1 + unit) + own).all()


def test_weights_are_rounded_to_the_nearest(emulated):
    """TF32 keeps 10 bits, and dense weights have no rounded copy: cut off, every product here would be too small."""
    case = CUDA["whole chunks"]
    x, weight, bias, dy = (np.abs(each) for each in draw(case, False))
    x, dy, near = (in_precision(each, "tf32") for each in (x, dy, weight))
    y, _, _, dx = Layer(open_bench(emulated, "tf32"), case, x, weight, bias * 0, dy).all()
    right, exact = (formula(case, x, each, bias * 0, dy) for each in (near, weight))
    for found, count, index in ((y, case.inputs, 0), (dx, case.outputs * case.towers, 3)):
        allowed = reference.bound(count, right[index], right[index], tensor=True)
        assert (np.abs(found - right[index]) <= allowed).all()
        assert (np.abs(exact[index] - right[index]) > allowed).any()


@pytest.mark.parametrize("name", ["whole chunks", "two towers"])
def test_towers_together_and_apart_give_the_same_bits(bench, name):
    case = ALL[name]
    x, weight, bias, dy = draw(case, False)
    y, dweight, dbias, dx = Layer(bench, case, x, weight, bias, dy).all()
    for t in range(2):
        own, outputs = slice(t, t + 1), slice(t * case.outputs, (t + 1) * case.outputs)
        alone = replace(case, towers=1, sources=2 if case.shared else 1)
        read = x if case.shared else x[own]
        part = Layer(bench, alone, read, weight[outputs], bias[outputs], dy[own]).all()
        for a, b in zip(part[:3], (y[own], dweight[outputs], dbias[outputs]), strict=True):
            assert_array_equal(a, b)
        if not case.shared:
            assert_array_equal(part[3], dx[own])


@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("name", ["whole chunks", "two towers"])
def test_momentum_is_keep_and_then_the_update(bench, name, finite):
    """The input's gradient is that of the weights as they were."""
    case, device = ALL[name], bench.device
    arrays = draw(case, False)
    control = bench.begin(rate=0.5, momentum=0.75, decay=0.25, bias_rate=0.375)
    if not finite:
        bench.diverge(control)
    layer = Layer(bench, case, *arrays)
    before = [bench.get(layer.master), bench.get(layer.bias)]
    kept = [bench.empty(each.shape, np.float32) for each in before]
    dx = layer.backward(*map(Keep, kept))

    def parameters(copies):
        made = []
        for values, decay in zip(before, (True, False), strict=True):
            pair = bench.put(values, np.float32), bench.put(values * 0.5, np.float32)
            copy = copies if decay and device.precision == "bf16" else None
            made.append(Momentum(*pair, control, decay, copy, factor=0.5 if decay else 3, bias=not decay))
        return made

    fused = parameters(layer.weight)
    assert_array_equal(layer.backward(*fused), dx)
    apart = parameters(bench.put(before[0]))
    for gradient, sink in zip(kept, apart, strict=True):
        apply(device, gradient, sink)
    for one, other in zip(apart, fused, strict=True):
        for each in ("weight", "velocity", "copy"):
            a, b = getattr(one, each), getattr(other, each)
            if a is not None:
                assert_array_equal(bench.get(a), bench.get(b), each)
    assert finite != np.array_equal(bench.get(fused[0].weight), before[0])


def test_without_the_input_gradient(bench):
    case = CUDA["a thousandth part"]
    layer = Layer(bench, case, *small(case))
    dweight, dbias = (bench.empty(each.shape, np.float32) for each in (layer.weight, layer.bias))
    assert layer.backward(Keep(dweight), Keep(dbias), down=False) is None
    assert_array_equal(dense.unpack(bench.get(dweight), maps=case.maps, sources=2), wanted(case)[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["bf16", *(pytest.param(each, marks=pytest.mark.slow) for each in ("fp32", "tf32"))]
)
def test_any_schedule_and_the_checked_build(emulated, precision):
    case = CUDA["whole chunks"]
    for options in ({"schedule": "descending"}, {"schedule": 1}, {"checked": True}):
        equal(Layer(open_bench(emulated, precision, **options), case, *small(case)).all(), wanted(case))


@pytest.mark.parametrize("name", ["two sources for two towers", "two towers", "flat inputs"])
def test_agrees_with_the_host_engine(device, emulated, name):
    case = SMALL[name]
    found = Layer(open_bench(emulated, "fp32"), case, *small(case)).all(relu=True)
    equal(found, on_the_host(device, case, *small(case), relu=True))


@pytest.mark.parametrize(("towers", "sources"), [(1, 1), (2, 1), (2, 2), (1, 2)])
def test_packing_only_permutes(towers, sources):
    canonical = np.arange(towers * 5 * sources * 24, dtype=np.float32).reshape(towers * 5, -1)
    packed = dense.pack(canonical, towers=towers, maps=(3, 2, 4), sources=sources)
    assert packed.shape == (towers, 5, sources * 24)
    assert_array_equal(np.sort(packed.ravel()), canonical.ravel())
    assert_array_equal(dense.unpack(packed, maps=(3, 2, 4), sources=sources), canonical)
