"""Convolution and its three gradients on the host, against the formula."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine.host import conv, im2col
from tests.support import reference
from tests.support.conv_cases import (
    CASES,
    FULL,
    Arrays,
    Case,
    draw,
    engine,
    equal,
    expected,
    formula,
    of_tower,
    read_by,
)
from tests.support.host_layout import inside, outside


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_the_formula_on_integers(device, case, dtype):
    equal(engine(device, case, draw(case, True), dtype), expected(case, True))


@pytest.mark.parametrize("column_bytes", [1, 5000, 1 << 40], ids=["rows", "some", "all"])
@pytest.mark.parametrize("pictures", [1, 2, 5, 9, 17])
@pytest.mark.parametrize(
    "case",
    [
        CASES["two groups"],
        CASES["two towers"],
        CASES["two sources for two towers"],
        Case(stride=2, pad=1, height=9, towers=2, shared=True),
    ],
    ids=["two groups", "two towers", "two sources for two towers", "stride 2"],
)
def test_the_cut_of_the_batch_does_not_show(device, case, pictures, column_bytes, monkeypatch):
    monkeypatch.setattr(im2col, "COLUMN_BYTES", column_bytes)
    monkeypatch.setattr(im2col, "GRADIENT_BYTES", column_bytes)
    case = replace(case, pictures=pictures, width=6)
    equal(engine(device, case, draw(case, True)), expected(case, True))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_real_numbers_within_the_bound(device, case):
    arrays = draw(case, False)
    positive = Arrays(np.abs(arrays.x), np.abs(arrays.weight), np.abs(arrays.bias), [np.abs(dy) for dy in arrays.dy])
    magnitudes = formula(case, positive)
    rows, columns = case.out
    places = case.pictures * rows * columns
    terms = (
        case.depth * case.size**2 + 1,
        places,
        places,
        case.filters // case.groups * case.size**2 * (case.towers if case.shared else 1),
    )
    results = zip(engine(device, case, arrays), expected(case, False), magnitudes, terms, strict=True)
    for found, wanted, magnitude, count in results:
        allowed = reference.bound(count, np.asarray(magnitude), np.asarray(wanted))
        assert (np.abs(np.asarray(found) - np.asarray(wanted)) <= allowed).all()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_with_relu(device, case):
    arrays = draw(case, True)
    y, dweight, dbias, dx = engine(device, case, arrays, relu=True, relu_of=True)
    plain = expected(case, True)
    wanted = [
        [reference.relu(maps) for maps in plain[0]],
        plain[1],
        plain[2],
        [d * (x > 0) for d, x in zip(plain[3], arrays.x, strict=True)],
    ]
    equal((y, dweight, dbias, dx), wanted)


@pytest.mark.parametrize("place", [(2, 0), (0, 1), (1, 2)])
def test_a_single_one_moves_the_maps(device, place):
    """Flipped, transposed or mirrored filters all look alike on symmetric ones."""
    case = Case(channels=3, filters=4, pad=1)
    arrays = draw(case, True)
    arrays.weight[...], arrays.bias[...] = 0, 0
    arrays.weight[3, 1, *place] = 1
    y, _, _, dx = engine(device, case, arrays)
    row, column = place[0] - 1, place[1] - 1

    def moved(maps, rows, columns):
        shifted = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
        return shifted[:, 1 + rows : 1 + rows + case.height, 1 + columns : 1 + columns + case.width]

    assert_array_equal(y[0][:, 3], moved(arrays.x[0][:, 1], row, column))
    assert_array_equal(y[0][:, :3], 0)
    assert_array_equal(dx[0][:, 1], moved(arrays.dy[0][:, 3], -row, -column))
    assert_array_equal(dx[0][:, [0, 2]], 0)


FULL["conv3, eight pictures"] = replace(FULL["conv3"], pictures=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv2", "conv3", "conv3, eight pictures"])
def test_full_size_within_the_bound(device, name):
    """Sums of 1200 and 2304 terms: what a faster rule may lose shows here first."""
    case = FULL[name]
    arrays = draw(case, False)
    y, *_ = engine(device, case, arrays, down=False)
    for tower in range(2):
        parts = read_by(case, arrays.x, tower), of_tower(case, arrays.weight, tower)
        bias = of_tower(case, arrays.bias, tower)
        wanted = reference.conv(*parts, bias, case.stride, case.pad)
        magnitude = reference.conv(*map(np.abs, parts), np.abs(bias), case.stride, case.pad)
        allowed = reference.bound(case.depth * case.size**2 + 1, magnitude, wanted)
        assert (np.abs(y[tower] - wanted) <= allowed).all()


@pytest.mark.parametrize("case", FULL.values(), ids=FULL)
def test_full_size_along_a_random_direction(device, case):
    """At full width each gradient is held to one number: the change along a direction of integers."""
    down = case is not FULL["conv1"]  # nobody asks for the gradient of a picture
    arrays, rng = draw(case, True), np.random.default_rng(7)
    y, dweight, _, dx = engine(device, case, arrays, down=down)

    def rise(x, weight):
        return sum((product(x, weight, t) * arrays.dy[t]).sum() for t in range(2))

    def product(x, weight, tower):
        return reference.conv(read_by(case, x, tower), of_tower(case, weight, tower), None, case.stride, case.pad)

    for tower in range(2):
        bias = of_tower(case, arrays.bias, tower)[:, None, None]
        assert_array_equal(y[tower], product(arrays.x, arrays.weight, tower) + bias)
    along = rng.integers(-1, 2, arrays.weight.shape)
    assert (dweight.astype(np.float64) * along).sum() == rise(arrays.x, along)
    along = rng.integers(-1, 2, (len(arrays.x), *arrays.x[0].shape))
    assert not down or (np.float64(dx) * along).sum() == rise(along, arrays.weight)


@pytest.mark.parametrize("pictures", [7, 9])
@pytest.mark.parametrize("name", ["two towers", "two sources for two towers", "two groups"])
def test_the_bits_do_not_depend_on_the_workers(teams, name, pictures, monkeypatch):
    monkeypatch.setattr(im2col, "COLUMN_BYTES", 20_000)  # enough tasks for all
    monkeypatch.setattr(im2col, "GRADIENT_BYTES", 20_000)
    case = replace(CASES[name], pictures=pictures, height=13, width=11)
    arrays = draw(case, False)
    one, *others = [engine(device, case, arrays) for device in teams]
    for other in others:
        equal(other, one)


@pytest.mark.parametrize("pictures", [7, 9])
@pytest.mark.parametrize("name", ["two towers", "two sources for two towers", "one source for two towers"])
def test_towers_together_and_apart_give_the_same_bits(device, name, pictures):
    case = replace(CASES[name], pictures=pictures)
    arrays = draw(case, False)
    y, dweight, dbias, dx = engine(device, case, arrays)
    for tower in range(2):
        own = slice(tower, tower + 1)
        alone = replace(case, towers=1, sources=case.sources if case.shared else 1)
        part = Arrays(
            arrays.x if case.shared else arrays.x[own],
            of_tower(case, arrays.weight, tower),
            of_tower(case, arrays.bias, tower),
            arrays.dy[own],
        )
        found = engine(device, alone, part)
        assert_array_equal(found[0][0], y[tower])
        assert_array_equal(found[1], of_tower(case, dweight, tower))
        assert_array_equal(found[2], of_tower(case, dbias, tower))
        if not case.shared:
            assert_array_equal(found[3][0], dx[tower])


@pytest.mark.parametrize("relu", [False, True])
def test_output_inside_a_border(device, relu):
    """Maps are written where the next layer reads them, and its border stays zero."""
    case = CASES["two towers"]
    arrays = draw(case, True)
    around = np.zeros((2, case.pictures, case.height + 4, case.width + 4, case.filters), np.float32)
    y = around[:, :, 2:-2, 2:-2]
    weight = conv.pack(arrays.weight.astype(np.float32), towers=2)
    bias = arrays.bias.astype(np.float32).reshape(2, -1)
    x = [inside(maps, border=case.pad) for maps in arrays.x]
    conv.forward(device, x, weight, bias, y, **case.numbers, relu=relu)
    for tower in range(2):
        wanted = expected(case, True)[0][tower]
        assert_array_equal(outside(y[tower]), reference.relu(wanted) if relu else wanted)
    y[...] = 0
    assert not around.any()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("towers", "sources"), [(1, 1), (2, 1), (2, 2)])
def test_packing_only_permutes(towers, sources, groups):
    canonical = np.arange(towers * 4 * 6 * 9, dtype=np.float32).reshape(towers * 4, 6, 3, 3)
    packed = conv.pack(canonical, towers=towers, sources=sources, groups=groups)
    assert packed.shape[0] == towers
    assert_array_equal(np.sort(packed.ravel()), canonical.ravel())
    assert_array_equal(conv.unpack(packed, size=3, sources=sources), canonical)
