"""What the ranks of a training agree on: when to stop and save, and that all of them train the same.

No rank decides by its own clock, disk or signals: each posts what it has noted with the loss of an update, all read the
same words for the same update, and so all stop and save after the same one.
"""

import hashlib
import json
from typing import Any

import numpy as np

import cualex
from cualex.data.split import Split
from cualex.errors import RanksDiffer
from cualex.plan import Plan
from cualex.ranks import Ranks, differing
from cualex.training.recipes import Recipe
from cualex.training.run import Run, restore
from cualex.training.run.writer import RunWriter
from cualex.training.signals import SignalHandler
from cualex.weights import Weights


class Agreement:
    """When to pause: one process by its own signals and clock, ranks by what all have posted.

    stopped: a signal is being obeyed by all ranks, so that all leave together.  in_doubt: a comparison of weights has
    begun and not ended well, whatever ended it; they are not written.
    """

    def __init__(self, ranks: Ranks, writer: RunWriter) -> None:
        """Agree on nothing yet."""
        self.ranks, self._writer, self._saver = ranks, writer, writer.saver
        self.stopped = self.in_doubt = False
        self.signals = SignalHandler()
        self._signal, self._due = 0, False

    def begin(self, signals: SignalHandler | None) -> SignalHandler:
        """Return the handler of signals, for the time of the updates, which begin."""
        self.signals = signals or SignalHandler()
        self.ranks.begin_updates()
        return self.signals

    @property
    def posted(self) -> tuple[float, ...]:
        """The words that this rank posts with an update: the signal it has noted, and whether a checkpoint is due."""
        if self.ranks.size == 1:
            return ()
        noted = self.signals.noted
        return (noted[0] if noted else 0, self.ranks.first and self._saver.due())

    def hear(self, plan: Plan) -> None:
        """Take what all ranks have posted with the update that a plan has run."""
        if self.ranks.size > 1:
            signal, due = plan.heard.max(axis=0)
            self._signal, self._due = int(signal), bool(due)

    @property
    def pause(self) -> bool:
        """Whether no further update is to be queued before `obey` and a checkpoint."""
        if self.ranks.size == 1:
            return bool(self.signals.noted) or self._saver.due()
        return bool(self._signal or self._due)

    def obey(self) -> None:
        """Handle the signal that is noted: of ranks, on all of them at once."""
        if self.ranks.size == 1:
            self.signals.obey()
        elif self._signal:
            self.stopped = True
            self.signals.obey(self._signal)

    def obey_between(self) -> None:
        """Handle a signal in a validation, between two batches; every rank comes here equally often."""
        if self.ranks.size > 1:
            noted = self.signals.noted
            self._signal = int(self.ranks.gather(np.array([noted[0] if noted else 0]), "go on validating")().max())
        self.obey()

    def save_if_due(self, between_epochs: bool = False) -> None:
        """Write a checkpoint if it is due, of ranks as rank 0 says, after all have compared their weights."""
        if self.ranks.size > 1:
            if between_epochs:
                self._due = self.ranks.at_first(lambda: self._saver.due(between_epochs), "end an epoch")
            due, self._due = self._due, False
            if not due:
                return
            self.compare()
        if self.ranks.first:
            self._writer.save_if_due(between_epochs)

    def save_now(self) -> None:
        """Write a checkpoint as the training ends early, unless the weights are in doubt."""
        if self.in_doubt:
            return
        if self.stopped:  # all ranks are here, and wait: one that leaves ends the others, while they write
            self.compare()
            self.ranks.at_first(self._saver.save, "write the checkpoint")
        elif self.ranks.first:
            self._saver.save()

    def finish(self, pack: Split, validation: Split) -> None:
        """Let rank 0 write the end of the run, after all have compared their weights."""
        self.compare()
        self.ranks.begin_updates(over=True)
        self.ranks.at_first(lambda: self._writer.finish(pack, validation), "finish the run")

    def compare(self) -> None:
        """Raise RanksDiffer unless all ranks have the same weights and velocities."""
        if self.ranks.size == 1:
            return
        self.in_doubt = True
        total, parameters, update = hashlib.blake2b(digest_size=16), self._writer.model.parameters, self._update
        for arrays in (parameters.arrays, parameters.velocities):
            for (_, place), array in arrays.items():
                total.update(np.ascontiguousarray(parameters.devices[place].download(array)).data)
        own = np.frombuffer(total.digest(), np.uint8)
        found = self.ranks.gather(own, f"compare the weights after update {update:,}")()
        if (other := differing([row.tobytes() for row in found])) is not None:
            raise RanksDiffer(
                f"rank {other} has other weights than rank 0 after update {update:,}.",
                "One of their machines computes or sends wrong bits: resume on others.",
            )
        self.in_doubt = False

    @property
    def _update(self) -> int:
        return self._writer.state.update


def open_run(
    ranks: Ranks, run: Run, recipe: Recipe, pack: Split, validation: Split, description: dict[str, Any] | None
) -> Weights | None:
    """Return the checkpoint of a run that is resumed, which rank 0 opens (`restore.open_run`) and sends to all.

    Raise RanksDiffer unless all ranks have the same version, recipe and images.
    """
    if ranks.size > 1:
        check(ranks, recipe, pack, validation)
    return ranks.at_first(lambda: restore.open_run(run, recipe, pack, validation, description), "open the run")


def check(ranks: Ranks, recipe: Recipe, pack: Split, validation: Split) -> None:
    """Raise RanksDiffer unless all ranks have the same version, recipe and images."""
    mine: dict[str, Any] = {
        "version": cualex.__version__,
        "recipe": json.loads(json.dumps(recipe.described())),
        "data set": restore.describe_images(pack, validation),
    }
    every = ranks.collect(mine, "compare versions, recipes and images")
    for what in every[0]:
        values = [each[what] for each in every]
        if (rank := differing(values)) is None:
            continue
        got, expected = values[rank], values[0]
        if what == "recipe":
            name = next(name for name in expected if expected[name] != got.get(name))
            what, got, expected = f"recipe ({name})", got.get(name), expected[name]
        raise RanksDiffer(
            f"rank {rank} has another {what} than rank 0: expected {json.dumps(expected)}, got {json.dumps(got)}.",
            "Give all ranks the same program, options and data.",
        )
