"""Result of an evaluation: top-1 and top-5, precision, recall and F1 per class, confusion matrix."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

UNEVEN = 1.5  # ratio of the largest class to the smallest, above which top-1 tells little about the small ones
TOP5 = 10  # classes from which top-5 is worth showing


def accuracies(top1: float, top5: float, classes: int) -> list[str]:
    """Return top-1, and top-5 from ten classes on, as texts."""
    return [f"top-1 {top1:.1%}", *([f"top-5 {top5:.1%}"] if classes >= TOP5 else [])]


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Result of `evaluate` for n images.

        >>> result = cualex.evaluate("runs/train", "photos")
        >>> result.top1_error, result.top5_error, result.right1, result.count
        (0.0, 0.0, 8, 8)
        >>> result.confusion
        array([[4, 0],
               [0, 4]])

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

    def __repr__(self) -> str:
        return (
            f"Evaluation({self.count:,} images, {len(self.classes):,} classes: top-1 error {100 * self.top1_error:.1f} "
            f"%, top-5 error {100 * self.top5_error:.1f} %, loss {self.loss:.4f})"
        )

    def _repr_html_(self) -> str:
        import cualex  # whose notebook stands above this class, and is imported when Jupyter asks

        return cualex.notebook.evaluation(self)

    def __str__(self) -> str:
        said = accuracies(self.top1, self.top5, len(self.classes))
        return f"{self.count:,} images: {', '.join(said)}, loss {self.loss:.4f}"

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
    def top1_error(self) -> float:
        """Fraction of images whose top class is not the true one: the paper's top-1 error rate, from 0 to 1."""
        return 1 - self.top1

    @property
    def top5_error(self) -> float:
        """Fraction of images without the true class among the top five: the paper's top-5 error rate, from 0 to 1."""
        return 1 - self.top5

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
        return self._mean("recall")

    @property
    def macro_precision(self) -> float:
        """Mean precision of the classes that have images, from 0 to 1; 0 counts where nothing is predicted."""
        return self._mean("precision")

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have images, from 0 to 1."""
        return self._mean("f1")

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
        """Return a row a class: images, correct ones, recall, most frequent confusion, predictions, precision, F1.

            recall = right / images        precision = right / predicted        F1 = 2 right / (images + predicted)

        images: of which the class is true.  predicted: images that it is predicted for.  F1 is the harmonic mean of
        precision and recall. A figure that would be 0 / 0 is None: recall of a class without images, precision of one
        without predictions (scikit-learn's zero_division=nan), F1 of one without both. `share` is the recall by its
        name in 0.1.
        """
        totals = np.bincount(self.labels, minlength=len(self.classes))
        matrix = self.confusion
        named = matrix.sum(axis=0).tolist()
        rows = []
        for index, (name, row) in enumerate(zip(self.classes, matrix, strict=True)):
            right, total, predicted = int(row[index]), int(totals[index]), named[index]
            row[index] = 0
            other = self.classes[int(row.argmax())] if row.any() else ""
            recall = _ratio(right, total)
            rows.append({"class": name, "pictures": total, "right": right, "share": recall, "taken_for": other})
            rows[-1] |= {"predicted": predicted, "precision": _ratio(right, predicted), "recall": recall}
            rows[-1]["f1"] = _ratio(2 * right, total + predicted)
        return rows

    def _mean(self, figure: str) -> float:
        """Return the mean of a figure over the classes that have images; what is 0 / 0 counts as 0."""
        found = [row[figure] or 0.0 for row in self.per_class() if row["pictures"]]
        return sum(found) / max(len(found), 1)

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


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
