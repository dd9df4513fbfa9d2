"""Write a run during its training: log, checkpoints, best weights; and restore the state when it resumes."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from cualex.data.split import Split
from cualex.errors import DeviceLost, Diverged, OutputError, WeightsError
from cualex.model import Model
from cualex.training import verdict
from cualex.training.debugging import nonfinite
from cualex.training.debugging.watch import Watch
from cualex.training.rates import Course
from cualex.training.records import Notice
from cualex.training.run import Run, restore
from cualex.training.run.checkpoints import Saver
from cualex.training.run.event_files import EventFiles
from cualex.training.state import Best, State, changes
from cualex.training.verdict import Verdict
from cualex.weights import Weights

NONE: Best = {"epoch": 0, "top1": -1.0, "top5": -1.0}  # before there is a best epoch


class RunWriter:
    """Writes log, checkpoints and best weights of a training, and copes with a full disk.

    state: of the training, which the loop updates.  keep: whether checkpoints are kept after the last epoch.
    tensorboard: whether the log is written as event files too.
    """

    def __init__(
        self,
        run: Run,
        course: Course,
        model: Model,
        watch: Watch,
        save_every: float,
        keep: bool = True,
        tensorboard: bool = False,
    ) -> None:
        """Start with an empty state."""
        self.run, self.course, self.model, self.watch = run, course, model, watch
        self.state, self.log, self.keep = State(), run.log(), keep
        self.events = EventFiles(run.path) if tensorboard else None
        self.started = time.monotonic()
        self.saver = Saver(self._save, lambda: self.state, save_every)
        self._notices = deque[Notice]()

    def restore(self, kept: Weights | None) -> None:
        """Restore the state of a checkpoint, if any, and truncate the log to it."""
        if kept is not None:
            self.state = State.of(kept)
        self._notices.extend(map(Notice, self.state.notices))
        if kept is not None and self.state.update:
            self.watch.restore(**self.state.watch)
            before = restore.recipe(self.state.recipe)
            restore.restore(self.course.schedule, self.state.schedule, before)
            self.course.restore(self.state.course, self.state.update, before)
            if before.optimizer == self.course.recipe.optimizer:  # another optimizer starts without velocities
                if not kept.velocities:
                    raise WeightsError(f"{self.run.path}: its checkpoint has no momentum buffers. Start a new run.")
                self.model.parameters.load_velocities(kept.velocities)
            self.started -= self.state.seconds
            self.saver.done()
            done = f"Continues after update {self.state.update:,}"
            left = self.state.epoch <= self.course.last
            where = f"in epoch {self.state.epoch} of {self.course.last}" if left else "with all epochs done"
            self.tell(f"{done}, {where}.", kept=False)
        self.log.cut(self.state.log)
        if self.events:
            self.tell(self.events.resume(self.state.update), kept=False)

    def compare(self) -> None:
        """Compare recipe and machine with the checkpoint's; changes are logged and told."""
        state, now = self.state, self.course.recipe.described()
        machine = restore.describe_machine(self.model.parameters)
        before = restore.recipe(state.recipe).described() if state.recipe else now
        if different := changes(before, now):
            self.write(changed=different)
            self.tell(f"Continues with {restore.changes_text(different)}.", kept=False)
        if state.machine and (different := changes(state.machine, machine)):
            self.write(machine=different)
            text = f"On another type of machine the bits may differ: {restore.changes_text(different)}."
            self.tell(text, kept=False)
        state.recipe, state.machine = now, machine

    def write(self, **record: Any) -> None:
        """Append a record to the log, which keeps it in memory while the disk is full."""
        line = {"epoch": self.state.epoch, "update": self.state.update, **record}
        with contextlib.suppress(OutputError):
            self.log.append(line | {"time_total": time.monotonic() - self.started})
        if self.events:
            self.tell(self.events.add(line), kept=False)

    def tell(self, text: str | None, kept: bool = True) -> None:
        """Queue a message for the user; kept: whether checkpoints hold it."""
        if text:
            self._notices.append(Notice(text, kept))

    def told(self) -> Iterator[Notice]:
        """Yield the queued messages."""
        while self._notices:
            yield self._notices.popleft()

    def save_if_due(self, between_epochs: bool = False) -> None:
        """Write a checkpoint if it is due; a failure becomes a message."""
        if self.saver.due(between_epochs):
            self.tell(self.saver.attempt())

    def save_best(self) -> bool:
        """Save the weights as the best; a failure becomes a message. Return whether they are saved."""
        try:
            self.run.save_best(self._weights())
        except OutputError as error:
            self.tell(f"{error} The best weights before these stay.")
            return False
        return True

    def write_results(self) -> None:
        """Write results.csv; on a full disk the next epoch will."""
        with contextlib.suppress(OutputError):
            self.run.write_results(self.log)

    def lost(self, error: DeviceLost) -> DeviceLost:
        """Return the error of a GPU that failed, with how to go on from the last checkpoint."""
        saved = self.saver.saved_update
        checkpoint = f"from its last checkpoint, of update {saved:,}" if saved else "from its start"
        return DeviceLost(
            error.what,
            f"The run goes on {checkpoint}: cualex train --resume {self.run.path}. If it fails again, report it with "
            "`cualex doctor --json`; with --device cpu it needs no GPU.",
        )

    def finish(self, pack: Split, validation: Split) -> None:
        """Write everything that is pending, and mark the run as finished; now a full disk is an error.

        Checkpoints that are not to be kept are removed last: killed anywhere in between, the run is finished or resumes
        to the same end.
        """
        epochs = [record for record in self.log.records() if "val_loss" in record]  # also those before a stop
        last = epochs[-1]
        if last["top1"] > (self.state.best or NONE)["top1"]:  # refused by a disk that was full
            self.run.save_best(self._weights())
            self.state.best = {"epoch": last["epoch"], "top1": last["top1"], "top5": last["top5"]}
        self.saver.save()
        self.log.flush()
        self.run.write_results(self.log)
        best = self.state.best or NONE
        self.run.finish(
            {
                "epochs": self.state.epoch - 1,
                "updates": self.state.update,
                "best_epoch": best["epoch"],
                "top1": best["top1"],
                "top5": best["top5"],
                **self._judge(epochs, best, pack, validation).document(),
            }
        )
        if not self.keep:
            with contextlib.suppress(OSError):  # they are harmless
                self.run.remove_checkpoints()

    def close(self) -> None:
        """Write the pending events, and unlock the run."""
        if self.events:
            self.events.close()
        self.run.unlock()

    def _judge(self, epochs: list[dict[str, Any]], best: Best, pack: Split, validation: Split) -> Verdict:
        """Judge the training by the epochs of its log."""
        classes = self.model.network.classes
        held_out, trained = (np.bincount(split.labels, minlength=classes) for split in (validation, pack))
        balanced = self.course.recipe.class_weights == "balanced"
        return verdict.judge(epochs, best, held_out, trained, validation is not pack, balanced)

    def _save(self) -> None:
        """Write a checkpoint, after flushing the log up to it."""
        self.log.flush()
        state = self.state
        state.seconds, state.log = time.monotonic() - self.started, self.log.size
        state.schedule, state.watch = self.course.schedule.state(), self.watch.state()
        state.course, state.notices = self.course.state(), [notice.text for notice in self._notices if notice.kept]
        self.run.save(self._weights(self.model.parameters.unload_velocities(), state.note()))

    def _weights(self, velocities: dict[str, np.ndarray] | None = None, notes: dict[str, str] | None = None) -> Weights:
        """Return the current weights; raise Diverged when some are NaN or Inf, so that no file ever has those."""
        model = self.model
        tensors = model.parameters.unload()
        if fault := nonfinite.in_tensors(tensors) or nonfinite.in_tensors(velocities or {}, "momentum buffers of the "):
            where = f"after update {self.state.update}{nonfinite.cause(fault, self.course.schedule.rate)}"
            raise Diverged(f"the weights are not finite (NaN or Inf) {where} The last checkpoint is kept.")
        return Weights(model.network, tensors, model.classes, model.mean, velocities or {}, notes or {})
