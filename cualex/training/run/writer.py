"""What a training leaves in its run while it goes, and how a resumed one takes that up again."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator

import numpy as np

from cualex.errors import Diverged, OutputError, WeightsError
from cualex.model import Model
from cualex.training import verdict
from cualex.training.debugging import nonfinite
from cualex.training.debugging.watch import Watch
from cualex.training.rates import Course
from cualex.training.records import Notice
from cualex.training.run import Run, conditions, restore
from cualex.training.run.checkpoints import Saver
from cualex.training.state import State, changes
from cualex.training.verdict import Verdict
from cualex.weights import Weights

NONE = {"epoch": 0, "top1": -1.0, "top5": -1.0}  # of the best epoch, before there is any


class Keeper:
    """Write log, checkpoints and best weights of a training, and go on where the disk is full.

    state: where the training is, which the loop moves.  keep: whether the checkpoints outlast the training's end.
    """

    def __init__(self, run: Run, course: Course, model: Model, watch: Watch, save_every: float, keep: bool = True):
        """Start with nothing done."""
        self.run, self.course, self.model, self.watch = run, course, model, watch
        self.state, self.log, self.keep = State(), run.log(), keep
        self.started = time.monotonic()
        self.saver = Saver(self._save, lambda: self.state, save_every)
        self._notices = deque[Notice]()

    def restore(self, kept: Weights | None) -> None:
        """Take up a checkpoint, if there is one, and cut the log back to it; enter what is no longer as it was then."""
        if kept is not None:
            self.state = State.of(kept)
        self._notices.extend(map(Notice, self.state.notices))
        if self.state.update:
            self.watch.restore(**self.state.watch)
            before = restore.recipe(self.state.recipe)
            restore.restore(self.course.schedule, self.state.schedule, before)
            self.course.restore(self.state.course, self.state.update, before)
            if before.optimizer == self.course.recipe.optimizer:  # another rule begins without velocities
                if not kept.velocities:
                    raise WeightsError(f"{self.run.path}: its checkpoint has no momentum buffers. Start a new run.")
                self.model.parameters.load_velocities(kept.velocities)
            self.started -= self.state.seconds
            self.saver.done()
            done = f"Goes on after update {self.state.update:,}"
            left = self.state.epoch <= self.course.last
            where = f"in epoch {self.state.epoch} of {self.course.last}" if left else "with all epochs done"
            self.tell(f"{done}, {where}.", kept=False)
        self.log.cut(self.state.log)
        self._compare()

    def _compare(self) -> None:
        """Note with what the training goes on: what has changed is said, and is a line of the log."""
        state, own = self.state, self.course.recipe.described()
        machine = conditions.machine(self.model.parameters)
        before = restore.recipe(state.recipe).described() if state.recipe else own
        if different := changes(before, own):
            self.write(changed=different)
            self.tell(f"Goes on with {restore.said(different)}.", kept=False)
        if state.machine and (different := changes(state.machine, machine)):
            self.write(machine=different)
            said = f"On another type of machine the bits may differ: {restore.said(different)}."
            self.tell(said, kept=False)
        state.recipe, state.machine = own, machine

    def write(self, **record) -> None:
        """Add a line to the log, which keeps what a full disk refuses until there is room."""
        line = {"epoch": self.state.epoch, "update": self.state.update, **record}
        with contextlib.suppress(OutputError):
            self.log.append(line | {"time_total": time.monotonic() - self.started})

    def tell(self, text: str | None, kept: bool = True) -> None:
        """Put down what a person should read; what only this start of the program has to say is not `kept`."""
        if text:
            self._notices.append(Notice(text, kept))

    def told(self) -> Iterator[Notice]:
        """Hand out what was put down."""
        while self._notices:
            yield self._notices.popleft()

    def save_if_due(self, between_epochs: bool = False) -> None:
        """Write a checkpoint when it is time; where that fails, say so and go on."""
        if self.saver.due(between_epochs):
            self.tell(self.saver.attempt())

    def save_best(self) -> bool:
        """Keep these weights as the best; where the disk is full, say that the best before them stay."""
        try:
            self.run.save_best(self._weights())
        except OutputError as error:
            self.tell(f"{error} The best weights before these stay.")
            return False
        return True

    def write_results(self) -> None:
        """Make the table of results; where the disk is full, the next epoch makes it anew."""
        with contextlib.suppress(OutputError):
            self.run.write_results(self.log)

    def finish(self, pack, validation) -> None:
        """Write all that is not written yet, and mark the run as finished; now a full disk is an error.

        Last, and only then, the checkpoints are removed where they are not to be kept: killed anywhere in between, the
        run is finished or goes on to the same end.
        """
        epochs = [record for record in self.log.records() if "val_loss" in record]  # those before a stop too
        if epochs[-1]["top1"] > (self.state.best or NONE)["top1"]:  # refused by a disk that was full
            self.run.save_best(self._weights())
            self.state.best = {name: epochs[-1][name] for name in NONE}
        self.saver.save()
        self.log.flush()
        self.run.write_results(self.log)
        best = self.state.best
        self.run.finish(
            {
                "epochs": self.state.epoch - 1,
                "updates": self.state.update,
                "best_epoch": best["epoch"],
                "top1": best["top1"],
                "top5": best["top5"],
                **self._judge(epochs, pack, validation).document(),
            }
        )
        if not self.keep:
            self.run.remove_checkpoints()

    def _judge(self, epochs: list[dict], pack, validation) -> Verdict:
        """Judge the training by the epochs of its log."""
        classes = self.model.network.classes
        counts = [np.bincount(each.labels, minlength=classes) for each in (validation, pack)]
        balanced = self.course.recipe.class_weights == "balanced"
        return verdict.judge(epochs, self.state.best, *counts, validation is not pack, balanced)

    def _save(self) -> None:
        """Write a checkpoint, and before it the log that belongs to it."""
        self.log.flush()
        state = self.state
        state.seconds, state.log = time.monotonic() - self.started, self.log.size
        state.schedule, state.watch = self.course.schedule.state(), self.watch.state()
        state.course, state.notices = self.course.state(), [notice.text for notice in self._notices if notice.kept]
        self.run.save(self._weights(self.model.parameters.unload_velocities(), state.note()))

    def _weights(self, velocities: dict | None = None, notes: dict | None = None) -> Weights:
        """Take the weights as they are; none that are not finite ever go into a file."""
        model = self.model
        tensors = model.parameters.unload()
        if fault := nonfinite.in_tensors(tensors) or nonfinite.in_tensors(velocities or {}, "momentum buffers of the "):
            where = f"after update {self.state.update}{nonfinite.said(fault, self.course.schedule.rate)}"
            raise Diverged(f"the weights are not finite (NaN or Inf) {where} The last checkpoint is kept.")
        return Weights(model.network, tensors, model.classes, model.mean, velocities or {}, notes or {})
