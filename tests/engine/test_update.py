"""The update rule of the paper's section 5, and that a fused update is the plain one, bit for bit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex.devices.control import Control
from cualex.engine.host import conv, dense, update
from tests.support import reference
from tests.support.host_layout import inside


def settings(**changed):
    return Control(**{"rate": 0.5, "momentum": 0.25, "decay": 0.125, **changed})


@pytest.mark.parametrize("decay", [True, False])
def test_the_rule_is_exact_on_integers(rng, decay):
    """Weight decay is multiplied by the rate, and the velocity keeps the rate of its own step."""
    weight, velocity, gradient = (rng.integers(-9, 10, (3, 5)).astype(np.float32) for _ in range(3))
    wanted = reference.momentum(
        weight.astype(float), velocity.astype(float), gradient, 0.5, 0.25, 0.125 if decay else 0
    )
    update.Momentum(weight, velocity, settings(), decay)((slice(None),), gradient)
    assert_array_equal(weight, wanted[0])
    assert_array_equal(velocity, wanted[1])


def test_five_updates_on_real_numbers(rng):
    """Each update rounds six times: the products, the differences and the sum."""
    weight, velocity = rng.normal(size=(2, 40)).astype(np.float32)
    w, v = weight.astype(np.float64), velocity.astype(np.float64)
    control = settings(rate=0.3, momentum=0.9, decay=0.7)
    size = np.abs(w) + np.abs(v)
    for _ in range(5):
        gradient = rng.normal(size=40).astype(np.float32)
        size = size + 0.3 * np.abs(gradient)
        w, v = reference.momentum(w, v, gradient.astype(np.float64), 0.3, 0.9, 0.7)
        update.Momentum(weight, velocity, control, True)((slice(None),), gradient)
    assert (np.abs(weight - w) <= 5 * 6 * 2.0**-24 * 5 * size).all()
    assert_allclose(velocity, v, rtol=0, atol=5 * 6 * 2.0**-24 * size.max())


def test_blocks_together_are_the_whole(rng):
    weight, velocity, gradient = rng.normal(size=(3, 2, 6, 4)).astype(np.float32)
    whole = weight.copy(), velocity.copy()
    update.Momentum(*whole, settings(), True)((slice(None),), gradient.copy())
    sink = update.Momentum(weight, velocity, settings(), True)
    for tower, rows in [(1, slice(4, 6)), (0, slice(0, 4)), (1, slice(0, 4)), (0, slice(4, 6))]:
        sink((tower, rows), gradient[tower, rows].copy())
    assert_array_equal(weight, whole[0])
    assert_array_equal(velocity, whole[1])


def test_nothing_moves_when_the_loss_was_not_finite(rng):
    weight, velocity = rng.normal(size=(2, 6)).astype(np.float32)
    before = weight.copy(), velocity.copy()
    update.Momentum(weight, velocity, settings(finite=False), True)((slice(None),), np.full(6, np.nan, "f"))
    assert_array_equal(weight, before[0])
    assert_array_equal(velocity, before[1])


@pytest.mark.parametrize("shared", [False, True])
def test_a_dense_layer_updates_as_if_the_gradient_had_been_kept(teams, rng, shared):
    """And dx comes from the weights as they were, in every block of them."""
    inputs = 600 if shared else 300
    x = list(rng.normal(size=(2, 9, 300)).astype(np.float32))
    dy = rng.normal(size=(2, 9, 270)).astype(np.float32)
    weight, velocity = rng.normal(size=(2, 2, inputs, 270)).astype(np.float32)
    bias, bias_velocity = rng.normal(size=(2, 2, 270)).astype(np.float32)

    gradient, bias_gradient = np.empty_like(weight), np.empty_like(bias)
    dx = [np.empty_like(own) for own in x]
    keep, bias_keep = update.Keep(gradient), update.Keep(bias_gradient)
    dense.backward(teams[0], x, weight, dy, dx, keep, bias_keep, shared=shared)
    wanted = [weight.copy(), velocity.copy(), bias.copy(), bias_velocity.copy()]
    update.momentum(*wanted[:2], gradient, settings(rate=0.1), True)
    update.momentum(*wanted[2:], bias_gradient, settings(rate=0.1), False)

    for device in teams:
        found = [weight.copy(), velocity.copy(), bias.copy(), bias_velocity.copy()]
        sink = update.Momentum(*found[:2], settings(rate=0.1), True)
        bias_sink = update.Momentum(*found[2:], settings(rate=0.1), False)
        passed = [np.full_like(own, np.nan) for own in x]
        dense.backward(device, x, found[0], dy, passed, sink, bias_sink, shared=shared)
        for a, b in zip(found + passed, wanted + dx, strict=True):
            assert_array_equal(a, b)


def test_a_convolution_updates_as_if_the_gradient_had_been_kept(teams, rng):
    x = [inside(maps, border=1) for maps in rng.normal(size=(2, 5, 3, 7, 9))]
    dy = rng.normal(size=(2, 5, 7, 9, 4)).astype(np.float32)
    weight, velocity = rng.normal(size=(2, 2, 1, 27, 4)).astype(np.float32)
    bias, bias_velocity = rng.normal(size=(2, 2, 4)).astype(np.float32)

    gradient, bias_gradient = np.empty_like(weight), np.empty_like(bias)
    keep, bias_keep = update.Keep(gradient), update.Keep(bias_gradient)
    conv.weight_gradient(teams[0], x, dy, keep, bias_keep, size=3)
    wanted = [weight.copy(), velocity.copy(), bias.copy(), bias_velocity.copy()]
    update.momentum(*wanted[:2], gradient, settings(rate=0.1), True)
    update.momentum(*wanted[2:], bias_gradient, settings(rate=0.1), False)

    for device in teams:
        found = [weight.copy(), velocity.copy(), bias.copy(), bias_velocity.copy()]
        sink = update.Momentum(*found[:2], settings(rate=0.1), True)
        bias_sink = update.Momentum(*found[2:], settings(rate=0.1), False)
        conv.weight_gradient(device, x, dy, sink, bias_sink, size=3)
        for a, b in zip(found, wanted, strict=True):
            assert_array_equal(a, b)
