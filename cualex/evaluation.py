"""Top-1 and top-5 error of a network on a set of pictures, per class and as a confusion matrix."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cualex.data import batches
from cualex.errors import DataError
from cualex.model import Model


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Hold what a network made of n pictures.

    names: the pictures.  labels: int (n,), their classes.  named: int (n,), the likeliest class of each, of equals
    the first; -1 where the scores are not numbers.  probabilities: float32 (n,), those of the named classes.
    right5: how many have their class among the five likeliest.  loss: the mean cross-entropy.
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
        """Count the pictures."""
        return len(self.labels)

    @property
    def right1(self) -> int:
        """Count the pictures whose class was named first."""
        return int((self.named == self.labels).sum())

    @property
    def top1(self) -> float:
        """Return the share of pictures whose class was named first, from 0 to 1."""
        return self.right1 / max(self.count, 1)

    @property
    def top5(self) -> float:
        """Return the share of pictures whose class was among the first five named, from 0 to 1."""
        return self.right5 / max(self.count, 1)

    @property
    def confusion(self) -> np.ndarray:
        """Count the pictures of class a that were named b: int (classes, classes), [a, b].

        A picture whose scores are not numbers has no column and is missing here.
        """
        matrix = np.zeros((len(self.classes), len(self.classes)), np.int64)
        sure = self.named >= 0
        np.add.at(matrix, (self.labels[sure], self.named[sure]), 1)
        return matrix

    def per_class(self) -> list[dict]:
        """Return a row a class: its name, pictures, how many were right, and what it was mostly taken for."""
        totals = np.bincount(self.labels, minlength=len(self.classes))
        rows = []
        for index, (name, row) in enumerate(zip(self.classes, self.confusion, strict=True)):
            right, total = int(row[index]), int(totals[index])
            row[index] = 0
            other = self.classes[int(row.argmax())] if row.any() else ""
            share = right / total if total else None
            rows.append(
                {"class": name, "pictures": total, "right": right, "share": share, "taken_for": other}
            )
        return rows

    def confusion_csv(self) -> str:
        """Return the confusion matrix as CSV: a row a true class, a column a named one."""
        rows = zip(self.classes, self.confusion.tolist(), strict=True)
        return _csv([["true \\ named", *self.classes], *([name, *row] for name, row in rows)])

    def per_class_csv(self) -> str:
        """Return the rows of `per_class` as CSV."""
        rows = self.per_class()
        return _csv([list(rows[0]), *(list(row.values()) for row in rows)])

    def predictions_csv(self) -> str:
        """Return a row a picture as CSV: its class, the class that was named, and how likely that was."""
        rows = zip(
            self.names,
            (self.classes[label] for label in self.labels),
            (self.classes[index] if index >= 0 else "" for index in self.named),
            (f"{probability:.6g}" for probability in self.probabilities),
            strict=True,
        )
        return _csv([["picture", "class", "named", "probability"], *rows])


def evaluate(model: Model, pack, batch: int = 32, between: Callable[[], None] = lambda: None) -> Evaluation:
    """Run a network over a pack, each picture at its centre crop; raise DataError for other classes than its own.

    `between` is called before each batch.
    """
    check_classes(model.classes, pack.classes)
    plan = model.plan(batch, (model.output,))
    named, probabilities, loss, right5 = [], [], 0.0, 0
    for pictures, views, labels, _ in batches.Sequence(pack, model.network.crop, batch):
        between()
        plan.put(pictures, views, labels)
        plan.run()
        result = plan.result
        loss, right5 = loss + result.loss * result.count, right5 + result.top5
        scores = plan.output(model.output)[labels >= 0, :, 0, 0]
        best = scores.argmax(axis=1)
        named.append(np.where(np.isnan(scores).any(axis=1), -1, best))
        probabilities.append(np.take_along_axis(scores, best[:, None], 1)[:, 0])
    return Evaluation(
        tuple(model.classes),
        tuple(pack.names),
        pack.labels,
        np.concatenate(named),
        np.concatenate(probabilities),
        right5,
        loss / len(pack),
    )


def check_classes(expected: Sequence[str], got: Sequence[str]) -> None:
    """Raise DataError unless the classes of a set are those of the network, by name and in order."""
    if list(expected) != list(got):
        raise DataError(
            f"the classes of the pictures are {_some(got)}, expected those of the network: {_some(expected)}. "
            "Name the pictures that it is for, or the weights of another network."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _csv(rows: Iterable[Iterable]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
