"""Evaluate networks on a set of images: top-1 and top-5, per class, confusion matrix."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex.data import batches
from cualex.data.split import Split
from cualex.engine.contract import rank
from cualex.errors import DataError, UsageError
from cualex.model import Model

UNEVEN = 1.5  # ratio of the largest class to the smallest, above which top-1 tells little about the small ones
TOP5 = 10  # classes from which top-5 is worth showing


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of `evaluate` for n images.

    names: of the images.  labels: int (n,), the true classes.  named: int (n,), the predicted classes, of ties the
    first; -1 where scores are NaN.  probabilities: float32 (n,), of the predicted classes.
    right5: number of images with the true class among the top five.  loss: the mean cross-entropy.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: np.ndarray
    named: np.ndarray
    probabilities: np.ndarray
    right5: int
    loss: float

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def right1(self) -> int:
        """Number of images whose top class is the true one."""
        return int((self.named == self.labels).sum())

    @property
    def top1(self) -> float:
        """Fraction of images whose top class is the true one."""
        return self.right1 / max(self.count, 1)

    @property
    def top5(self) -> float:
        """Fraction of images with the true class among the top five."""
        return self.right5 / max(self.count, 1)

    @property
    def macro_recall(self) -> float:
        """Mean recall of the classes, from 0 to 1: all classes count the same.

            macro recall = mean of right[c] / images[c] over the classes c that have images

        scikit-learn calls it balanced accuracy. A constant prediction gives 1 / classes, however large that class is;
        with classes of equal size it is top-1.
        """
        recalls = [row["share"] for row in self.per_class() if row["pictures"]]
        return sum(recalls) / max(len(recalls), 1)

    @property
    def uneven(self) -> bool:
        """Whether the largest class has more than `UNEVEN` times the images of the smallest that has any."""
        return uneven(np.bincount(self.labels, minlength=len(self.classes)))

    @property
    def confusion(self) -> np.ndarray:
        """Confusion matrix: images of true class a predicted as b, int (classes, classes), [a, b].

        Images whose scores are NaN are left out.
        """
        matrix = np.zeros((len(self.classes), len(self.classes)), np.int64)
        sure = self.named >= 0
        np.add.at(matrix, (self.labels[sure], self.named[sure]), 1)
        return matrix

    def per_class(self) -> list[dict[str, Any]]:
        """Return a row a class: name, images, correct ones, recall, and the class it is most often confused with."""
        totals = np.bincount(self.labels, minlength=len(self.classes))
        rows = []
        for index, (name, row) in enumerate(zip(self.classes, self.confusion, strict=True)):
            right, total = int(row[index]), int(totals[index])
            row[index] = 0
            other = self.classes[int(row.argmax())] if row.any() else ""
            share = right / total if total else None
            rows.append({"class": name, "pictures": total, "right": right, "share": share, "taken_for": other})
        return rows

    def confusion_csv(self) -> str:
        """Return the confusion matrix as CSV: rows are true classes, columns predicted ones."""
        rows = zip(self.classes, self.confusion.tolist(), strict=True)
        return _csv([["true \\ named", *self.classes], *([name, *row] for name, row in rows)])

    def per_class_csv(self) -> str:
        """Return the rows of `per_class` as CSV."""
        rows = self.per_class()
        return _csv([list(rows[0]), *(list(row.values()) for row in rows)])

    def predictions_csv(self) -> str:
        """Return a row an image as CSV: true class, predicted class, probability."""
        rows = zip(
            self.names,
            (self.classes[label] for label in self.labels),
            (self.classes[index] if index >= 0 else "" for index in self.named),
            (f"{probability:.6g}" for probability in self.probabilities),
            strict=True,
        )
        return _csv([["picture", "class", "named", "probability"], *rows])


def evaluate(
    models: Model | Sequence[Model],
    pack: Split,
    batch: int = 32,
    between: Callable[[], None] = lambda: None,
    *,
    crops: int = 1,
) -> Evaluation:
    """Evaluate a network on a split, or the average of several networks' probabilities.

    crops: 1, the centre, or 10, corners and centre with their mirror images, whose probabilities are averaged.
    between: called before every run of a network.

    Raise DataError when the classes of the split are not the networks'.
    """
    models = [models] if isinstance(models, Model) else list(models)
    check_together(models, [f"network {number}" for number in range(1, len(models) + 1)])
    check_classes(models[0].classes, pack.classes)
    named: list[np.ndarray] = []
    probabilities: list[np.ndarray] = []
    loss, right5 = 0.0, 0
    for images, labels in batches.Sequence(pack, batch):
        counted = labels[labels >= 0]
        average, logarithms = np.zeros(()), np.full((), -np.inf)
        for scores in _scores(models, images, labels, crops, between):
            with np.errstate(invalid="ignore"):  # inf - inf gives NaN, which the loss will show
                some, logarithm = _softmax(scores, counted)
                average, logarithms = average + some, np.logaddexp(logarithms, logarithm)
        count = crops * len(models)
        average /= count
        loss += float((math.log(count) - logarithms).sum())
        right5 += int((rank(average, counted) < 5).sum())
        best = average.argmax(axis=1)
        named.append(np.where(np.isnan(average).any(axis=1), -1, best))
        probabilities.append(np.take_along_axis(average, best[:, None], 1)[:, 0].astype(np.float32))
    return Evaluation(
        tuple(models[0].classes),
        tuple(pack.names),
        pack.labels,
        np.concatenate(named),
        np.concatenate(probabilities),
        right5,
        loss / len(pack),
    )


def _scores(
    models: Sequence[Model], images: np.ndarray, labels: np.ndarray, crops: int, between: Callable[[], None]
) -> Iterator[np.ndarray]:
    """Yield the scores of all networks for all views of the counted images: (counted, classes)."""
    for model in models:
        *_, scores, _ = model.network.layers  # the layer before softmax
        plan = model.plan(len(labels), (scores,))
        for view in batches.fixed_views(model.network.stored, model.network.crop, crops):
            between()
            plan.put(images, np.tile(view, (len(labels), 1)), labels)
            plan.run()
            yield plan.output(scores)[labels >= 0, :, 0, 0]


def _softmax(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return softmax(scores) (n, classes) in float64, and the log-probabilities (n,) of the labels.

    From the scores, since the engine's probabilities have the engine's precision, and small ones underflow to 0.
    """
    shifted = scores - scores.max(axis=1, keepdims=True).astype(np.float64)
    labelled = np.take_along_axis(shifted, labels[:, None], 1)[:, 0]
    np.exp(shifted, out=shifted)
    total = shifted.sum(axis=1, keepdims=True)
    return np.divide(shifted, total, out=shifted), labelled - np.log(total[:, 0])


