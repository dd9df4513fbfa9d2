"""Linear probes: the minimum of a convex loss, what they learn and do not, and the interval."""

import numpy as np
import pytest

from cualex.errors import DataError, UsageError
from cualex.explain import linear_probe
from cualex.explain.linear_probe import SMALLEST, fit, probe, wilson
from tests.support import reference


def clouds(rng, count, classes=3, features=5, apart=2.0):
    """Draw points around a centre for each class."""
    centres = apart * np.random.default_rng(0).normal(size=(classes, features))
    labels = rng.integers(0, classes, count)
    return centres[labels] + rng.normal(size=(count, features)), labels


def test_the_fit_is_the_minimum_of_the_loss(rng):
    """The gradient by differences of the formula is zero there, and the loss is larger anywhere else."""
    x, labels = clouds(rng, 40)
    x = np.concatenate([x, np.ones((40, 1))], axis=1)
    weights, _, left = fit(x, labels, 3, 0.1)
    assert left <= SMALLEST

    def loss(weights):
        return np.array(reference.cross_entropy(x @ weights, labels) + 0.05 * (weights[:-1] ** 2).sum())

    assert np.abs(reference.gradient(loss, weights, np.array(1.0), step=1e-4)).max() < 2 * SMALLEST
    for _ in range(10):
        assert loss(weights + rng.normal(0, 0.1, weights.shape)) > loss(weights)


@pytest.mark.parametrize("fault", ["bias", "penalty"])
def test_another_loss_is_noticed(rng, fault):
    """Planted: the bias is penalised, or the weights are less than they should be."""
    x, labels = clouds(rng, 40)
    labels[:20] = 0
    x = np.concatenate([x, np.ones((40, 1))], axis=1)
    weights, *_ = fit(np.concatenate([x, np.zeros((40, 1))], axis=1) if fault == "bias" else x, labels, 3, 0.1)
    weights = weights[:6]
    penalty = 0.05 if fault == "bias" else 0.02

    def loss(weights):
        return np.array(reference.cross_entropy(x @ weights, labels) + penalty * (weights[:-1] ** 2).sum())

    assert np.abs(reference.gradient(loss, weights, np.array(1.0), step=1e-4)).max() > 1e-3


def test_what_is_linear_is_learnt_and_noise_is_not(rng):
    x, labels = clouds(rng, 400)
    found = probe(x[:300], labels[:300], x[300:], labels[300:], 3)
    assert found.converged
    assert found.accuracy > 0.9
    low, high = found.interval
    assert low < found.accuracy < high
    noise = probe(rng.normal(size=(300, 5)), labels[:300], rng.normal(size=(100, 5)), labels[300:], 3)
    assert noise.interval[0] < 1 / 2
    assert (found.images, found.held_out, found.features) == (300, 100, 5)


def test_units_and_constants_change_nothing(rng):
    x, labels = clouds(rng, 200)
    plain = probe(x[:150], labels[:150], x[150:], labels[150:], 3)
    other = np.concatenate([1000 * x + 7, np.full((200, 1), 3.3)], axis=1).astype(np.float32).reshape(200, 6, 1, 1)
    scaled = probe(other[:150], labels[:150], other[150:], labels[150:], 3)
    assert (scaled.right, scaled.features) == (plain.right, 6)
    assert scaled.converged


def test_more_features_than_images_converge(rng):
    features = rng.normal(size=(60, 900))
    labels = rng.integers(0, 4, 60)
    features[:, 0] += 5 * labels
    found = probe(features[:40], labels[:40], features[40:], labels[40:], 4)
    assert found.converged
    assert found.fitted == 1


def test_the_same_data_give_the_same_bits(rng):
    x, labels = clouds(rng, 100)
    first, again = (fit(x, labels, 3, 0.01)[0].tobytes() for _ in range(2))
    assert first == again


def test_the_interval_is_wilsons():
    """By its definition: at the ends, the score of the share that was found is 1.96 deviations."""
    for right, count in ((3, 10), (97, 100), (250, 500)):
        for end in wilson(right, count):
            assert abs(right / count - end) / np.sqrt(end * (1 - end) / count) == pytest.approx(1.959964)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)
    assert wilson(0, 10)[1] == pytest.approx(0.2775, abs=1e-4)


def test_what_cannot_be_probed_is_said():
    with pytest.raises(DataError, match=r"^a probe needs images to fit to and held-out images: got 0 and 3$"):
        probe(np.zeros((0, 2)), np.zeros(0, int), np.zeros((3, 2)), np.zeros(3, int), 2)
    with pytest.raises(UsageError, match=r"^penalty must be above 0, got 0$"):
        probe(np.zeros((3, 2)), np.zeros(3, int), np.zeros((3, 2)), np.zeros(3, int), 2, penalty=0)


def test_a_fit_that_does_not_end_says_so(rng, monkeypatch):
    monkeypatch.setattr(linear_probe, "STEPS", 1)
    x, labels = clouds(rng, 100)
    found = probe(x[:80], labels[:80], x[80:], labels[80:], 3)
    assert not found.converged
    assert found.gradient > SMALLEST


def test_features_that_are_not_finite_are_wrong_or_refused(rng):
    x, labels = clouds(rng, 60)
    labels[40:] = 0
    x[40:50] = np.nan
    found = probe(x[:40], labels[:40], x[40:], labels[40:], 3)
    assert found.held_out == 20
    assert found.right <= 10
    x[3, 1] = np.inf
    with pytest.raises(DataError, match="features of 1 of 40 images have NaN or Inf: no probe can be fitted to them"):
        probe(x[:40], labels[:40], x[40:], labels[40:], 3)
