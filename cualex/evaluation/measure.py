"""Evaluate networks on a split, also with ten crops or as an ensemble."""

import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cualex import views
from cualex.data import batches, opening
from cualex.data.split import Split
from cualex.engine.contract import rank
from cualex.errors import DataError, UsageError
from cualex.evaluation.result import Evaluation
from cualex.model import BATCH, Model, load
from cualex.ranks import ALONE, Ranks
from cualex.system.amounts import some
from cualex.system.keywords import checked

Evaluated = Model | str | os.PathLike[str]  # a model, or the path of weights


@checked(pack="data", batch="batch_size")
def evaluate(
    models: Evaluated | Sequence[Evaluated],
    data: Split | str | os.PathLike[str] | None = None,
    batch_size: int | None = None,
    between: Callable[[], None] = lambda: None,
    *,
    crops: int = 1,
    split: str | None = None,
    val_split: float | None = None,
    names: str | Path | None = None,
    no_pack: bool = False,
    cache: str | Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Evaluate a network on a data set, or the average of several networks' probabilities.

        >>> cualex.evaluate("runs/train", "photos")
        Evaluation(8 images, 2 classes: top-1 error 0.0 %, top-5 error 0.0 %, loss 0.0...)

    models: a Model, the path of a weights file, of a run or a Run, or a list of these.  data: a folder, .zip or .tar as
    for `cualex.train`, "demo", or an opened pack; by default the data set of the run.  split: "train", "val" or "test"
    of it; by default the validation images, else test, else all.  crops: 1, the centre, or 10, corners and centre with
    their mirror images, whose probabilities are averaged.  batch_size: 32 if not given, or fewer where these do not
    fit into a GPU's memory.  between: called before every run of a network.
    val_split, names, no_pack, cache, workers: as the options of `cualex evaluate`.  device, precision: of models that
    are given as paths, as for `cualex.load`.  ranks: the processes that evaluate together.

    Images that cannot be read are left out, with a warning. Raise DataError when the classes of the set are not the
    networks', and UsageError for networks that cannot be averaged.
    """
    given = [models] if isinstance(models, Model | str | os.PathLike) else list(models)
    opened = [each if isinstance(each, Model) else load(each, device, precision) for each in given]
    check_together(opened, [_name(each, number) for number, each in enumerate(given, 1)])
    model = opened[0]
    if data is None or isinstance(data, str | os.PathLike):
        weights = None if isinstance(given[0], Model) else Path(given[0])
        if data is None and weights is None:
            raise UsageError("evaluate() needs data: a folder, .zip or .tar; only the path of a run names its data set")
        source = opening.find_evaluated(None if data is None else Path(data), weights, model.classes, val_split, names)
        chosen, _ = opening.choose(source, split)
        packing = opening.Packing(not no_pack, Path(cache) if cache else None, workers)
        pack = packing.opened(source, [chosen], model.network.stored)[chosen]
        opening.warn_of_skipped([pack])
    elif hasattr(data, "labels"):
        pack = data
    else:
        raise UsageError(f"data={data!r}: expected a folder, .zip or .tar, or an opened pack")
    return measure(opened, pack, batch_size, between, crops, ranks)


@dataclass(frozen=True)
class Judged:
    """What networks made of a batch: classes and their probabilities (images,), total loss, how many are in the top 5.

    A class is -1 where the probabilities are not finite.
    """

    named: np.ndarray
    probabilities: np.ndarray
    loss: float
    right5: int


def measure(
    models: Sequence[Model],
    pack: Split,
    batch: int | None,
    between: Callable[[], None],
    crops: int,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Evaluate networks on a split; see `evaluate`.

    Batches are dealt to ranks in turn, and their results are taken in the order of the split. All ranks have equally
    many rounds, empty ones included, and call `between` before each; one process calls it more often.
    """
    check_classes(models[0].classes, pack.classes)
    if batch is None:
        batch = min(views.fitting(each, BATCH) for each in models)
    staging = models[0].parameters.devices[0].staging
    own = batches.Sequence(pack, batch, staging, ranks.rank, ranks.size)
    rounds = -(-len(own) // ranks.size)
    if ranks.size == 1:
        judged = list(_judge(models, own, crops, between))
    else:
        results = _judge(models, own, crops, lambda: None)
        mine = []
        for _ in range(rounds):
            between()
            mine.append(next(results, None))
        every = ranks.collect(mine, "collect the evaluation")
        dealt = (every[rank][number] for number in range(rounds) for rank in range(ranks.size))
        judged = [each for each in dealt if each is not None]
    loss = 0.0
    for each in judged:  # not by sum(), which from Python 3.12 on rounds otherwise
        loss += each.loss
    return Evaluation(
        tuple(models[0].classes),
        tuple(pack.names),
        pack.labels,
        np.concatenate([each.named for each in judged]),
        np.concatenate([each.probabilities for each in judged]),
        sum(each.right5 for each in judged),
        loss / len(pack),
    )


def _judge(
    models: Sequence[Model], sequence: batches.Sequence, crops: int, between: Callable[[], None]
) -> Iterator[Judged]:
    """Run networks on batches. Every result is waited for before the next batch takes this one's memory."""
    for images, labels in sequence:
        counted = labels[labels >= 0]
        average, logarithms = np.zeros(()), np.full((), -np.inf)
        every = (views.scores(model, images, labels, crops, between) for model in models)
        for scores in itertools.chain.from_iterable(every):
            with np.errstate(invalid="ignore"):  # inf - inf gives NaN, which the loss will show
                some, logarithm = views.softmax(scores, counted)
                average, logarithms = average + some, np.logaddexp(logarithms, logarithm)
        count = crops * len(models)
        average /= count
        best = average.argmax(axis=1)
        yield Judged(
            np.where(np.isnan(average).any(axis=1), -1, best),
            np.take_along_axis(average, best[:, None], 1)[:, 0].astype(np.float32),
            float((math.log(count) - logarithms).sum()),
            int((rank(average, counted) < 5).sum()),
        )


def _name(given: Evaluated, number: int) -> str:
    """Return the name of a network in errors."""
    return f"network {number}" if isinstance(given, Model) else os.fspath(given)


def check_together(models: Sequence[Model], names: Sequence[str]) -> None:
    """Raise UsageError unless networks can be averaged: the same classes and stored size."""
    first, *others = zip(models, names, strict=True)
    for model, name in others:
        if model.classes != first[0].classes:
            raise UsageError(
                f"an ensemble needs the same classes: {first[1]} has {some(first[0].classes)}, "
                f"{name} has {some(model.classes)}. Leave one of them out."
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
            f"the classes of the data set are {some(got)}, expected those of the network: {some(expected)}. "
            "Give a data set of these classes, or other weights."
        )
