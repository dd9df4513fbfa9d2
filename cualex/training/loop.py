"""The training loop: a generator of plain records, which a command turns into progress, JSON or silence."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator

from cualex.data.prefetch import Prefetcher
from cualex.errors import Diverged, OutputError
from cualex.evaluation import Evaluation, evaluate
from cualex.model import Model
from cualex.training import beginning
from cualex.training.debugging.inspection import Inspection
from cualex.training.finetuning import Start
from cualex.training.in_flight import Stepper
from cualex.training.rates import Course
from cualex.training.recipes import Recipe
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run, restore
from cualex.training.run.writer import Keeper
from cualex.training.signals import Interrupts
from cualex.training.state import RECENT, Losses
from cualex.weights.parameters import Parameters


def train(
    recipe: Recipe,
    pack,
    validation,
    run: Run,
    device: str = "cpu",
    precision: str | None = None,
    description: dict | None = None,
    save_every: float = 600.0,
    compiling: Callable[[int, int], None] | None = None,
    watched: bool = False,
    start: Start | None = None,
    keep: bool = True,
) -> Iterator[Update | Epoch | Notice]:
    """Train a network on a pack, validate after each epoch, and keep everything in the run's directory.

    A run that was stopped goes on from its last checkpoint, in the middle of an epoch too, to the same weights,
    velocities and log as if it had never been stopped; where the recipe is another than before, it holds from there
    on. A checkpoint is written every `save_every` seconds and at the ends of epochs; Ctrl-C, SIGTERM and whatever
    else ends the training leave one of the last whole update.

    On a GPU `compiling` hears how many kernels are compiled, of how many. Every few epochs, or with `watched` at the
    end of each, the layers are looked at (debugging/layer_statistics.py). `start` has the weights and the mean image
    to begin with; without it weights are drawn from the seed. Without `keep` the checkpoints are removed when the
    training has come to its end.

    Raise Diverged when the loss is not finite; the weights written before stay as they are. Raise RunLocked where
    another process trains in that run, and DataError where the images are not those that it began with.
    """
    run.lock()
    try:
        parameters = {"device": device, "precision": precision, "compiling": compiling}
        if start and not run.begun:
            run.save(start.checkpoint())
        settings = (description, save_every, watched, keep)
        return Training(recipe, pack, validation, run, parameters, *settings).go()
    except BaseException:
        run.unlock()
        raise


class Training:
    """Hold what a training needs from update to update."""

    def __init__(
        self,
        recipe: Recipe,
        pack,
        validation,
        run: Run,
        parameters: dict,
        description,
        save_every,
        watched,
        keep=True,
    ):
        """Take the weights of the last checkpoint, or draw initial ones, and build the first plan."""
        self.recipe, self.pack, self.validation, self.run = recipe, pack, validation, run
        kept = restore.open_run(run, recipe, pack, validation, description)
        begun = beginning.begin(recipe, pack, kept)
        self.course = Course(recipe, begun.network)
        self.parameters = Parameters(begun.network, **parameters)
        self.parameters.load(begun.tensors)
        class_weights = recipe.weigh_classes(pack)
        self.stepper = Stepper(self.course, self.parameters, begun.mean, class_weights)
        self.flying = self.stepper.flying
        self.model = Model(begun, parameters=self.parameters)
        self.inspection = Inspection(self.model, self.stepper, pack, validation, watched)
        self.keeper = Keeper(run, self.course, self.model, self.inspection.watch, save_every, keep)
        self.keeper.restore(kept)
        self.state = self.keeper.state
        self.stepper.begin(self.state.epoch, self.state.update)
        self.whole = True  # the state is that between two updates

    def go(self) -> Iterator[Update | Epoch | Notice]:
        """Run the epochs that are left."""
        try:
            with Interrupts() as self.interrupts:
                try:
                    while self.state.epoch <= self.course.last:
                        yield from self._updates()
                        yield self._end_epoch()
                    yield from self.keeper.told()
                    self.keeper.finish(self.pack, self.validation)
                except Diverged:
                    raise
                except BaseException:
                    self._leave()
                    raise
        finally:
            self.run.unlock()

    def _updates(self) -> Iterator[Update | Notice]:
        """Queue the updates that the epoch still has; report each when it is known, which a GPU says some later.

        A signal is obeyed and a checkpoint written when nothing is queued any more.
        """
        state, batch, lag = self.state, self.recipe.batch, self.parameters.devices[0].lag
        end = state.epoch * len(self.pack)
        self.now, self.waited = time.monotonic(), 0.0
        if state.position >= end:  # it was stopped in validation
            return
        self.stepper.begin(state.epoch, state.update)
        stream = self.recipe.stream(self.pack, self.model.network.crop, self.course.noisy)
        # Read ahead anew each epoch: what changes between epochs is then in the first batch already.
        with Prefetcher(stream, batch, start=state.position) as prefetcher:
            while state.position < end or self.flying:
                yield from self.keeper.told()
                pause = self.interrupts.noted or self.keeper.saver.due()
                if not pause and state.position + len(self.flying) * batch < end:
                    self._queue(prefetcher)
                    if len(self.flying) <= lag:
                        continue
                if self.flying:
                    update = self._account(prefetcher.waited)
                    yield update
                if not self.flying:
                    self.interrupts.obey()
                    self.keeper.save_if_due()

    def _queue(self, prefetcher: Prefetcher) -> None:
        """Take a batch and move the weights."""
        self.stepper.plan.put(*prefetcher.take())
        with self._moving():
            self.stepper.queue(*self._place(len(self.flying)))

    def _place(self, further: int) -> tuple[int, float]:
        """Return the epoch, and what share of the training was over before an update, so many after the state's."""
        position = self.state.position + further * self.recipe.batch
        return self.state.epoch, position / (self.recipe.epochs * len(self.pack))

    def _account(self, waited: float = 0.0) -> Update:
        """Take what the first queued update gave into the state, the log and the watch."""
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
                self.keeper.write(loss=sum(recent) / len(recent), rate=rate)
            self.keeper.tell(self.inspection.after_update(state, result.loss, rate))
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
        """Validate, keep the best, ask the schedule, and save."""
        state, waited = self.state, self.waited
        found = evaluate(self.model, self.validation, between=self.interrupts.obey)
        rate, _ = self.course.rates(*self._place(-1))
        if not math.isfinite(found.loss):
            raise self.inspection.broken_validation(found.loss, state, rate)
        done, better = state.losses, self._better(found)
        with self._moving():
            looked = self.inspection.after_epoch(state)
            self.keeper.tell(self.inspection.after_validation(state, found, rate))
            self.keeper.write(
                loss=done.mean,
                rate=rate,
                val_loss=found.loss,
                top1=found.top1,
                top5=found.top5,
                macro_recall=found.macro_recall,
                **({"layers": looked.document()} if looked else {}),
                time_images_per_s=done.speed,
                time_waited=waited,
            )
            if better and self.keeper.save_best():
                state.best = {"epoch": state.epoch, "top1": found.top1, "top5": found.top5}
            report = Epoch(state.epoch, self.course.last, done.mean, found, better, rate, done.seconds, looked)
            for change in self.course.after_epoch(100 * (1 - found.top1), state.epoch):
                self.keeper.tell(change)
            state.epoch, state.losses = state.epoch + 1, Losses()
        self.keeper.write_results()
        self.keeper.save_if_due(between_epochs=True)
        return report

    def _better(self, found: Evaluation) -> bool:
        """Say whether a validation is better than the best so far, or as good and late enough to take its place.

        Each best is written to disk, so an equal one takes its place twenty times in a training at the most, and then
        at its end.
        """
        epoch, best = self.state.epoch, self.state.best or {"epoch": 0, "top1": -1}
        late = epoch == self.course.last or epoch - best["epoch"] >= self.recipe.epochs / 20
        return found.top1 > best["top1"] or (found.top1 == best["top1"] and self.recipe.ties == "last" and late)

    def _leave(self) -> None:
        """Save where the training is, when something ends it early; a second signal leaves at once."""
        if self.interrupts.urgent:
            return
        with contextlib.suppress(OutputError, Diverged):  # what ended the training is said, not this
            while self.whole and self.flying:
                self._account()
            if self.whole:
                self.keeper.saver.save()

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        """Say that the state belongs to no update until the end of this, and never again if it fails."""
        self.whole = False
        yield
        self.whole = True
