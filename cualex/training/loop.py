"""The training loop: a generator of plain records, which a command turns into progress, JSON or silence."""

import contextlib
import json
import math
import time
from collections import deque
from collections.abc import Iterator

import numpy as np

from cualex import environment, networks, weights
from cualex.data.ahead import Ahead
from cualex.devices import Control
from cualex.errors import Diverged, OutputError
from cualex.evaluation import evaluate
from cualex.model import Model
from cualex.parameters import Parameters
from cualex.plan import Outcome, Plan
from cualex.training.interrupts import Interrupts
from cualex.training.recipes import Recipe
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run
from cualex.training.watch import Watch, dead_filters, diagnosis
from cualex.weights import Weights

LOG_EVERY = 10  # updates a line of the log
SAVE_EVERY = 60.0  # seconds, at the least, between two checkpoints at the ends of epochs


def train(
    recipe: Recipe,
    pack,
    validation,
    run: Run,
    device: str = "cpu",
    precision: str | None = None,
    description: dict | None = None,
) -> Iterator[Update | Epoch | Notice]:
    """Train a network on a pack, validate after each epoch, and keep everything in the run's directory.

    Ctrl-C, SIGTERM and whatever else ends it early leave last.safetensors of the last whole update. Raise Diverged
    when the loss is not finite; the weights written before stay as they are.
    """
    return Training(recipe, pack, validation, run, device, precision).go(description or {})


