"""The first step: crop, mirror, colour shift, mean and scale, exact against indexing, on both engines."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine import host
from tests.support.benches import Bench

ROWS, COLUMNS, CROP = 9, 11, 5
VIEWS = [[0, 0, 0], [4, 1, 1], [2, 6, 0], [3, 5, 1]]
COLOURS = [[0, 0, 0], [1, -2, 4], [8, 0.5, 0], [-0.25, 0, 2]]


def draw(bench, rng):
    """Return stored pictures and a mean whose differences every precision can hold, and both on the device."""
    mean = rng.integers(0, 256, (ROWS, COLUMNS, 3)) / 2
    pictures = np.clip(rng.integers(-15, 16, (len(VIEWS), ROWS, COLUMNS, 3)) + mean, 0, 255).astype(np.uint8)
    given = bench.put_input(pictures, np.uint8), bench.put_input(VIEWS, np.int32)
    return pictures, mean, (*given, bench.put_input(COLOURS, np.float32), bench.put(mean, np.float32))


def formula(pictures, mean, centred=False, scale=(0.5, 0.5, 0.5)):
    """Cut out each view; (pictures, rows, columns, colours)."""
    middle = (ROWS - CROP) // 2, (COLUMNS - CROP) // 2
    y = np.empty((len(VIEWS), CROP, CROP, 3))
    for n, (row, column, mirror) in enumerate(VIEWS):
        for r, c, channel in np.ndindex(CROP, CROP, 3):
            place = row + r, column + (CROP - 1 - c if mirror else c), channel
            own = (middle[0] + r, middle[1] + c, channel) if centred else place
            difference = float(pictures[(n, *place)]) + COLOURS[n][channel] - mean[own]
            y[n, r, c, channel] = scale[channel] * difference
    return y


@pytest.mark.parametrize("centred", [False, True])
def test_crop_mirror_colour_mean_and_scale(bench, rng, centred):
    pictures, mean, given = draw(bench, rng)
    y = bench.empty((1, len(VIEWS), CROP, CROP, 3))
    control = bench.begin()
    with bench.untouched(*given):
        target = y[0] if bench.host else y
        bench.engine.crop.forward(bench.device, *given, target, crop=CROP, scale=0.5, centred=centred, control=control)
    assert_array_equal(bench.get(y)[0], bench.rounded(formula(pictures, mean, centred)))


@pytest.mark.parametrize("scale", [(0.5, 2, 0.25), (1, 1, 0.25)])
def test_a_scale_for_each_colour(bench, rng, scale):
    pictures, mean, given = draw(bench, rng)
    y = bench.empty((1, len(VIEWS), CROP, CROP, 3))
    control, target = bench.begin(), y[0] if bench.host else y
    bench.engine.crop.forward(bench.device, *given, target, crop=CROP, scale=scale, control=control)
    assert_array_equal(bench.get(y)[0], bench.rounded(formula(pictures, mean, scale=scale)))


@pytest.mark.parametrize(("block", "pad"), [(2, 0), (2, 3), (3, 1), (4, 0), (4, 2)])
def test_space_to_depth_with_zeros_around(cuda_bench, rng, block, pad):
    """Blocks lie in the order of row, column and colour; the crop begins at (pad, pad)."""
    bench = cuda_bench
    pictures, mean, given = draw(bench, rng)
    size = -(-(CROP + 2 * pad) // block)
    y = bench.empty((1, len(VIEWS), size, size, 3 * block * block))
    control = bench.begin()
    bench.engine.crop.forward(bench.device, *given, y, crop=CROP, pad=pad, scale=0.5, control=control)
    around = np.zeros((len(VIEWS), size * block, size * block, 3))
    around[:, pad : pad + CROP, pad : pad + CROP] = formula(pictures, mean)
    parts = around.reshape(-1, size, block, size, block, 3).swapaxes(2, 3)
    assert_array_equal(bench.get(y)[0], bench.rounded(parts.reshape(bench.get(y)[0].shape)))


@pytest.mark.parametrize("scale", [1 / 57.3, (1 / 58.4, 1 / 57.1, 1 / 57.4)])
def test_the_bits_are_those_of_the_host(device, emulated, rng, scale):
    """Each operation rounds once, in the same order, whatever the numbers."""
    from cualex.devices.cuda import CudaDevice
    from tests.support.benches import Bench

    found = []
    mean = rng.uniform(90, 130, (ROWS, COLUMNS, 3))
    pictures = rng.integers(0, 256, (len(VIEWS), ROWS, COLUMNS, 3))
    colours = rng.normal(0, 20, (len(VIEWS), 3))
    for bench in (Bench(device), Bench(CudaDevice("cuda:0", emulated(), 0, "tf32"))):
        y = bench.empty((len(VIEWS), CROP, CROP, 3))
        inputs = (pictures, np.uint8), (VIEWS, np.int32), (colours, np.float32)
        given = [bench.put_input(values, dtype) for values, dtype in inputs]
        control = bench.begin()
        mean_there = bench.put(mean, np.float32)
        bench.engine.crop.forward(bench.device, *given, mean_there, y, crop=CROP, scale=scale, control=control)
        found.append(bench.get(y))
    assert_array_equal(*found)


@pytest.mark.parametrize(("rows", "run"), [(1, 1), (2, 2), (4, 3), (5, 1), (5, 2)])
@pytest.mark.parametrize("centred", [False, True])
def test_blocks_of_rows_change_no_bit(device, rng, monkeypatch, rows, run, centred):
    """Crops of five rows, in blocks that divide them and that do not, and colours added to runs of those."""
    bench = Bench(device)
    *_, given = draw(bench, rng)
    made = []
    for block, together in ((CROP, CROP + 1), (rows, run)):
        monkeypatch.setattr(host.crop, "ROWS", block)
        monkeypatch.setattr(host.crop, "RUN", together)
        y = bench.empty((len(VIEWS), CROP, CROP, 3))
        host.crop.forward(device, *given, y, crop=CROP, scale=(0.3, 0.7, 1.1), centred=centred)
        made.append(bench.get(y))
    assert_array_equal(*made)
