"""Convolution and its gradients by the CUDA kernels, in the emulator: against the formula, and against the host."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine.cuda import conv
from cualex.engine.cuda.update import Keep, Momentum, apply
from tests.support import reference
from tests.support.conv_cases import CASES, Arrays, Case, draw, equal, formula, of_tower
from tests.support.conv_cases import engine as on_the_host
from tests.support.cuda_arrays import (
    CUDA,
    PRECISIONS,
    UNITS,
    Convolution,
    cut_into,
    in_precision,
    open_bench,
    small,
    wanted,
)

ALL = {**CASES, **CUDA}
FEW = [
    *(
        "one filter of one",
        "seventeen channels, padded",
        "stride 2, a rest left over",
        "stride beyond the size",
    ),
    *(
        "two groups, stride 2",
        "padded as far as it goes",
        "two towers, as conv2",
        "two towers with two groups",
    ),
    *("rounded up, padded", "rounded up, two sources for two towers"),
    *("two sources for two towers", "two sources for one tower", "three groups", "48 channels", "wide"),
]


@pytest.fixture(params=PRECISIONS)
def bench(request, emulated):
    return open_bench(emulated, request.param)


@pytest.mark.parametrize("name", FEW)
def test_equals_the_formula_on_integers(bench, name):
    case = ALL[name]
    equal(Convolution(bench, case, small(case)).all(), wanted(case))


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_all_cases_equal_the_formula(bench, case):
    equal(Convolution(bench, case, small(case)).all(), wanted(case))


@pytest.mark.parametrize("name", ["two sources for two towers", "two groups, stride 2", "two towers"])
def test_with_relu(bench, name):
    case, arrays = CASES[name], small(CASES[name])
    y, dweight, dbias, dx = wanted(case)
    dx = [d * (x > 0) for d, x in zip(dx, arrays.x, strict=True)]
    equal(Convolution(bench, case, arrays).all(relu=True), ([reference.relu(m) for m in y], dweight, dbias, dx))


@pytest.mark.slow
@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("name", ["two sources for two towers", "two groups", "seventeen channels, padded", "wide"])
def test_splits_are_added_up_with_all_that_follows(bench, name, splits, monkeypatch):
    """Bias, ReLU, the second tower's part and the mask come after the sum, once."""
    case = ALL[name]
    y, dweight, dbias, dx = wanted(case)
    dx = [d * (x > 0) for d, x in zip(dx, small(case).x, strict=True)]
    with cut_into(monkeypatch, (16, 64, 16, 32), splits=splits):
        found = Convolution(bench, case, small(case)).all(relu=True)
    equal(found, ([reference.relu(maps) for maps in y], dweight, dbias, dx))


@cache
def real(case):
    """Draw real numbers that every precision can hold; return them, what the formula gives, and the magnitudes."""
    arrays, names = draw(case, False), ("x", "weight", "bias", "dy")
    arrays = Arrays(*(in_precision(getattr(arrays, name), "bf16") for name in names))
    return (
        arrays,
        formula(case, arrays),
        formula(case, Arrays(*(np.abs(getattr(arrays, name)) for name in names))),
    )


@pytest.mark.parametrize("name", ["seventeen channels, padded", "two sources for two towers", "three groups"])
def test_real_numbers_within_the_bound(bench, name):
    """What is wrong is the rounding of the sums and, in bfloat16, of the results."""
    case, precision = ALL[name], bench.device.precision
    arrays, right, magnitudes = real(case)
    places = case.pictures * case.out[0] * case.out[1]
    shared = case.towers if case.shared else 1
    terms = case.depth * case.size**2 + 1, places, places, case.filters // case.groups * case.size**2 * shared
    stored = np.array([1, 0, 0, 2 * shared - 1]) * (UNITS[precision] if precision == "bf16" else 0)
    found = Convolution(bench, case, arrays).all()
    for a, b, magnitude, count, unit in zip(found, right, magnitudes, terms, stored, strict=True):
        a, b, magnitude = map(np.asarray, (a, b, magnitude))
        # The parts that several towers add to a sum are rounded too, and may be larger than the sum.
        own = unit * (np.abs(b) if unit <= UNITS[precision] else magnitude)
        allowed = reference.bound(count, magnitude, b, tensor=precision != "fp32")
        assert (np.abs(a - b) <= allowed * (1 + unit) + own).all()


@pytest.mark.parametrize("crop", [(19, 23), (16, 13)])
@pytest.mark.parametrize(("pad", "round_up"), [(0, False), (2, False), (0, True)])
def test_a_picture_in_blocks_of_pixels(bench, pad, round_up, crop):
    """conv1 over blocks of 4 x 4 pixels: the same filters; weights beyond the filter stay zero."""
    case = Case(towers=2, shared=True, filters=6, size=11, stride=4, pad=pad, height=crop[0], width=crop[1])
    case = replace(case, round_up=round_up)
    arrays = small(case)
    channels, rows, columns = conv.picture((3, *crop), size=11, stride=4, pad=pad)
    below, right = 4 * rows - crop[0] - pad, 4 * columns - crop[1] - pad
    wide = np.pad(arrays.x[0], ((0, 0), (0, 0), (pad, below), (pad, right)))
    blocks = wide.reshape(-1, 3, rows, 4, columns, 4).transpose(0, 3, 5, 1, 2, 4).reshape(-1, channels, rows, columns)
    run = Convolution(bench, case, Arrays([blocks], arrays.weight, arrays.bias, arrays.dy), stride=4)
    y, dweight, dbias, _ = wanted(case)
    equal((run.forward(), *run.weight_gradient(), 0), (y, dweight, dbias, 0))
    packed = bench.empty(run.weight.shape, np.float32)
    run.sink(Keep(packed), Keep(bench.empty(run.bias.shape, np.float32)))
    again = conv.pack(run.canonical(bench.get(packed)), stride=4, towers=2)
    assert_array_equal(bench.get(packed), again)


