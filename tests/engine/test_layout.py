"""Plain arrays become maps and come back: on both engines, in every precision of the maps."""

import numpy as np
from numpy.testing import assert_array_equal


def test_plain_arrays_become_maps_and_come_back(bench, rng):
    x = rng.normal(size=(3, 5, 7, 4))
    plain = bench.put(x, bench.device.master)
    maps, back = bench.empty((1, 3, 7, 4, 5)), bench.put(np.full(x.shape, np.nan), bench.device.master)
    bench.engine.layout.from_plain(bench.device, plain, maps)
    bench.engine.layout.to_plain(bench.device, maps, back)
    assert_array_equal(bench.get(maps)[0], bench.rounded(x).transpose(0, 2, 3, 1))
    assert_array_equal(bench.get(back), bench.rounded(x))
