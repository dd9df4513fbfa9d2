"""Top-1 and top-5 error of a network on a set of pictures, per class and as a confusion matrix."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cualex.data import batches
from cualex.engine.host.softmax import rank
from cualex.errors import DataError, UsageError
from cualex.model import Model

UNEVEN = 1.5  # times the smallest class: above that top-1 says little of the small ones
TOP5 = 10  # classes from which the five likeliest ones are worth showing


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
    def macro_recall(self) -> float:
        """Return the mean over the classes of their recall, from 0 to 1: each class counts the same.

            macro recall = mean of right[c] / images[c] over the classes c that have images

        scikit-learn calls it balanced accuracy. Naming one class for everything gives 1 / classes, however large
        that class is; where all classes are of one size it is top-1.
        """
        recalls = [row["share"] for row in self.per_class() if row["pictures"]]
        return sum(recalls) / max(len(recalls), 1)

    @property
    def uneven(self) -> bool:
        """Say whether the largest class has more than `UNEVEN` times the images of the smallest that has any."""
        return uneven(np.bincount(self.labels, minlength=len(self.classes)))

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
            rows.append({"class": name, "pictures": total, "right": right, "share": share, "taken_for": other})
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


def evaluate(
    models: Model | Sequence[Model],
    pack,
    batch: int = 32,
    between: Callable[[], None] = lambda: None,
    *,
    crops: int = 1,
) -> Evaluation:
    """Run a network over a pack, or several whose probabilities are averaged; say how right they are.

    crops: 1, each picture at its centre, or 10, at its corners and centre with their mirror images, whose
    probabilities are averaged as well.  `between` is called before each run of a network.

    Raise DataError when the classes of the pack are not those of the networks.
    """
    models = [models] if isinstance(models, Model) else list(models)
    check_together(models, [f"network {number}" for number in range(1, len(models) + 1)])
    check_classes(models[0].classes, pack.classes)
    named, probabilities, loss, right5 = [], [], 0.0, 0
    for pictures, labels in batches.Sequence(pack, batch):
        own = labels[labels >= 0]
        average, logarithms = 0.0, -np.inf
        for scores in _scores(models, pictures, labels, crops, between):
            with np.errstate(invalid="ignore"):  # inf - inf: not a number, as the loss will say
                some, logarithm = _softmax(scores, own)
                average, logarithms = average + some, np.logaddexp(logarithms, logarithm)
        count = crops * len(models)
        average /= count
        loss += float((math.log(count) - logarithms).sum())
        right5 += int((rank(average, own) < 5).sum())
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
    models: Sequence[Model], pictures: np.ndarray, labels: np.ndarray, crops: int, between: Callable[[], None]
) -> Iterator[np.ndarray]:
    """Yield what each network scores each view of the counted pictures: (counted, classes)."""
    for model in models:
        *_, scores, _ = model.network.layers  # the layer before softmax
        plan = model.plan(len(labels), (scores,))
        for view in batches.fixed_views(model.network.stored, model.network.crop, crops):
            between()
            plan.put(pictures, np.tile(view, (len(labels), 1)), labels)
            plan.run()
            yield plan.output(scores)[labels >= 0, :, 0, 0]


def _softmax(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities (n, classes) of scores in float64, and the logarithms (n,) of those of the labels.

    From the scores, since the engine's probabilities have the engine's precision, and those below its smallest are 0.
    """
    shifted = scores - scores.max(axis=1, keepdims=True).astype(np.float64)
    own = np.take_along_axis(shifted, labels[:, None], 1)[:, 0]
    np.exp(shifted, out=shifted)
    total = shifted.sum(axis=1, keepdims=True)
    return np.divide(shifted, total, out=shifted), own - np.log(total[:, 0])


def entropy(counts: np.ndarray) -> float:
    """Return -sum p ln p of the shares p of classes with so many images: the least loss of one answer for all.

    counts: int (classes,), not all 0.
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def uneven(counts: np.ndarray) -> bool:
    """Say whether the largest of classes with so many images has more than `UNEVEN` times those of the smallest.

    counts: int (classes,); a class without images does not count.
    """
    return bool(counts.max() > UNEVEN * counts[counts > 0].min(initial=counts.max()))


def check_together(models: Sequence[Model], names: Sequence[str]) -> None:
    """Raise UsageError unless networks can be averaged: the same classes, pictures stored at the same size."""
    first, *others = zip(models, names, strict=True)
    for model, name in others:
        if model.classes != first[0].classes:
            raise UsageError(
                f"networks to average need the same classes: {first[1]} has {_some(first[0].classes)}, "
                f"{name} has {_some(model.classes)}. Leave one of them out."
            )
        if model.network.stored != first[0].network.stored:
            raise UsageError(
                f"networks to average need images of the same size: {first[1]} reads "
                f"{first[0].network.stored} pixels a side, {name} {model.network.stored}. Leave one of them out."
            )


def check_classes(expected: Sequence[str], got: Sequence[str]) -> None:
    """Raise DataError unless the classes of a set are those of the network, by name and in order."""
    if list(expected) != list(got):
        raise DataError(
            f"the classes of the data set are {_some(got)}, expected those of the network: {_some(expected)}. "
            "Give a data set of these classes, or other weights."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _csv(rows: Iterable[Iterable]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
