"""Dropout on the host: the formula given the mask, and which mask."""

import numpy as np
import pytest
import reference
from layout import Untouched
from numpy.testing import assert_array_equal

from cualex.devices import Control
from cualex.engine.host import dropout
from cualex.philox import DROPOUT, words

SHAPE = (2, 37, 1, 1, 301)  # towers, pictures, rows, columns, features: nothing divides


def mask_of(device, shape=SHAPE, towers=2, first_tower=0, seed=5, step=3, layer=20, keep=0.5):
    x, y, mask = np.ones(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, bool)
    control = Control(seed=seed, step=step)
    dropout.forward(
        device,
        x,
        y,
        mask,
        keep=keep,
        factor=1,
        layer=layer,
        towers=towers,
        first_tower=first_tower,
        control=control,
    )
    assert_array_equal(y, mask)
    return mask


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("inverted", [False, True], ids=["classic", "inverted"])
def test_equals_the_formula_given_the_mask(device, rng, inverted, dtype):
    x, dy = rng.integers(-9, 10, (2, *SHAPE)).astype(dtype)
    y, dx, mask = np.full_like(x, np.nan), np.full_like(x, np.nan), np.empty(SHAPE, bool)
    factor, tower = 4.0 if inverted else 1.0, {"layer": 20, "towers": 2, "first_tower": 0}
    with Untouched(x, dy):
        dropout.forward(device, x, y, mask, keep=0.25, factor=factor, **tower, control=Control(seed=5))
        with Untouched(mask):
            dropout.backward(device, mask, dy, dx, factor=factor)
    assert_array_equal(y, reference.dropout(x, mask, 0.25, inverted))
    assert_array_equal(dx, reference.dropout(dy, mask, 0.25, inverted))  # linear: its own gradient
    dropout.backward(device, mask, dy, dy, factor=factor)
    assert_array_equal(dy, dx)


def test_at_test_time_nothing_is_dropped(device, rng):
    x = rng.integers(-9, 10, (2, 3, 5)).astype(np.float32)
    y = np.full_like(x, np.nan)
    dropout.infer(device, x, y, factor=0.5)
    assert_array_equal(y, reference.dropout_at_test(x, 0.5))


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
def test_the_mask_is_numbered_over_pictures_towers_and_features(device, keep):
    towers, pictures, *_, features = SHAPE
    drawn = words(5, DROPOUT, 20, 3, pictures * towers * features)
    wanted = drawn.reshape(pictures, towers, 1, 1, features).swapaxes(0, 1) < keep * 2**32
    assert_array_equal(mask_of(device, keep=keep), wanted)


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
def test_the_share_kept(device, keep):
    """Within five standard deviations, in each tower."""
    for tower in mask_of(device, keep=keep):
        assert abs(tower.mean() - keep) < 5 * np.sqrt(keep * (1 - keep) / tower.size)


@pytest.mark.parametrize("other", [{"layer": 24}, {"step": 4}, {"step": 3 + 2**32}, {"seed": 6}], ids=str)
def test_masks_of_other_layers_steps_and_seeds_are_independent(device, other):
    """Agreement of independent halves is a coin: within five standard deviations of a half."""
    first, second = mask_of(device), mask_of(device, **other)
    assert abs((first == second).mean() - 0.5) < 5 * 0.5 / np.sqrt(first.size)


def test_towers_pictures_and_units_are_independent(device):
    mask = mask_of(device)
    for a, b in ((mask[0], mask[1]), (mask[:, 1:], mask[:, :-1]), (mask[..., 1:], mask[..., :-1])):
        assert abs((a == b).mean() - 0.5) < 5 * 0.5 / np.sqrt(a.size)


def test_towers_apart_draw_what_they_draw_together(device):
    both = mask_of(device)
    for tower in range(2):
        alone = mask_of(device, (1, *SHAPE[1:]), first_tower=tower)
        assert_array_equal(alone[0], both[tower])


def test_a_larger_batch_begins_with_the_same_masks(device):
    fewer = mask_of(device, (2, 5, *SHAPE[2:]))
    assert_array_equal(mask_of(device)[:, :5], fewer)


def test_the_bits_do_not_depend_on_the_workers(teams):
    one, *others = [mask_of(device) for device in teams]
    for other in others:
        assert_array_equal(other, one)
