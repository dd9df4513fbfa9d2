"""The reference itself, against sums done by hand, written another way, or known from elsewhere."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.support import reference


def integers(rng, *shape):
    return rng.integers(-4, 5, shape).astype(np.float64)


def test_gradient_of_a_square():
    x = np.array([[1.0, -2.0], [3.0, 0.5]])
    dy = np.array([[1.0, 10.0], [100.0, 1000.0]])
    assert_allclose(reference.gradient(np.square, x, dy), 2 * x * dy, rtol=1e-9)


def test_gradient_is_exact_for_a_linear_function_and_pictures_apart_change_nothing(rng):
    x, weight, dy = integers(rng, 3, 5), integers(rng, 4, 5), integers(rng, 3, 4)

    def multiply(x):
        return reference.dense(x, weight)

    assert_array_equal(reference.gradient(multiply, x, dy, step=1), dy @ weight)
    assert_array_equal(reference.gradient(multiply, x, dy, step=1, apart=True), dy @ weight)


def test_gradient_leaves_its_input_alone():
    x = np.arange(3.0)
    reference.gradient(np.square, x, np.ones(3))
    assert_array_equal(x, [0, 1, 2])


@pytest.mark.parametrize(("stride", "pad", "groups"), [(1, 0, 1), (2, 1, 2), (4, 2, 1), (3, 0, 3)])
def test_conv_is_the_sum_written_out(rng, stride, pad, groups):
    x, weight, bias = integers(rng, 2, 6, 7, 9), integers(rng, 6, 6 // groups, 3, 3), integers(rng, 6)
    y = reference.conv(x, weight, bias, stride, pad, groups)
    assert y.shape == (2, 6, (7 + 2 * pad - 3) // stride + 1, (9 + 2 * pad - 3) // stride + 1)
    for n, o, r, c in np.ndindex(y.shape):
        total = bias[o]
        for i, a, b in np.ndindex(weight.shape[1:]):
            row, column = r * stride + a - pad, c * stride + b - pad
            if 0 <= row < 7 and 0 <= column < 9:
                total += x[n, o // (6 // groups) * (6 // groups) + i, row, column] * weight[o, i, a, b]
        assert y[n, o, r, c] == total


def test_conv_with_a_single_one_moves_the_picture():
    x = np.arange(63.0).reshape(1, 1, 7, 9)
    weight = np.zeros((1, 1, 3, 3))
    weight[0, 0, 2, 0] = 1  # what lies two rows below and nothing to the right
    assert_array_equal(reference.conv(x, weight)[0, 0], x[0, 0, 2:, :7])


def test_lrn_window_by_hand():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).reshape(1, 7, 1, 1)
    sums = [1 + 4 + 9, 1 + 4 + 9 + 16, 55, 90, 135, 16 + 25 + 36 + 49, 25 + 36 + 49]
    wanted = [v / (2 + s) ** 0.75 for v, s in zip(x.ravel(), sums, strict=True)]
    assert_allclose(reference.lrn(x, alpha=1.0).ravel(), wanted, rtol=1e-15)
    narrow = [v / (2 + s) for v, s in zip(x.ravel(), [5, 14, 29, 50, 77, 110, 85], strict=True)]
    for n in (2, 3):  # n // 2 on either side, so both mean three channels
        assert_allclose(reference.lrn(x, n=n, alpha=1.0, beta=1.0).ravel(), narrow, rtol=1e-15)


def test_lrn_gradient_is_the_derivative_written_out(rng):
    x, dy = rng.normal(size=(2, 2, 6, 2, 3))
    base, direct = reference.lrn_base(x, 5, 2.0, 1.0), np.empty_like(x)
    for c in range(6):
        near = slice(max(c - 2, 0), c + 3)
        shared = (dy[:, near] * x[:, near] * base[:, near] ** -1.75).sum(1)
        direct[:, c] = dy[:, c] * base[:, c] ** -0.75 - 2 * 0.75 * x[:, c] * shared
    found = reference.gradient(lambda x: reference.lrn(x, alpha=1.0), x, dy, apart=True)
    assert_allclose(found, direct, rtol=1e-8, atol=1e-9)


def test_maxpool_by_hand():
    x = np.array([[1, 5, 2, 0, 9], [3, 4, 8, 1, 1], [7, 6, 0, 2, 3], [0, 9, 9, 9, 9]]).reshape(1, 1, 4, 5)
    assert_array_equal(reference.maxpool(x, 3, 2)[0, 0], [[8, 9]])  # the last row fits no window
    assert_array_equal(reference.maxpool(x, 2, 2)[0, 0], [[5, 8], [9, 9]])
    assert_array_equal(reference.maxpool(x, 2, 1)[0, 0, 0], [5, 8, 8, 9])


def test_maxpool_gradient_without_ties_is_the_difference(rng):
    x = rng.permutation(2 * 3 * 7 * 9).reshape(2, 3, 7, 9)
    dy = integers(rng, 2, 3, 3, 4)
    found = reference.gradient(reference.maxpool, x, dy, step=0.25, apart=True)
    assert_array_equal(reference.maxpool_gradient(x, dy), found)


def test_maxpool_gradient_goes_to_the_first_of_equals(rng):
    x, dy = rng.integers(0, 2, (2, 3, 7, 9)), integers(rng, 2, 3, 3, 4)
    earlier_is_larger = x - np.arange(63).reshape(7, 9) / 256
    found = reference.gradient(reference.maxpool, earlier_is_larger, dy, step=2**-10, apart=True)
    assert_array_equal(reference.maxpool_gradient(x, dy), found)


def test_relu_and_its_gradient_at_zero():
    assert_array_equal(reference.relu([-1.0, 0.0, 2.0]), [0, 0, 2])


def test_dropout_both_ways():
    x, mask = np.array([1.0, 2.0, 3.0]), np.array([True, False, True])
    assert_array_equal(reference.dropout(x, mask), [1, 0, 3])
    assert_array_equal(reference.dropout(x, mask, keep=0.25, inverted=True), [4, 0, 12])
    assert_array_equal(reference.dropout_at_test(x, 0.5), x / 2)
    assert_array_equal(reference.dropout_at_test(x, 0.5, inverted=True), x)


def test_softmax_and_losses_agree_and_survive_huge_scores():
    scores = np.array([[1.0, 2.0, 3.0], [1e4, 0.0, -1e4], [0.0, 0.0, 0.0]])
    labels = [2, 1, -1]
    raised = [math.exp(1), math.exp(2), math.exp(3)]
    total = sum(raised)
    assert_allclose(reference.softmax(scores)[0], np.divide(raised, total))
    assert_allclose(reference.losses(scores, labels), [math.log(total) - 3, 1e4, 0])
    assert_allclose(reference.cross_entropy(scores, labels), (math.log(total) - 3 + 1e4) / 2)


def test_cross_entropy_gradient_is_probability_less_the_label(rng):
    scores = rng.normal(size=(3, 4))
    found = reference.gradient(lambda s: reference.cross_entropy(s, [3, -1, 0]), scores, np.ones(()))
    wanted = reference.softmax(scores)
    wanted[0, 3] -= 1
    wanted[2, 0] -= 1
    wanted[1] = 0
    assert_allclose(found, wanted / 2, atol=1e-9)


def test_right_names_the_lower_of_equals_and_never_a_nan():
    nan = np.nan
    scores = np.array([[1.0, 3.0, 3.0], [0.0, nan, 1.0], [2.0, 1.0, 0.0], [9.0, 9.0, 9.0], [nan, nan, nan]])
    assert reference.right(scores, [1, 2, 0, 0, 0]) == 4
    assert reference.right(scores, [2, 1, 1, 1, 2]) == 0
    assert reference.right(scores, [2, 1, 1, 1, 1], top=2) == 3
    assert reference.right(scores, [2, 1, -1, -1, 1], top=5) == 1


def test_momentum_by_hand():
    weight, velocity = reference.momentum(2.0, 1.0, 10.0, rate=0.1)
    assert velocity == pytest.approx(0.9 - 0.0005 * 0.1 * 2 - 1.0)
    assert weight == pytest.approx(2 + velocity)


def test_bound_holds_for_sums_in_float32_and_catches_one_lost_term(rng):
    a, b = rng.normal(size=(2, 200, 400)).astype(np.float32)
    exact, magnitude = (a.astype(np.float64) * b).sum(1), np.abs(a * b.astype(np.float64)).sum(1)
    products, total = a * b, np.zeros(200, np.float32)
    for k in range(400):
        total += products[:, k]
    allowed = reference.bound(400, magnitude, exact)
    assert (np.abs(total - exact) <= allowed).all()
    assert (np.abs(total - products[:, 7] - exact) > allowed).mean() > 0.95


def test_bound_holds_for_sums_that_are_cut_off_as_on_tensor_cores(rng):
    """Numbers of one sign, as after a ReLU: the errors add up, and are no longer within what is allowed elsewhere."""
    terms = 2**15
    a, b = rng.random((2, 20, terms)).astype(np.float32)
    exact = (a.astype(np.float64) * b).sum(1)
    total = np.zeros(20)
    for eight in (a.astype(np.float64) * b).reshape(20, -1, 8).sum(2).T:
        mantissa, exponent = np.frexp(total + eight)
        total = np.ldexp(np.trunc(np.ldexp(mantissa, 24)), exponent - 24)
    error = np.abs(total - exact)
    assert (error <= reference.bound(terms, exact, exact, tensor=True)).all()
    assert (error > reference.bound(terms, exact, exact)).all()
    assert (error + exact / 1000 > reference.bound(terms, exact, exact, tensor=True)).all()
