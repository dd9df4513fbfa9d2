"""The training loop: a generator of plain records, which a command turns into progress, JSON or silence."""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from cualex.data.split import Split
from cualex.errors import CualexError, DeviceLost, Diverged
from cualex.evaluation import evaluate
from cualex.model import Model
from cualex.ranks import ALONE, Ranks
from cualex.training import agreement
from cualex.training.debugging.inspection import Inspection
from cualex.training.finetuning import Start, begin
from cualex.training.in_flight import Ahead, Stepper
from cualex.training.rates import Course
from cualex.training.recipes import Recipe
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run
from cualex.training.run.writer import RunWriter
from cualex.training.signals import SignalHandler
from cualex.training.state import RECENT, Losses
from cualex.weights.parameters import Parameters


def train(
    recipe: Recipe,
    pack: Split,
    validation: Split,
    run: Run,
    device: str = "cpu",
    precision: str | None = None,
    description: dict[str, Any] | None = None,
    save_every: float = 600.0,
    compiling: Callable[[int, int], None] | None = None,
    watched: bool = False,
    start: Start | None = None,
    keep: bool = True,
    tensorboard: bool = False,
    signals: SignalHandler | None = None,
    ranks: Ranks = ALONE,
) -> Generator[Update | Epoch | Notice, None, None]:
    """Train a network on a pack, validate after every epoch, and write everything to the run's directory.

    A stopped run resumes from its last checkpoint, to the same weights, velocities and log as if it had never been
    stopped; a changed recipe applies from there on. Signals and exceptions leave a checkpoint of the last update.

    description: arguments to record in args.json.  save_every: seconds between checkpoints, also written at the ends of
    epochs.  compiling: called with (done, total) while kernels compile.  watched: layer statistics after every epoch,
    not only every few (debugging/layer_statistics.py).  start: weights and mean image for fine-tuning; by default
    weights are drawn from the seed.  keep: False removes the checkpoints after the last epoch.  tensorboard: write the
    log as event files too.  signals: the handler to use, so that the caller can release it.  ranks: the processes that
    train together, each on its own part of every batch; of those other than the first, `run` is an `Unwritten`.

    Raise Diverged when the loss is NaN or Inf (weights on disk stay as they are), DeviceLost when a GPU fails (another
    process can resume), RunLocked when another process trains in that run, DataError when its data set is another one.
    """
    run.lock()
    try:
        parameters = {"device": device, "precision": precision, "compiling": compiling}
        if start and not run.begun:
            run.save(start.checkpoint())
        options = save_every, watched, keep, tensorboard and ranks.first
        made = Training(recipe, pack, validation, run, parameters, description, *options, ranks)
        return made.go(signals)
    except BaseException:
        run.unlock()
        raise


