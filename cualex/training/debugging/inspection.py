"""Checks of a training besides its loss: layer statistics from time to time, and diagnosis when it diverges."""

import numpy as np

from cualex.data.split import Split
from cualex.errors import Diverged
from cualex.evaluation import Evaluation
from cualex.model import Model
from cualex.training.debugging import layer_statistics, nonfinite, watch
from cualex.training.debugging.layer_statistics import Figures
from cualex.training.debugging.nonfinite import Fault
from cualex.training.debugging.watch import Watch
from cualex.training.in_flight import Stepper
from cualex.training.state import State


class Inspection:
    """Checks that change no bit of a training.

    every: layer statistics at the end of every epoch.
    """

    def __init__(self, model: Model, stepper: Stepper, pack: Split, validation: Split, every: bool = False) -> None:
        """Start the watch."""
        self.model, self.stepper, self.pack, self.validation = model, stepper, pack, validation
        self.watch = Watch(pack.labels, stepper.course.recipe.batch, every)

    def after_update(self, state: State, loss: float, rate: float) -> str | None:
        """Check an update; return a diagnosis if the training is stuck. Raise Diverged for NaN or Inf weights."""
        if state.update % watch.CHECKED == 0 and not layer_statistics.finite(self.model.parameters):
            raise self._diverged(loss, state, rate, nonfinite.in_parameters(self.model.parameters))
        stuck = self.watch.after_update(loss, state.update, self._updates)
        if state.update == 1:
            return self._input()
        return self._diagnosis(rate) if stuck else None

    def after_validation(self, state: State, evaluation: Evaluation, rate: float) -> str | None:
        """Check a validation; return a diagnosis if the training is stuck."""
        stuck = self.watch.after_validation(evaluation, state.update, self._updates)
        return self._diagnosis(rate) if stuck else None

    def after_epoch(self, state: State) -> Figures | None:
        """Return layer statistics, if they are due, on the same few training images every time."""
        shown = min(watch.SHOWN, len(self.pack))
        if self.watch.due(state.update, self.stepper.course.recipe.batch, shown):
            return layer_statistics.take(self.model, watch.sample(self.pack), self.stepper.plan.rule.factors)
        return None

    def broken_update(self, loss: float, state: State, rate: float) -> Diverged:
        """Return the error for a loss that is NaN or Inf in the update after `state`."""
        course = self.stepper.course
        stream = course.recipe.stream(self.pack, self.model.network.crop, course.noisy)
        own = nonfinite.in_update(self.stepper.plan, stream, state.update, state.position)
        faults = self.stepper.ranks.collect(own, "look for NaN and Inf")  # each rank has looked at its own images
        fault = next((each for each in faults if each), None)
        return self._diverged(loss, state, rate, fault, further=1)

    def broken_validation(self, loss: float, state: State, rate: float) -> Diverged:
        """Return the error for a validation loss that is NaN or Inf."""
        fault = nonfinite.in_parameters(self.model.parameters) or nonfinite.in_split(self.model, self.validation)
        return self._diverged(loss, state, rate, fault)

    def _input(self) -> str | None:
        """Return a message if the mean image is not the training images'.

        A fixed mean of the network, and the mean image of fine-tuned weights, may be far from the images': neither is
        a fault.
        """
        network = self.model.network
        if network.mean is not None or not _equal(self.model.mean, self.pack.mean):
            return None
        statistics = layer_statistics.read(self.model, watch.sample(self.pack))
        mean, deviation = float(np.mean(statistics.mean)), float(np.mean(statistics.deviation))
        return watch.off_centre(mean, deviation) if statistics.off_centre else None

    @property
    def _updates(self) -> float:
        """The number of updates of the training, unless it ends earlier."""
        course = self.stepper.course
        return course.last * len(self.pack) / course.recipe.batch

    def _diagnosis(self, rate: float) -> str:
        classes = self.model.network.classes
        loss, guessing = self.watch.recent, self.watch.guessing
        return watch.diagnosis(loss, guessing, classes, self._dead(), rate, self._updates)

    def _diverged(self, loss: float, state: State, rate: float, fault: Fault | None, further: int = 0) -> Diverged:
        cause, dead = nonfinite.cause(fault, rate), watch.dead_filters(self._dead())
        kept = " The best weights and the last checkpoint are kept." if state.best else ""
        return Diverged(f"the loss is {loss} at update {state.update + further}{cause} Dead filters: {dead}.{kept}")

    def _dead(self) -> dict[str, float]:
        """Return the fraction of dead filters by layer, on a few training images."""
        relus = layer_statistics.activity(self.model, watch.sample(self.pack))
        return {name: relu.dead for name, relu in relus.items()}


def _equal(mean: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and np.array_equal(mean, other)
