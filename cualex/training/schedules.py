"""Learning-rate schedules: plateau of the validation error, given epochs, cosine, poly, and that of 2012.

A schedule returns the rate of an update (`at`), and is updated by the validation error after an epoch.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

GAIN = 0.1  # points of validation error; less is no improvement

# The schedule of 2012.
EPOCHS_2012 = 91
DROPS_2012 = (25, 51, 79)  # epochs after which the rate is divided by ten
QUIET_2012 = 66  # the epoch after which conv1 is slow and there is no colour noise
FROZEN_2012 = 71  # the epoch after which conv1 is frozen
LAYER_2012, SLOW_2012 = "conv1", 1e-3  # of the first rate
BIASES_2012 = 2.0  # learning rate of the biases, in first rates


class Schedule:
    """Base of all schedules: a constant rate.

    rate: now, or at the start.  finished: whether it has ended the training.
    """

    rate: float
    finished: bool = False

    def at(self, epoch: int, done: float) -> float:
        """Return the rate of an update in an epoch, from 1, after a fraction `done` of all updates."""
        return self.rate

    def after_epoch(self, error: float, epoch: int = 0) -> str | None:
        """Update by the validation error of an epoch in percent; return a text about changes, or None."""
        return None

    def state(self) -> dict[str, Any]:
        """Return all fields, for a checkpoint."""
        return dict(vars(self))


@dataclass
class Plateau(Schedule):
    """Divide the rate by `factor` when the validation error has not improved for `patience` epochs.

    The paper's schedule (section 5), which the authors applied by hand, three times. An epoch improves when its error
    in percent lies at least `gain` points below the best before it. After `drops` divisions the next plateau ends the
    training.
    """

    rate: float
    factor: float = 10.0
    patience: int = 5
    gain: float = GAIN
    drops: int = 3
    best: float = float("inf")
    waited: int = 0
    dropped: int = 0
    finished: bool = False

    def after_epoch(self, error: float, epoch: int = 0) -> str | None:
        """Divide the rate at a plateau; end the training at the plateau after the last division."""
        if error <= self.best - self.gain:
            self.best, self.waited = error, 0
            return None
        self.waited += 1
        if self.waited < self.patience:
            return None
        self.waited = 0
        if self.dropped == self.drops:
            self.finished = True
            return f"no gain of {self.gain} points in {self.patience} epochs at the last learning rate: finished"
        self.dropped += 1
        self.rate /= self.factor
        return f"no gain of {self.gain} points in {self.patience} epochs: learning rate {self.rate:.3g} from now on"


@dataclass
class Fixed(Schedule):
    """Divide the rate by `factor` after given epochs."""

    rate: float
    epochs: tuple[int, ...] = ()
    factor: float = 10.0
    done: int = 0
    finished: bool = False

    def after_epoch(self, error: float, epoch: int = 0) -> str | None:
        """Count an epoch, and divide the rate after the given ones."""
        self.done += 1
        if self.done not in self.epochs:
            return None
        self.rate /= self.factor
        return f"epoch {self.done} done: learning rate {self.rate:.3g} from now on"


@dataclass
class Cosine(Schedule):
    """Decay the rate from update to update, along half a cosine from `rate` to 0 at the end of the training.

        rate * (1 + cos(pi * done)) / 2            done: the fraction of all updates

    Loshchilov and Hutter (2017), without restarts.
    """

    rate: float
    finished: bool = False

    def at(self, epoch: int, done: float) -> float:
        """Return the rate of an update."""
        return self.rate * (1 + math.cos(math.pi * min(done, 1.0))) / 2


@dataclass
class Poly(Schedule):
    """Decay the rate from update to update, as a power of what is left of the training.

        rate * (1 - done)^2            done: the fraction of all updates

    Caffe's "poly" policy with a power of 2, by which You, Gitman and Ginsburg (2017) trained AlexNet on large batches.
    """

    rate: float
    finished: bool = False

    def at(self, epoch: int, done: float) -> float:
        """Return the rate of an update."""
        return self.rate * (1 - min(done, 1.0)) ** 2


@dataclass
class Schedule2012(Schedule):
    """The schedule of 2012, which the authors applied by hand, as rules.

    From the notes of experiment #145 (its layer-params file), the network of the paper's ILSVRC-2012 table:

        after epoch 25, 51, 79    the rate falls by ten, from 0.01 to 0.00001
        from epoch 67             conv1 learns at a thousandth of the first rate, and images have no colour noise;
                                  crops and mirror images go on
        from epoch 72             conv1 is frozen
        after epoch 91            the training is stopped
        throughout                biases learn at twice the first rate, 0.02, which never falls, and do not decay

    rate: the first one.  epochs: of the whole training; if not 91, the epochs above are scaled to them and rounded.
    """

    rate: float
    epochs: int = EPOCHS_2012
    finished: bool = False

    def at(self, epoch: int, done: float = 0.0) -> float:
        """Return the rate of all updates of an epoch, counted from 1."""
        return self.rate / 10 ** sum(epoch > self.scaled(drop) for drop in DROPS_2012)

    def after_epoch(self, error: float, epoch: int = 0) -> str | None:
        """Return what changes after an epoch, whatever the error."""
        changes = []
        if (now := self.at(epoch + 1)) != self.at(epoch):
            changes.append(f"learning rate {now:.3g}")
        if epoch == self.scaled(QUIET_2012):
            changes.append("no colour noise")
            if epoch < self.scaled(FROZEN_2012):
                changes.append(f"{LAYER_2012} at {SLOW_2012 * self.rate:.3g}")
        if epoch == self.scaled(FROZEN_2012):
            changes.append(f"{LAYER_2012} frozen")
        return f"epoch {epoch} done: {', '.join(changes)} from now on" if changes else None

    def factors(self, epoch: int, bias_rate: float, parameters: Iterable[str]) -> dict[str, float]:
        """Return the learning-rate multipliers of conv1's parameters in an epoch, if they are not 1."""
        conv1 = [name for name in parameters if name.startswith(f"{LAYER_2012}.")]
        if epoch > self.scaled(FROZEN_2012):
            return dict.fromkeys(conv1, 0.0)
        if epoch <= self.scaled(QUIET_2012):
            return {}
        slow = SLOW_2012 * self.rate
        return {name: slow / (bias_rate if name.endswith(".bias") else self.at(epoch)) for name in conv1}

    def scaled(self, epoch: int) -> int:
        """Return the epoch of this training that corresponds to an epoch of 2012."""
        return max(1, round(epoch * self.epochs / EPOCHS_2012))


@dataclass
class EarlyStop:
    """End the training when the validation error has not improved for `patience` epochs; never for 0.

    An epoch improves when its error in percent lies at least `GAIN` points below the best before it.
    """

    patience: int
    best: float = float("inf")
    waited: int = 0
    finished: bool = False

    def after_epoch(self, error: float) -> str | None:
        """Update by an epoch's validation error; return a text if the training ends, or None."""
        if error <= self.best - GAIN:
            self.best, self.waited = error, 0
            return None
        self.waited += 1
        if not self.patience or self.waited < self.patience:
            return None
        self.finished = True
        return f"early stopping: no gain of {GAIN} points in {self.patience} epochs"
