"""Top-1 and top-5 error of a network on a set of pictures, per class and as a confusion matrix."""

import csv
import io
from dataclasses import dataclass

import numpy as np

from cualex.data.batches import Sequence
from cualex.model import Model


@dataclass(frozen=True)
class Evaluation:
    """Hold what a network made of a set of pictures.

    `confusion[a, b]` counts the pictures of class a that were named b; a picture whose scores are not numbers
    has no column and is missing there. `loss` is the mean cross-entropy.
    """

    classes: tuple[str, ...]
    count: int
    loss: float
    right1: int
    right5: int
    confusion: np.ndarray

    @property
    def top1(self) -> float:
        """Return the share of pictures whose class was named first, from 0 to 1."""
        return self.right1 / max(self.count, 1)

    @property
    def top5(self) -> float:
        """Return the share of pictures whose class was among the first five named, from 0 to 1."""
        return self.right5 / max(self.count, 1)

    def per_class(self) -> list[dict]:
        """Return a row a class: its name, pictures, how many were right, and what it was mostly taken for."""
        rows = []
        for index, name in enumerate(self.classes):
            row = self.confusion[index].copy()
            right, total = int(row[index]), int(self.counts[index])
            row[index] = 0
            other = self.classes[int(row.argmax())] if row.any() else ""
            share = right / total if total else None
            rows.append(
                {"class": name, "pictures": total, "right": right, "share": share, "taken_for": other}
            )
        return rows

    @property
    def counts(self) -> np.ndarray:
        """Return the pictures of each class that were named at all."""
        return self.confusion.sum(axis=1)

    def confusion_csv(self) -> str:
        """Return the confusion matrix as CSV: a row a true class, a column a named one."""
        return _csv([["true \\ named", *self.classes], *_labelled(self.classes, self.confusion)])

    def per_class_csv(self) -> str:
        """Return the rows of `per_class` as CSV."""
        rows = self.per_class()
        return _csv([list(rows[0]), *(list(row.values()) for row in rows)])


def evaluate(model: Model, pack, batch: int = 32) -> Evaluation:
    """Run a network over a pack, each picture at its centre crop."""
    last = list(model.network.layers)[-1]
    plan = model.plan(batch, (last,))
    classes = len(model.classes)
    confusion = np.zeros((classes, classes), np.int64)
    sums = np.zeros(4)
    for pictures, views, labels in Sequence(pack, model.network.crop, batch):
        plan.put(pictures, views, labels)
        plan.run()
        result, counted = plan.result, labels >= 0
        sums += (result.loss * result.count, result.top1, result.top5, result.count)
        scores = plan.output(last)[counted, :, 0, 0]
        named = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
        sure = ~np.isnan(scores).any(axis=1)
        np.add.at(confusion, (labels[counted][sure], named[sure]), 1)
    loss, right1, right5, count = sums
    return Evaluation(
        tuple(model.classes), int(count), loss / max(count, 1), int(right1), int(right5), confusion
    )


def _labelled(names, matrix) -> list[list]:
    return [[name, *(int(number) for number in row)] for name, row in zip(names, matrix, strict=True)]


def _csv(rows: list[list]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
