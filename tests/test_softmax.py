"""Softmax with cross-entropy on both engines, and the counts, against the formula."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_array_equal


def run(bench, scores, labels, training=True):
    """Return probabilities, the gradient (or None), the sums and whether the loss is finite."""
    x, labels = bench.put(np.asarray(scores)[None]), bench.put_input(labels, np.int32)
    y, dx = bench.empty(x.shape), bench.empty(x.shape) if training else None
    sums, control = bench.empty(4, np.float64), bench.begin()
    with bench.untouched(x, labels):
        bench.engine.softmax.forward(bench.device, x, labels, y, dx, sums, control=control)
    return bench.get(y)[0], bench.get(dx)[0] if training else None, bench.get(sums), bench.finite(control)


def unit_errors(bench, scores):
    """Bound the share by which a probability is off.

    The difference to the highest score is rounded to its own unit, and the exponential makes of that a share;
    then come the exponential's roundings, those of a sum of positive terms, and the division.
    """
    distance = np.abs(scores - scores.max(1, keepdims=True)).max(1, keepdims=True)
    return bench.sums * (2 * distance + scores.shape[1] + 6)


@pytest.mark.parametrize(("pictures", "classes"), [(1, 2), (5, 3), (9, 10), (128, 17), (3, 301)])
def test_agrees_with_the_formula(bench, rng, pictures, classes):
    scores = bench.rounded(rng.normal(3, 4, (pictures, classes)))
    labels = rng.integers(-1, classes, pictures)
    labels[0] = classes - 1
    y, dx, sums, finite = run(bench, scores, labels)
    wanted, share, counted = reference.softmax(scores), unit_errors(bench, scores), (labels >= 0).sum()
    assert (np.abs(y - wanted) <= (share + bench.unit) * wanted).all()

    by_difference = reference.gradient(
        lambda s: np.sum(reference.losses(s, labels)) / counted, scores, np.ones(()), step=1e-4
    )
    allowed = (share * wanted + 3 * bench.sums) / counted + bench.unit * np.abs(by_difference)
    assert (np.abs(dx - by_difference) <= allowed + 1e-8 / counted).all()  # differences know it to 1e-8

    losses = reference.losses(scores, labels)
    assert abs(sums[0] - losses.sum()) <= (share[:, 0] * (1 + losses)).sum()
    assert sums[1] == reference.right(scores, labels)
    assert sums[2] == reference.right(scores, labels, top=5)
    assert sums[3] == counted
    assert finite


def test_gradient_is_exact_where_it_is_a_number(bench):
    """Four equal scores, two pictures that count: (1/4 - label) / 2."""
    y, dx, sums, _ = run(bench, np.zeros((3, 4), np.float32), [2, -1, 0])
    assert_array_equal(y, 0.25)
    assert_array_equal(dx * 8, [[1, 1, -3, 1], [0, 0, 0, 0], [-3, 1, 1, 1]])
    assert sums[0] == pytest.approx(2 * np.log(4), rel=1e-7)
    assert list(sums[1:]) == [1, 2, 2]


def test_huge_scores(bench):
    """Exponentials of thousands overflow, and those of differences do not."""
    scores = bench.rounded([[1e4, 0, -1e4], [-1e30, -1e30, -2e30], [1e4, 1e4, 1e4]])
    y, dx, sums, finite = run(bench, scores, [1, 0, 2])
    np.testing.assert_allclose(y, [[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6 + bench.unit)
    np.testing.assert_allclose(
        dx * 3, [[1, -1, 0], [-0.5, 0.5, 0], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-6 + bench.unit
    )
    assert sums[0] == pytest.approx(scores[0, 0] + np.log(2) + np.log(3), rel=1e-6)
    assert list(sums[1:]) == [1, 3, 3]
    assert finite


def test_a_label_of_minus_one_is_not_counted(bench, rng):
    scores = rng.normal(size=(5, 7)).astype(np.float32)
    _, dx, sums, _ = run(bench, scores, [3, -1, 2, -1, -1])
    _, alone, sums_alone, _ = run(bench, scores[[0, 2]], [3, 2])
    assert_array_equal(sums, sums_alone)
    assert_array_equal(dx[[0, 2]], alone)
    assert not dx[[1, 3, 4]].any()
    _, dx, sums, finite = run(bench, scores, [-1] * 5)
    assert finite
    assert not dx.any()
    assert not sums.any()


@pytest.mark.parametrize("classes", [3, 5, 9])
def test_ties_go_to_the_lower_class(bench, classes):
    scores = np.zeros((classes, classes), np.float32)
    sums = run(bench, scores, range(classes))[2]
    assert list(sums[1:]) == [1, min(5, classes), classes]


def test_counts_on_few_different_scores(bench, rng):
    """Ties everywhere: each count is held to the words of the definition."""
    scores = rng.integers(0, 3, (300, 9)).astype(np.float32)
    labels = rng.integers(-1, 9, 300)
    sums = run(bench, scores, labels)[2]
    assert sums[1] == reference.right(scores, labels)
    assert sums[2] == reference.right(scores, labels, top=5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_is_noticed_and_never_right(bench, bad):
    scores = np.zeros((3, 6), np.float32)
    scores[1] = bad
    _, _, sums, finite = run(bench, scores, [0, 0, 0])
    assert not finite
    assert not np.isfinite(sums[0])
    if np.isnan(bad):
        assert list(sums[1:]) == [2, 2, 3]


def test_a_score_that_is_no_number_is_named_last(bench):
    """The loss is lost, the counts are not: of three scores the second is named first."""
    scores = np.array([[np.nan, 2, 1]] * 3, np.float32)
    _, _, sums, finite = run(bench, scores, [0, 1, 2])
    assert not finite
    assert list(sums[1:]) == [1, 2, 3]


def test_inference_writes_no_gradient(bench, rng):
    scores = rng.normal(size=(5, 7)).astype(np.float32)
    y, dx, sums, _ = run(bench, scores, [0, 1, 2, 3, -1], training=False)
    wanted = run(bench, scores, [0, 1, 2, 3, -1])
    assert dx is None
    assert run(bench, scores * np.nan, [0] * 5, training=False)[3], "only training looks at the loss"
    assert_array_equal(y, wanted[0])
    assert_array_equal(sums, wanted[2])
