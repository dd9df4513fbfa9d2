"""Dense layers on the host, forward and backward in one pass, against the formula."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine.host import dense
from tests.support import reference
from tests.support.dense_cases import CASES, Case, draw, engine, equal, expected, formula


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pictures", [1, 2, 5, 9])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_the_formula_on_integers(device, case, pictures, dtype):
    case = replace(case, pictures=pictures)
    equal(engine(device, case, *draw(case, True), dtype), expected(case, True))


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("name", ["plain", "two towers", "two sources for two towers"])
def test_blocks_of_rows_do_not_show(device, name, pictures, rows, monkeypatch):
    """More blocks than partial sums, and as many as partial sums or fewer."""
    monkeypatch.setattr(dense, "ALONE", rows)
    monkeypatch.setattr(dense, "SEVERAL", rows)
    case = replace(CASES[name], pictures=pictures)
    assert case.inputs > dense.LANES
    equal(engine(device, case, *draw(case, True)), expected(case, True))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_real_numbers_within_the_bound(device, case):
    arrays = draw(case, False)
    magnitudes = formula(case, *map(np.abs, arrays))
    terms = (
        case.inputs + 1,
        case.pictures,
        case.pictures,
        case.outputs * (case.towers if case.shared else 1),
    )
    results = zip(engine(device, case, *arrays), formula(case, *arrays), magnitudes, terms, strict=True)
    for found, wanted, magnitude, count in results:
        assert (np.abs(found - wanted) <= reference.bound(count, magnitude, wanted)).all()


def test_with_relu(device):
    case = CASES["two sources for two towers"]
    arrays = draw(case, True)
    y, *others = formula(case, *arrays)
    equal(engine(device, case, *arrays, relu=True), (reference.relu(y), *others))


def test_without_the_input_gradient(device):
    case = CASES["two towers"]
    arrays = draw(case, True)
    _, dweight, dbias, dx = engine(device, case, *arrays, down=False)
    assert_array_equal(dweight, formula(case, *arrays)[1])
    assert_array_equal(dbias, formula(case, *arrays)[2])
    assert np.isnan(dx).all()


def test_inputs_are_numbered_by_channel_row_column(device):
    """Canonical weights flatten maps as PyTorch does; a single weight shows which input it meets."""
    case = Case(sources=2, shared=True)
    x, weight, bias, dy = draw(case, True)
    weight[...], bias[...] = 0, 0
    channels, rows, columns = case.maps
    weight[4, channels * rows * columns + 1 * rows * columns + 1 * columns + 3] = 1
    y, _, _, dx = engine(device, case, x, weight, bias, dy)
    assert_array_equal(y[0, :, 4], x[1, :, 1, 1, 3])
    assert not y[0, :, :4].any()
    assert_array_equal(dx[1, :, 1, 1, 3], dy[0, :, 4])
    assert np.count_nonzero(dx) == np.count_nonzero(dy[0, :, 4])


def test_the_bits_do_not_depend_on_the_workers(teams):
    case = Case((7, 9, 11), 530, pictures=9, towers=2, sources=2, shared=True)
    arrays = draw(case, False)
    one, *others = [engine(device, case, *arrays) for device in teams]
    for other in others:
        equal(other, one)


@pytest.mark.parametrize("shared", [False, True])
def test_towers_together_and_apart_give_the_same_bits(device, shared):
    case = Case((7, 5, 11), 300, pictures=9, towers=2, sources=2, shared=shared)
    x, weight, bias, dy = draw(case, False)
    y, dweight, dbias, dx = engine(device, case, x, weight, bias, dy)
    for t in range(2):
        own, outputs = slice(t, t + 1), slice(t * case.outputs, (t + 1) * case.outputs)
        alone = replace(case, towers=1, sources=2 if shared else 1)
        part = engine(device, alone, x if shared else x[own], weight[outputs], bias[outputs], dy[own])
        for a, b in zip(part[:3], (y[own], dweight[outputs], dbias[outputs]), strict=True):
            assert_array_equal(a, b)
        if not shared:
            assert_array_equal(part[3], dx[own])


@pytest.mark.parametrize(("towers", "sources"), [(1, 1), (2, 1), (2, 2), (1, 2)])
def test_packing_only_permutes(towers, sources):
    canonical = np.arange(towers * 5 * sources * 24, dtype=np.float32).reshape(towers * 5, -1)
    packed = dense.pack(canonical, towers=towers, maps=(3, 2, 4), sources=sources)
    assert packed.shape == (towers, sources * 24, 5)
    assert_array_equal(np.sort(packed.ravel()), canonical.ravel())
    assert_array_equal(dense.unpack(packed, maps=(3, 2, 4), sources=sources), canonical)
