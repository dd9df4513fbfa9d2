"""Precision, recall and F1 of every class, against counts of one image after another."""

import csv
import io

import numpy as np
import pytest

from cualex.evaluation import Evaluation

CLASSES = 5


def evaluation(labels, named):
    """Make an evaluation of images with these true and predicted classes; -1: the scores were NaN."""
    labels, named = np.array(labels, int), np.array(named, int)
    names = tuple(f"{number}.png" for number in range(len(labels)))
    ones = np.ones(len(labels), np.float32)
    return Evaluation(tuple("abcde"), names, labels, named, ones, right5=0, loss=1.0)


def counted(labels, named, index):
    """Return precision, recall and F1 of a class by their definitions, with a loop; None where one is 0 / 0."""
    hits = misses = false = 0
    for true, predicted in zip(labels, named, strict=True):
        hits += true == index and predicted == index
        misses += true == index and predicted != index
        false += true != index and predicted == index
    precision = hits / (hits + false) if hits + false else None
    recall = hits / (hits + misses) if hits + misses else None
    harmonic = 2 / (1 / precision + 1 / recall) if precision and recall else 0.0
    return precision, recall, harmonic if hits + misses + false else None


@pytest.mark.parametrize("seed", range(20))
def test_figures_are_those_of_their_definitions(seed):
    """With classes that have no images, that are never predicted, or neither, and scores that are NaN."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(rng.permutation(CLASSES)[: 2 + seed % 4], 30)
    named = np.where(rng.random(30) < 0.4, labels, rng.choice([-1, *rng.permutation(CLASSES)[:3]], 30))
    found = evaluation(labels, named)
    rows = found.per_class()
    expected = [counted(labels, named, index) for index in range(CLASSES)]
    for row, (precision, recall, f1) in zip(rows, expected, strict=True):
        assert (row["precision"], row["recall"], row["share"]) == (precision, recall, recall)
        assert row["f1"] == (None if f1 is None else pytest.approx(f1, rel=1e-12))
    here = [each for index, each in enumerate(expected) if index in labels]
    for number, mean in enumerate((found.macro_precision, found.macro_recall, found.macro_f1)):
        assert mean == pytest.approx(sum(each[number] or 0 for each in here) / len(here), rel=1e-12)


@pytest.mark.parametrize(
    ("labels", "named", "first"),
    [
        ([0, 0], [0, 1], (1.0, 0.5, 2 / 3)),
        ([0, 0], [1, 1], (None, 0.0, 0.0)),  # images and no predictions
        ([1, 1], [0, 1], (0.0, None, 0.0)),  # predictions and no images
        ([1, 1], [1, 1], (None, None, None)),  # neither
        ([0, 0], [-1, -1], (None, 0.0, 0.0)),  # NaN predicts nothing
    ],
)
def test_classes_without_images_or_predictions(labels, named, first):
    row = evaluation(labels, named).per_class()[0]
    assert (row["precision"], row["recall"], row["f1"]) == first


def test_macro_averages_count_classes_with_images_alone():
    """Class b is predicted and has no images; a is never predicted, and its precision counts as 0."""
    found = evaluation([0, 0, 2, 2], [1, 1, 2, 2])
    assert (found.macro_precision, found.macro_recall, found.macro_f1) == (0.5, 0.5, 0.5)
    assert evaluation([], []).macro_f1 == 0.0


def test_the_csv_has_empty_cells_for_what_is_not_defined():
    rows = list(csv.DictReader(io.StringIO(evaluation([0, 0, 1], [0, 1, 1]).per_class_csv())))
    assert (rows[0]["precision"], rows[0]["recall"], rows[1]["precision"]) == ("1.0", "0.5", "0.5")
    assert (rows[2]["precision"], rows[2]["recall"], rows[2]["f1"]) == ("", "", "")