def entropy(counts: np.ndarray) -> float:
    """Return -SUM p ln p for the fractions p of the classes: the least loss of a constant prediction.

    counts: int (classes,), not all 0.
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def uneven(counts: np.ndarray) -> bool:
    """Return whether the largest class has more than `UNEVEN` times the images of the smallest.

    counts: int (classes,); classes without images are ignored.
    """
    return bool(counts.max() > UNEVEN * counts[counts > 0].min(initial=counts.max()))


def check_together(models: Sequence[Model], names: Sequence[str]) -> None:
    """Raise UsageError unless networks can be averaged: the same classes and stored size."""
    first, *others = zip(models, names, strict=True)
    for model, name in others:
        if model.classes != first[0].classes:
            raise UsageError(
                f"an ensemble needs the same classes: {first[1]} has {_some(first[0].classes)}, "
                f"{name} has {_some(model.classes)}. Leave one of them out."
            )
        if model.network.stored != first[0].network.stored:
            raise UsageError(
                f"an ensemble needs images of the same size: {first[1]} reads "
                f"{first[0].network.stored} pixels a side, {name} {model.network.stored}. Leave one of them out."
            )


def check_classes(expected: Sequence[str], got: Sequence[str]) -> None:
    """Raise DataError unless the classes of a set are the network's, by name and in order."""
    if list(expected) != list(got):
        raise DataError(
            f"the classes of the data set are {_some(got)}, expected those of the network: {_some(expected)}. "
            "Give a data set of these classes, or other weights."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