class Training:
    """A training from its start or last checkpoint to its end; see `train`."""

    def __init__(
        self,
        recipe: Recipe,
        pack: Split,
        validation: Split,
        run: Run,
        parameters: dict[str, Any],
        description: dict[str, Any] | None,
        save_every: float,
        watched: bool,
        keep: bool = True,
        tensorboard: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        """Load the last checkpoint, or draw initial weights, and build the first plan."""
        self.recipe, self.pack, self.validation, self.run = recipe, pack, validation, run
        kept = agreement.open_run(ranks, run, recipe, pack, validation, description)
        begun = begin(recipe, pack, kept)
        self.course = Course(recipe, begun.network)
        self.parameters = Parameters(begun.network, **parameters, tensors=begun.tensors)
        self.stepper = Stepper(self.course, self.parameters, begun.mean, recipe.weigh_classes(pack), ranks)
        self.flying = self.stepper.flying
        self.model = Model(begun, parameters=self.parameters)
        self.inspection = Inspection(self.model, self.stepper, pack, validation, watched)
        self.writer = RunWriter(run, self.course, self.model, self.inspection.watch, save_every, keep, tensorboard)
        self.agreed = agreement.Agreement(ranks, self.writer)
        self.writer.restore(kept)
        self.state = self.writer.state
        self.stepper.begin(self.state.epoch, self.state.update)
        self.writer.compare()  # with the plan, which may have replaced kernels
        self.whole = True  # the state is consistent, between two updates

    def go(self, signals: SignalHandler | None = None) -> Generator[Update | Epoch | Notice, None, None]:
        """Run the remaining epochs."""
        try:
            with self.agreed.begin(signals):
                try:
                    while self.state.epoch <= self.course.last:
                        yield from self._updates()
                        yield self._end_epoch()
                    yield from self.writer.told()
                    self.agreed.finish(self.pack, self.validation)
                except DeviceLost as error:
                    raise self.writer.lost(error) from error
                except BaseException as error:
                    if not isinstance(error, Diverged):
                        self._leave()
                    raise
        finally:
            self.writer.close()

    def _updates(self) -> Iterator[Update | Notice]:
        """Queue the remaining updates of the epoch; yield their results, on a GPU some updates later.

        Signals are handled and checkpoints written when no update is in flight.
        """
        state, batch, device = self.state, self.recipe.batch, self.parameters.devices[0]
        lag, end = device.lag, state.epoch * len(self.pack)
        self.now, self.waited = time.monotonic(), 0.0
        if state.position >= end:  # stopped during validation
            return
        self.stepper.begin(state.epoch, state.update)
        stream = self.recipe.stream(self.pack, self.model.network.crop, self.course.noisy)
        # A new prefetcher an epoch: changes between epochs apply from the first batch on.
        with self.stepper.prefetcher(stream, state.position) as prefetcher:
            while state.position < end or self.flying:
                yield from self.writer.told()
                if not self.agreed.pause and state.position + len(self.flying) * batch < end:
                    self._queue(prefetcher)
                    if len(self.flying) <= lag:
                        continue
                if self.flying:
                    update = self._account(prefetcher.waited)
                    yield update
                if not self.flying:
                    self.agreed.obey()
                    self.agreed.save_if_due()

    def _queue(self, prefetcher: Ahead) -> None:
        """Queue an update on the next batch."""
        self.stepper.plan.put(*prefetcher.take())
        with self._moving():
            self.stepper.plan.post(self.agreed.posted)
            self.stepper.queue(*self._progress(len(self.flying)))
            self.agreed.hear(self.stepper.plan)
        prefetcher.hold(self.stepper.plan.loaded())

    def _progress(self, further: int) -> tuple[int, float]:
        """Return the epoch, and the fraction of the training before the update `further` after the state's."""
        position = self.state.position + further * self.recipe.batch
        return self.state.epoch, position / (self.recipe.epochs * len(self.pack))

    def _account(self, waited: float = 0.0) -> Update:
        """Record the result of the first update in flight in the state, the log and the watch."""
        state, (outcome, rate) = self.state, self.flying[0]
        result = outcome.result
        if not result.finite:
            raise self.inspection.broken_update(result.loss, state, rate)
        with self._moving():
            self.flying.popleft()
            before, self.now = self.now, time.monotonic()
            state.update, state.position = state.update + 1, state.position + self.recipe.batch
            state.losses.add(result.loss, self.recipe.batch, self.now - before)
            if state.update % RECENT == 0:
                recent = state.losses.recent
                self.writer.write(loss=sum(recent) / len(recent), rate=rate)
            self.writer.tell(self.inspection.after_update(state, result.loss, rate))
        before, self.waited = self.waited, waited
        left = self.course.last * len(self.pack) - state.position
        return Update(
            update=state.update,
            updates=state.update - (-left // self.recipe.batch),
            epoch=state.epoch,
            epochs=self.course.last,
            loss=result.loss,
            top1=result.top1 / result.count,
            rate=rate,
            images=self.recipe.batch,
            seconds=state.losses.last,
            waited=waited - before,
        )

    def _end_epoch(self) -> Epoch:
        """Validate, keep the best weights, update the schedule, and save."""
        state, waited = self.state, self.waited
        validation = evaluate(self.model, self.validation, between=self.agreed.obey_between, ranks=self.agreed.ranks)
        rate, _ = self.course.rates(*self._progress(-1))
        if not math.isfinite(validation.loss):
            raise self.inspection.broken_validation(validation.loss, state, rate)
        done, better = state.losses, state.is_better(validation.top1, self.recipe, self.course.last)
        with self._moving():
            looked = self.inspection.after_epoch(state)
            self.writer.tell(self.inspection.after_validation(state, validation, rate))
            self.writer.write(
                loss=done.mean,
                rate=rate,
                val_loss=validation.loss,
                top1=validation.top1,
                top5=validation.top5,
                macro_recall=validation.macro_recall,
                **({"layers": looked.document()} if looked else {}),
                time_images_per_s=done.speed,
                time_waited=waited,
            )
            if better and self.writer.save_best():
                state.best = {"epoch": state.epoch, "top1": validation.top1, "top5": validation.top5}
            report = Epoch(state.epoch, self.course.last, done.mean, validation, better, rate, done.seconds, looked)
            for change in self.course.after_epoch(100 * (1 - validation.top1), state.epoch):
                self.writer.tell(change)
            state.epoch, state.losses = state.epoch + 1, Losses()
        self.writer.write_results()
        self.agreed.save_if_due(between_epochs=True)
        return report

    def _leave(self) -> None:
        """Save a checkpoint when the training ends early; after a second signal do not."""
        if self.agreed.signals.urgent:
            return
        with contextlib.suppress(CualexError):  # the first exception is reported, not this
            while self.whole and self.flying:
                self._account()
            if self.whole:
                self.agreed.save_now()

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        """Mark the state as inconsistent until the end of this block, and for ever if it fails."""
        self.whole = False
        yield
        self.whole = True
