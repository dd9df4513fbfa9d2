"""What a training looks at beside its loss: the layers from time to time, and where numbers ceased to be finite."""

import numpy as np

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
    """Look at a network that trains; nothing here changes a bit of it, and nothing but `look` costs while all is well.

    every: look at the layers at the end of every epoch.
    """

    def __init__(self, model: Model, stepper: Stepper, pack, validation, every: bool = False):
        """Start with nothing seen."""
        self.model, self.stepper, self.pack, self.validation = model, stepper, pack, validation
        self.watch = Watch(pack.labels, stepper.course.recipe.batch, every)

    def after_update(self, state: State, loss: float, rate: float) -> str | None:
        """Take an update's loss; return what to say if it is stuck. Raise Diverged where the weights are no numbers."""
        if state.update % watch.CHECKED == 0 and not layer_statistics.finite(self.model.parameters):
            raise self._diverged(loss, state, rate, nonfinite.in_parameters(self.model.parameters))
        stuck = self.watch.after_update(loss, state.update, self._updates)
        if state.update == 1:
            return self._input()
        return self._diagnosis(rate) if stuck else None

    def after_validation(self, state: State, found: Evaluation, rate: float) -> str | None:
        """Take what validation gave; return what to say if the training is stuck."""
        stuck = self.watch.after_validation(found, state.update, self._updates)
        return self._diagnosis(rate) if stuck else None

    def after_epoch(self, state: State) -> Figures | None:
        """Look at the layers if it is time, on the same few training pictures each time."""
        shown = min(watch.SHOWN, len(self.pack))
        if self.watch.due(state.update, self.stepper.course.recipe.batch, shown):
            return layer_statistics.take(self.model, watch.some(self.pack), self.stepper.plan.rule.factors)
        return None

    def broken_update(self, loss: float, state: State, rate: float) -> Diverged:
        """Say what became of the loss of the update that follows on `state`."""
        course = self.stepper.course
        stream = course.recipe.stream(self.pack, self.model.network.crop, course.noisy)
        fault = nonfinite.in_update(self.stepper.plan, stream, state.update, state.position)
        return self._diverged(loss, state, rate, fault, further=1)

    def broken_validation(self, loss: float, state: State, rate: float) -> Diverged:
        """Say what became of the loss of validation."""
        fault = nonfinite.in_parameters(self.model.parameters) or nonfinite.in_split(self.model, self.validation)
        return self._diverged(loss, state, rate, fault)

    def _input(self) -> str | None:
        """Say what is wrong with what the network reads: a mean picture that is not that of the training pictures.

        A network may have one mean whatever the pictures are, and weights to begin with have that of their own, which
        is far from drawings on white: neither says anything.
        """
        network = self.model.network
        if network.mean is not None or not np.array_equal(self.model.mean, self.pack.mean):
            return None
        found = layer_statistics.read(self.model, watch.some(self.pack))
        return watch.off_centre(np.mean(found.mean), np.mean(found.deviation)) if found.off_centre else None

    @property
    def _updates(self) -> float:
        """Return how many updates the training has in all, as far as that is known."""
        course = self.stepper.course
        return course.last * len(self.pack) / course.recipe.batch

    def _diagnosis(self, rate: float) -> str:
        classes = self.model.network.classes
        loss, guessing = self.watch.recent, self.watch.guessing
        return watch.diagnosis(loss, guessing, classes, self._dead(), rate, self._updates)

    def _diverged(self, loss: float, state: State, rate: float, fault: Fault | None, further: int = 0) -> Diverged:
        said, dead = nonfinite.said(fault, rate), watch.said(self._dead())
        kept = " The best weights and the last checkpoint are kept." if state.best else ""
        return Diverged(f"the loss is {loss} at update {state.update + further}{said} Dead filters: {dead}.{kept}")

    def _dead(self) -> dict[str, float]:
        """Return the share of dead filters by layer, on a few training pictures."""
        found = layer_statistics.activity(self.model, watch.some(self.pack))
        return {name: each.dead for name, each in found.items()}