def test_packing_only_permutes_and_pads():
    canonical = np.arange(1, 8 * 3 * 121 + 1, dtype=np.float32).reshape(8, 3, 11, 11)
    packed = conv.pack(canonical, stride=4, towers=2)
    assert packed.shape == (2, 4, 1, 3, 3, 48)
    assert_array_equal(np.sort(packed[packed > 0]), canonical.ravel())
    assert_array_equal(conv.unpack(packed, size=11, stride=4), canonical)


@pytest.mark.parametrize("name", ["two towers", "two sources for two towers", "one source for two towers"])
def test_towers_together_and_apart_give_the_same_bits(bench, name, monkeypatch):
    case = replace(CASES[name], pictures=7)
    arrays = draw(case, False)
    with cut_into(monkeypatch, (16, 64, 16, 32), splits=2):
        y, dweight, dbias, dx = Convolution(bench, case, arrays).all()
        for tower in range(2):
            own = slice(tower, tower + 1)
            alone = replace(case, towers=1, sources=case.sources if case.shared else 1)
            part = Arrays(
                arrays.x if case.shared else arrays.x[own],
                of_tower(case, arrays.weight, tower),
                of_tower(case, arrays.bias, tower),
                arrays.dy[own],
            )
            found = Convolution(bench, alone, part).all()
            assert_array_equal(found[0][0], y[tower])
            assert_array_equal(found[1], of_tower(case, dweight, tower))
            assert_array_equal(found[2], of_tower(case, dbias, tower))
            if not case.shared:
                assert_array_equal(found[3][0], dx[tower])


def test_the_sum_over_towers_is_that_of_two_places(bench):
    """Each tower's part is rounded as it would be stored on a place of its own, and then their sum."""
    case = CASES["two sources for two towers"]
    arrays = draw(case, False)
    parts = []
    for tower in range(2):
        own = Arrays(arrays.x, *(of_tower(case, p, tower) for p in (arrays.weight, arrays.bias)), arrays.dy[tower:][:1])
        parts.append(Convolution(bench, replace(case, towers=1), own).input_gradient())
    together = Convolution(bench, case, arrays).input_gradient()
    for source in range(2):
        assert_array_equal(together[source], bench.rounded(parts[0][source] + parts[1][source]))


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("finite", [True, False])
def test_momentum_is_keep_and_then_the_update(bench, splits, finite, monkeypatch):
    case = Case(towers=2, shared=True, filters=5, size=5, stride=2, height=9, width=8)
    arrays, device = draw(case, False), bench.device
    control = bench.begin(rate=0.5, momentum=0.75, decay=0.25, bias_rate=0.375)
    if not finite:
        bench.diverge(control)
    blocks = draw(replace(case, channels=12, size=3, stride=1, height=6, width=5), False).x
    run = Convolution(bench, case, replace(arrays, x=blocks), stride=2)
    before = [bench.get(run.master), bench.get(run.bias)]
    speeds = [each * 0.5 for each in before]

    def parameters():
        made = []
        for values, speed, decay in zip(before, speeds, (True, False), strict=True):
            copy = bench.put(values) if decay and device.precision == "bf16" else None
            arrays = bench.put(values, np.float32), bench.put(speed, np.float32)
            made.append(Momentum(*arrays, control, decay, copy, factor=0.5 if decay else 3, bias=not decay))
        return made

    with cut_into(monkeypatch, (16, 64, 16, 32), splits=splits):
        kept = [bench.empty(each.shape, np.float32) for each in before]
        run.sink(*map(Keep, kept))
        apart, fused = parameters(), parameters()
        for gradient, sink in zip(kept, apart, strict=True):
            apply(device, gradient, sink)
        run.sink(*fused)
    for one, other in zip(apart, fused, strict=True):
        for name in ("weight", "velocity", "copy"):
            a, b = getattr(one, name), getattr(other, name)
            if a is not None:
                assert_array_equal(bench.get(a), bench.get(b), name)
    weight = bench.get(fused[0].weight)
    assert finite != np.array_equal(weight, before[0])
    beyond = conv.pack(np.ones_like(arrays.weight), stride=2, towers=2) == 0
    assert beyond.any()
    assert not weight[beyond].any()


@pytest.mark.parametrize("name", ["plain", "two groups", "two sources for two towers", "stride 2, a rest left over"])
def test_agrees_with_the_host_engine(device, emulated, name):
    """Two engines, one meaning: the same numbers but for the order of the sums."""
    case = CASES[name]
    found = Convolution(open_bench(emulated, "fp32"), case, small(case)).all(relu=True)
    equal(found, on_the_host(device, case, small(case), relu=True, relu_of=True))