class Training:
    """Hold what a training needs from update to update."""

    def __init__(self, recipe: Recipe, pack, validation, run: Run, device: str, precision: str | None):
        """Draw the initial weights and build the plan."""
        self.recipe, self.pack, self.validation, self.run = recipe, pack, validation, run
        self.network = networks.build(recipe.network, **recipe.arguments(len(pack.classes)))
        self.control = Control(recipe.rate, recipe.momentum, recipe.decay, seed=recipe.seed)
        self.parameters = Parameters(self.network, device, precision=precision)
        tensors = weights.initial(self.network, recipe.seed)
        self.parameters.load(tensors)
        self.mean = np.ascontiguousarray(pack.mean, np.float32)
        self.plan = Plan(self.parameters, recipe.batch, "train", control=self.control)
        self.plan.put_mean(self.mean)
        kept = Weights(self.network, tensors, list(pack.classes), self.mean)
        self.model = Model(kept, parameters=self.parameters)
        self.schedule, self.watch = recipe.schedule(), Watch(self.network.classes)
        self.best, self.whole = -1.0, True
        self.started = self.saved = time.monotonic()

    def go(self, description: dict) -> Iterator[Update | Epoch | Notice]:
        """Run all epochs."""
        skipped = dict.fromkeys((*self.pack.skipped, *self.validation.skipped))
        self.run.describe(description, environment.describe(), self.model.classes, skipped)
        stream = self.recipe.stream(self.pack, self.network.crop)
        with Ahead(stream, self.recipe.batch) as ahead, Interrupts() as self.interrupts:
            try:
                for epoch in range(1, self.recipe.epochs + 1):
                    yield from self._epoch(epoch, ahead)
                    if self.schedule.finished:
                        break
            except Diverged:
                raise
            except BaseException:
                if self.whole and self.control.step:
                    with contextlib.suppress(OutputError):  # what ended the training is said, not this
                        self._save("last")
                raise
        self.run.finish({"epochs": epoch, "top1": self.best, "updates": self.control.step})

    def _epoch(self, epoch: int, ahead: Ahead) -> Iterator[Update | Epoch | Notice]:
        """Run the updates of one epoch, validate, save and ask the schedule."""
        losses, rate, began, waited = [], self.control.rate, time.monotonic(), ahead.waited
        for update in self._updates(epoch, ahead):
            losses.append(update.loss)
            if update.update % LOG_EVERY == 0:
                self._log(epoch, losses[-LOG_EVERY:], update.update)
            yield update
            if self.watch.after_update(update.loss):
                yield Notice(self._stuck())
        seconds = time.monotonic() - began
        found = evaluate(self.model, self.validation, between=self.interrupts.obey)
        if not math.isfinite(found.loss):
            raise Diverged(self._broken(found.loss, self.control.step))
        mean = sum(losses) / len(losses)
        speed = len(losses) * self.recipe.batch / seconds
        self._log(
            epoch,
            losses,
            self.control.step,
            val_loss=found.loss,
            top1=found.top1,
            top5=found.top5,
            time_images_per_s=speed,
            time_waited=ahead.waited - waited,
        )
        change = self.schedule.after_epoch(100 * (1 - found.top1))
        self.control.rate = self.schedule.rate
        better = found.top1 > self.best
        self.best = max(self.best, found.top1)
        self._keep(better, last=epoch == self.recipe.epochs or self.schedule.finished)
        yield Epoch(epoch, self.recipe.epochs, mean, found, better, rate, seconds)
        if change:
            yield Notice(change)

    def _updates(self, epoch: int, ahead: Ahead) -> Iterator[Update]:
        """Queue the updates of one epoch; report each when it is known, which a GPU says some updates later."""
        flying, lag, began, waited = deque(), self.parameters.devices[0].lag, time.monotonic(), ahead.waited
        while self.control.step * self.recipe.batch < epoch * len(self.pack) or flying:
            self.interrupts.obey()
            if self.control.step * self.recipe.batch < epoch * len(self.pack):
                flying.append(self._queue(ahead))
                if len(flying) <= lag:
                    continue
            update, outcome = flying.popleft()
            result = outcome.result
            if not result.finite:
                raise Diverged(self._broken(result.loss, update))
            now = time.monotonic()
            yield Update(
                update=update,
                updates=-(-len(self.pack) * self.recipe.epochs // self.recipe.batch),
                epoch=epoch,
                loss=result.loss,
                top1=result.top1 / result.count,
                rate=self.control.rate,
                images=self.recipe.batch,
                seconds=now - began,
                waited=ahead.waited - waited,
            )
            began, waited = time.monotonic(), ahead.waited

    def _queue(self, ahead: Ahead) -> tuple[int, Outcome]:
        """Take a batch and move the weights; `whole` says that the state belongs to one update."""
        self.plan.put(*ahead.take())
        self.whole = False
        outcome = self.plan.run()
        self.control.step += 1
        self.whole = True
        return self.control.step, outcome

    def _log(self, epoch: int, losses: list[float], update: int, **more) -> None:
        """Write a line of the log about these updates, or an epoch of them."""
        self.run.log(
            {
                "epoch": epoch,
                "update": update,
                "loss": sum(losses) / len(losses),
                "rate": self.control.rate,
                **more,
                "time_total": time.monotonic() - self.started,
            }
        )

    def _keep(self, better: bool, last: bool) -> None:
        """Save the best, and where the training is: now and then, and at its end."""
        if better:
            self._save("best")
        if last or time.monotonic() - self.saved > SAVE_EVERY:
            self._save("last")
            self.saved = time.monotonic()

    def _save(self, name: str) -> None:
        """Write a weights file; the last one carries what a resumed run needs."""
        step = self.control.step
        state = {"update": step, "position": step * self.recipe.batch, "best": self.best}
        state["schedule"] = self.schedule.state()
        full = name == "last"
        self.run.save(
            name,
            Weights(
                self.network,
                self.parameters.unload(),
                self.model.classes,
                self.mean,
                self.parameters.unload_velocities() if full else {},
                {"training": json.dumps(state)} if full else {},
            ),
        )

    def _some(self) -> np.ndarray:
        """Return a few training pictures, from all over the set."""
        chosen = np.linspace(0, len(self.pack) - 1, min(32, len(self.pack))).astype(int)
        pictures = np.empty((len(chosen), *self.mean.shape), np.uint8)
        self.pack.read(chosen, pictures)
        return pictures

    def _stuck(self) -> str:
        dead = dead_filters(self.model, self._some())
        return diagnosis(self.network.classes, dead, self.control.rate)

    def _broken(self, loss: float, update: int) -> str:
        """Say what became of the loss, and where the weights written before are."""
        dead = dead_filters(self.model, self._some())
        shares = ", ".join(f"{name} {share:.0%}" for name, share in dead.items())
        kept = f" The weights of the best epoch are in {self.run.path}." if self.best >= 0 else ""
        return (
            f"the loss is {loss} at update {update}, so the rate {self.control.rate:g} is too large "
            f"for these weights: try --lr {self.control.rate / 10:g}. Dead filters: {shares}.{kept}"
        )
