"""Sums of absolute values and counts of positive ones, on every engine: what the watch on training is made of."""

import numpy as np
import pytest

SIZES = [1, 257, 4096, 5003]  # fewer than there are parts, ragged, whole


@pytest.mark.parametrize("size", SIZES)
def test_absolute_values_are_summed(bench, rng, size):
    """In float64 the order of so few sums changes nothing that a float's last bit could show."""
    given = rng.normal(size=size).astype(bench.device.master)
    values, sums = bench.put(given, bench.device.master), bench.empty(7, np.float64)
    with bench.untouched(values):
        bench.engine.statistics.absolute_sums(bench.device, values, sums)
    assert bench.get(sums).sum() == pytest.approx(np.abs(given.astype(np.float64)).sum(), rel=2.0**-45)


@pytest.mark.parametrize("place", [0, 300, 999])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_what_is_not_finite_is_never_lost(bench, value, place):
    given = np.full(1000, 3e38, bench.device.master)  # which float32 could not add up
    given[place] = value
    sums = bench.empty(7, np.float64)
    bench.engine.statistics.absolute_sums(bench.device, bench.put(given, bench.device.master), sums)
    assert np.isfinite(bench.get(sums)).sum() == 6
    given[place] = 3e38
    bench.engine.statistics.absolute_sums(bench.device, bench.put(given, bench.device.master), sums)
    assert bench.get(sums).sum() == pytest.approx(3e41, rel=1e-6)


@pytest.mark.parametrize("shape", [(2, 5, 3, 4, 17), (1, 3, 1, 1, 300), (1, 1, 2, 1, 3)])
def test_positive_values_are_counted(bench, rng, shape):
    """Small whole numbers, so that zeros are among them; what is not a number is not positive."""
    given = rng.integers(-1, 3, shape).astype(np.float64)
    given[:, :, 0, 0, 1] = np.nan
    y, counts = bench.put(given), bench.empty((4, shape[0], shape[-1]), np.uint32)
    with bench.untouched(y):
        bench.engine.statistics.count_positive(bench.device, y, counts)
    assert np.array_equal(bench.get(counts).sum(axis=0), (given > 0).sum(axis=(1, 2, 3)))
    assert (given > 0).any()
