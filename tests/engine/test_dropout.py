"""Dropout on both engines: the formula given the mask, and which mask."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.random.philox import DROPOUT, words
from tests.support import reference
from tests.support.benches import Bench

SHAPE = (2, 37, 1, 1, 301)  # towers, pictures, rows, columns, features: nothing divides
SHAPES = [SHAPE, (2, 5, 3, 1, 24)]  # and features that go in fours
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def mask_of(bench, shape=SHAPE, towers=2, first_tower=0, seed=5, step=3, layer=20, keep=0.5):
    x, y = bench.put(np.ones(shape)), bench.empty(shape)
    place = {"layer": layer, "towers": towers, "first_tower": first_tower}
    control, saved = bench.begin(seed=seed, step=step), bench.saved("dropout", x, y)
    bench.engine.dropout.forward(bench.device, x, y, saved, keep=keep, factor=1, **place, control=control)
    mask = bench.get(y)
    assert np.isin(mask, (0, 1)).all()
    return mask.astype(bool)


@every_shape
@pytest.mark.parametrize("inverted", [False, True], ids=["classic", "inverted"])
def test_equals_the_formula_given_the_mask(bench, rng, inverted, shape):
    dropout, device = bench.engine.dropout, bench.device
    given_x, given_dy = rng.integers(-9, 10, (2, *shape))
    x, dy, y, dx = bench.put(given_x), bench.put(given_dy), bench.empty(shape), bench.empty(shape)
    numbers = {"keep": 0.25, "layer": 20, "towers": 2, "first_tower": 0}
    mask, saved = mask_of(bench, shape, keep=0.25), bench.saved("dropout", x, y)
    numbers |= {"factor": 4.0 if inverted else 1.0, "control": bench.begin(seed=5, step=3)}
    with bench.untouched(x, dy):
        dropout.forward(device, x, y, saved, **numbers)
        dropout.backward(device, saved, dy, dx, **numbers)
    assert_array_equal(bench.get(y), reference.dropout(given_x, mask, 0.25, inverted))
    assert_array_equal(bench.get(dx), reference.dropout(given_dy, mask, 0.25, inverted))  # its own gradient
    dropout.backward(device, saved, dy, dy, **numbers)
    assert_array_equal(bench.get(dy), bench.get(dx))


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 16)], ids=str)
def test_at_test_time_nothing_is_dropped(bench, rng, shape):
    given = rng.integers(-9, 10, shape)
    x, y = bench.put(given), bench.empty(shape)
    bench.engine.dropout.infer(bench.device, x, y, factor=0.5)
    assert_array_equal(bench.get(y), reference.dropout_at_test(given, 0.5))


@every_shape
@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
def test_the_mask_is_numbered_over_pictures_towers_and_features(bench, keep, shape):
    towers, pictures, *place = shape
    drawn = words(5, DROPOUT, 20, 3, np.prod(shape)).reshape(pictures, towers, *place)
    assert_array_equal(mask_of(bench, shape, keep=keep), drawn.swapaxes(0, 1) < keep * 2**32)


@pytest.mark.parametrize("seed", [0, 2**32 + 7, 2**40 - 1])
def test_every_bit_of_the_seed_counts(bench, seed):
    drawn = words(seed, DROPOUT, 7, 2**32 - 1, 2 * 5 * 72).reshape(5, 2, 3, 1, 24)
    found = mask_of(bench, SHAPES[1], seed=seed, step=2**32 - 1, layer=7)
    assert_array_equal(found, drawn.swapaxes(0, 1) < 2**31)


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
def test_the_share_kept(bench, keep):
    """Within five standard deviations, in each tower."""
    for tower in mask_of(bench, keep=keep):
        assert abs(tower.mean() - keep) < 5 * np.sqrt(keep * (1 - keep) / tower.size)


@pytest.mark.parametrize("other", [{"layer": 24}, {"step": 4}, {"seed": 6}], ids=str)
def test_masks_of_other_layers_steps_and_seeds_are_independent(bench, other):
    """Agreement of independent halves is a coin: within five standard deviations of a half."""
    first, second = mask_of(bench), mask_of(bench, **other)
    assert abs((first == second).mean() - 0.5) < 5 * 0.5 / np.sqrt(first.size)


def test_masks_of_steps_that_differ_in_their_upper_half_are_independent(device):
    """A GPU counts to 2^32 steps, the host further."""
    first, second = mask_of(Bench(device)), mask_of(Bench(device), step=3 + 2**32)
    assert abs((first == second).mean() - 0.5) < 5 * 0.5 / np.sqrt(first.size)


def test_towers_pictures_and_units_are_independent(bench):
    mask = mask_of(bench)
    for a, b in ((mask[0], mask[1]), (mask[:, 1:], mask[:, :-1]), (mask[..., 1:], mask[..., :-1])):
        assert abs((a == b).mean() - 0.5) < 5 * 0.5 / np.sqrt(a.size)


@every_shape
def test_towers_apart_draw_what_they_draw_together(bench, shape):
    both = mask_of(bench, shape)
    for tower in range(2):
        alone = mask_of(bench, (1, *shape[1:]), first_tower=tower)
        assert_array_equal(alone[0], both[tower])


def test_a_larger_batch_begins_with_the_same_masks(bench):
    fewer = mask_of(bench, (2, 5, *SHAPE[2:]))
    assert_array_equal(mask_of(bench)[:, :5], fewer)


def test_the_bits_do_not_depend_on_the_workers(teams):
    one, *others = [mask_of(Bench(device)) for device in teams]
    for other in others:
        assert_array_equal(other, one)
