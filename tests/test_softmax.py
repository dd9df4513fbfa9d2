"""Softmax with cross-entropy on the host, and the counts, against the formula."""

import numpy as np
import pytest
import reference
from layout import Untouched
from numpy.testing import assert_array_equal

from cualex.devices import Control
from cualex.engine.host import softmax


def engine(device, scores, labels, training=True):
    """Return probabilities, the gradient (or None), the sums and whether the loss is finite."""
    scores, labels = np.asarray(scores)[None], np.asarray(labels, np.int32)
    y, dx = np.full_like(scores, np.nan), np.full_like(scores, np.nan) if training else None
    sums, control = np.full(4, np.nan), Control()
    with Untouched(scores, labels):
        softmax.forward(device, scores, labels, y, dx, sums, control=control)
    return y[0], dx[0] if training else None, sums, control.finite


def unit_errors(scores, dtype):
    """Bound the share by which a probability is off.

    The difference to the highest score is rounded to its own unit, and the exponential makes of that a share;
    then come the exponential's roundings, those of a sum of positive terms, and the division.
    """
    distance = np.abs(scores - scores.max(1, keepdims=True)).max(1, keepdims=True)
    return reference.UNIT[np.dtype(dtype)] * (2 * distance + scores.shape[1] + 6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("pictures", "classes"), [(1, 2), (5, 3), (9, 10), (128, 17)])
def test_agrees_with_the_formula(device, rng, pictures, classes, dtype):
    scores = rng.normal(3, 4, (pictures, classes)).astype(dtype)
    labels = rng.integers(-1, classes, pictures)
    labels[0] = classes - 1
    y, dx, sums, finite = engine(device, scores, labels)
    scores = scores.astype(np.float64)
    wanted, share, counted = reference.softmax(scores), unit_errors(scores, dtype), (labels >= 0).sum()
    unit = reference.UNIT[np.dtype(dtype)]
    assert (np.abs(y - wanted) <= share * wanted).all()

    by_difference = reference.gradient(
        lambda s: np.sum(reference.losses(s, labels)) / counted, scores, np.ones(()), step=1e-4
    )
    allowed = (share * wanted + 3 * unit) / counted + 1e-8 / counted  # differences know it to 1e-8
    assert (np.abs(dx - by_difference) <= allowed).all()

    losses = reference.losses(scores, labels)
    assert abs(sums[0] - losses.sum()) <= (share[:, 0] * (1 + losses)).sum()
    assert sums[1] == reference.right(scores, labels)
    assert sums[2] == reference.right(scores, labels, top=5)
    assert sums[3] == counted
    assert finite


def test_gradient_is_exact_where_it_is_a_number(device):
    """Four equal scores, two pictures that count: (1/4 - label) / 2."""
    y, dx, sums, _ = engine(device, np.zeros((3, 4), np.float32), [2, -1, 0])
    assert_array_equal(y, 0.25)
    assert_array_equal(dx * 8, [[1, 1, -3, 1], [0, 0, 0, 0], [-3, 1, 1, 1]])
    assert sums[0] == pytest.approx(2 * np.log(4), rel=1e-7)
    assert list(sums[1:]) == [1, 2, 2]


def test_huge_scores(device):
    """Exponentials of thousands overflow, and those of differences do not."""
    scores = np.array([[1e4, 0, -1e4], [-1e30, -1e30, -2e30], [1e4, 1e4, 1e4]], np.float32)
    y, dx, sums, finite = engine(device, scores, [1, 0, 2])
    np.testing.assert_allclose(y, [[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(dx * 3, [[1, -1, 0], [-0.5, 0.5, 0], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-6)
    assert sums[0] == pytest.approx(1e4 + np.log(2) + np.log(3), rel=1e-6)
    assert list(sums[1:]) == [1, 3, 3]
    assert finite


def test_a_label_of_minus_one_is_not_counted(device, rng):
    scores = rng.normal(size=(5, 7)).astype(np.float32)
    _, dx, sums, _ = engine(device, scores, [3, -1, 2, -1, -1])
    _, alone, sums_alone, _ = engine(device, scores[[0, 2]], [3, 2])
    assert_array_equal(sums, sums_alone)
    assert_array_equal(dx[[0, 2]], alone)
    assert not dx[[1, 3, 4]].any()
    _, dx, sums, finite = engine(device, scores, [-1] * 5)
    assert finite
    assert not dx.any()
    assert not sums.any()


@pytest.mark.parametrize("classes", [3, 5, 9])
def test_ties_go_to_the_lower_class(device, classes):
    scores = np.zeros((classes, classes), np.float32)
    sums = engine(device, scores, range(classes))[2]
    assert list(sums[1:]) == [1, min(5, classes), classes]


def test_counts_on_few_different_scores(device, rng):
    """Ties everywhere: each count is held to the words of the definition."""
    scores = rng.integers(0, 3, (200, 9)).astype(np.float32)
    labels = rng.integers(-1, 9, 200)
    sums = engine(device, scores, labels)[2]
    assert sums[1] == reference.right(scores, labels)
    assert sums[2] == reference.right(scores, labels, top=5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_is_noticed_and_never_right(device, bad):
    scores = np.zeros((3, 6), np.float32)
    scores[1] = bad
    _, _, sums, finite = engine(device, scores, [0, 0, 0])
    assert not finite
    assert not np.isfinite(sums[0])
    if np.isnan(bad):
        assert list(sums[1:]) == [2, 2, 3]


def test_inference_writes_no_gradient(device, rng):
    scores = rng.normal(size=(5, 7)).astype(np.float32)
    y, dx, sums, _ = engine(device, scores, [0, 1, 2, 3, -1], training=False)
    wanted = engine(device, scores, [0, 1, 2, 3, -1])
    assert dx is None
    assert_array_equal(y, wanted[0])
    assert_array_equal(sums, wanted[2])
