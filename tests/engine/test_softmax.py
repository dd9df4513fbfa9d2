"""Softmax with cross-entropy on both engines, and the counts, against the formula."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.devices.host import HostDevice
from tests.support import reference
from tests.support.benches import Bench


def run(bench, scores, labels, training=True, weights=None, **numbers):
    """Return probabilities, the gradient (or None), the sums and whether the loss is finite."""
    x, labels = bench.put(np.asarray(scores)[None]), bench.put_input(labels, np.int32)
    y, dx = bench.empty(x.shape), bench.empty(x.shape) if training else None
    sums, control = bench.empty(4, np.float64), bench.begin()
    inputs = {"x": x, "labels": labels}
    if weights is not None:
        inputs["class_weights"] = bench.put(weights, bench.device.master)
    with bench.untouched(*inputs.values()):
        bench.engine.softmax.forward(bench.device, **inputs, y=y, dx=dx, sums=sums, control=control, **numbers)
    return bench.get(y)[0], bench.get(dx)[0] if training else None, bench.get(sums), bench.finite(control)


def unit_errors(bench, scores):
    """Bound the share by which a probability is off.

    The difference to the highest score is rounded to its own unit, and the exponential makes of that a share;
    then come the exponential's roundings, those of a sum of positive terms, and the division.
    """
    distance = np.abs(scores - scores.max(1, keepdims=True)).max(1, keepdims=True)
    return bench.sums * (2 * distance + scores.shape[1] + 6)


def drawn(bench, rng, images, classes):
    """Draw scores, labels of which some are not counted, and loud class weights, all as the device holds them."""
    scores, labels = bench.rounded(rng.normal(3, 4, (images, classes))), rng.integers(-1, classes, images)
    labels[0] = classes - 1
    return scores, labels, rng.uniform(0.1, 9, classes).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(
    ("images", "classes", "weighted"),
    [
        *((1, 2, False), (5, 3, False), (9, 10, False), (3, 301, False)),
        pytest.param(128, 17, False, marks=pytest.mark.slow),  # differences of so many numbers take long
        *((1, 2, True), (19, 5, True), (3, 301, True)),
    ],
)
def test_agrees_with_the_formula(bench, rng, images, classes, weighted):
    """A weighted gradient is off by its image's weight times what it is off without, and by two roundings more."""
    scores, labels, weights = drawn(bench, rng, images, classes)
    weights = weights if weighted else np.ones(classes)
    y, dx, sums, finite = run(bench, scores, labels, weights=weights if weighted else None)
    wanted, share, counted = reference.softmax(scores), unit_errors(bench, scores), (labels >= 0).sum()
    assert (np.abs(y - wanted) <= (share + bench.unit) * wanted).all()

    by_difference = reference.gradient(
        lambda s: reference.cross_entropy(s, labels, weights), scores, np.ones(()), step=1e-4
    )
    own = np.where(labels >= 0, weights[labels], 0)[:, None]
    allowed = own * (share * wanted + (3 + 2 * weighted) * bench.sums) / counted
    allowed += bench.unit * np.abs(by_difference)
    known = weights.max() * 1e-8 / counted  # to which differences know it
    assert (np.abs(dx - by_difference) <= allowed + known).all()

    losses = own[:, 0] * reference.losses(scores, labels)
    assert abs(sums[0] - losses.sum()) <= (share[:, 0] * (own[:, 0] + losses)).sum()
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
    np.testing.assert_allclose(dx * 3, [[1, -1, 0], [-0.5, 0.5, 0], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-6 + bench.unit)
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


# --- class weights


def test_weights_that_are_powers_of_two_only_move_exponents(bench, rng):
    """Weights of 1 are no weights, to the bit; others double or halve the gradients of their images, and no others."""
    scores, labels, _ = drawn(bench, rng, 40, 5)
    without, ones = (run(bench, scores, labels, weights=w) for w in (None, np.ones(5)))
    for found, wanted in zip(ones, without, strict=True):
        assert_array_equal(found, wanted)
    weights = np.array([1, 8, 0.25, 0, 2])
    _, dx, sums, _ = run(bench, scores, labels, weights=weights)
    assert_array_equal(dx, without[1] * np.where(labels >= 0, weights[labels], 0)[:, None].astype(dx.dtype))
    assert sums[3] == without[2][3] == (labels >= 0).sum()


def test_without_weights_the_bits_are_those_of_version_0_1(rng):
    """The formula as it was; the kernel's is the same text but for a factor that is 1 when it is compiled."""
    for precision in ("fp32", "fp64"):
        bench = Bench(HostDevice(precision=precision))
        scores, labels, _ = drawn(bench, rng, 128, 17)
        scores = scores.astype(bench.device.dtype)
        y, counted = np.exp(scores - scores.max(1, keepdims=True)), np.flatnonzero(labels >= 0)
        y /= y.sum(1, keepdims=True)
        dx = y.copy()
        dx[counted, labels[counted]] -= 1
        dx *= (labels >= 0)[:, None] / (len(counted) * 3)
        found = run(bench, scores, labels, parts=3)
        assert_array_equal(found[0], y)
        assert_array_equal(found[1], dx)


@pytest.mark.parametrize("weights", [None, [3.0, 0.5]])
def test_the_parts_of_a_batch_add_up_to_it(bench, weights):
    """Each part divides by its own count and the number of parts, whatever classes are in it."""
    scores, labels = np.zeros((4, 2), np.float32), [0, 0, 0, 1]
    whole = run(bench, scores, labels, weights=weights)
    parts = [run(bench, scores[own], labels[own], weights=weights, parts=2) for own in (slice(2), slice(2, 4))]
    assert_array_equal(np.concatenate([part[1] for part in parts]), whole[1])
    np.testing.assert_allclose(sum(part[2] for part in parts), whole[2], rtol=4 * 2.0**-53)
    assert_array_equal(whole[1][[0, 3], 0] * 8, [-1, 1] if weights is None else [-3, 0.5])


def test_weights_of_a_label_that_is_not_counted(bench, rng):
    """Padding has the last class's weight nowhere: not in the loss, the gradient or the divisor."""
    scores, labels, weights = drawn(bench, rng, 6, 4)
    labels[[1, 4]] = -1
    _, dx, sums, _ = run(bench, scores, labels, weights=weights)
    kept = labels >= 0
    _, alone, sums_alone, _ = run(bench, scores[kept], labels[kept], weights=weights)
    assert_array_equal(dx[kept], alone)
    assert_array_equal(sums, sums_alone)
    assert not dx[~kept].any()
    _, dx, sums, finite = run(bench, scores, [-1] * 6, weights=weights)
    assert finite
    assert not dx.any()
    assert not sums.any()


def test_a_weighted_loss_that_is_no_number_is_noticed(bench):
    scores = np.array([[np.nan, 2, 1]] * 3, np.float32)
    _, _, sums, finite = run(bench, scores, [0, 1, 2], weights=[2, 3, 4])
    assert not finite
    assert np.isnan(sums[0])
    assert list(sums[1:]) == [1, 2, 3]
