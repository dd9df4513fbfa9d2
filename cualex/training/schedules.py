"""When the rate falls: when the validation error has stopped improving, after given epochs, or all the time.

A schedule says the rate of an update (`at`), and hears the validation error of each epoch. The one of 2012 is hand.py.
"""

import math
from dataclasses import asdict, dataclass

GAIN = 0.1  # points of validation error; less is no improvement


class Schedule:
    """Be a schedule whose rate changes after an epoch or never: what all of them share.

    rate: now, or at the start.  finished: whether it has ended the training.
    """

    rate: float
    finished: bool = False

    def at(self, epoch: int, done: float) -> float:
        """Return the rate of an update in an epoch, counted from 1, when a share `done` of all updates is over."""
        return self.rate

    def after_epoch(self, error: float, epoch: int = 0) -> str | None:
        """Take the validation error of an epoch in percent; return what changed, in words, or None."""
        return None

    def state(self) -> dict:
        """Return all numbers, for a checkpoint."""
        return asdict(self)


@dataclass
class Plateau(Schedule):
    """Divide the rate by `factor` when the validation error has not improved for `patience` epochs.

    The paper's rule (section 5), which the authors applied by hand, three times before the end. An epoch improves
    when its error in percent lies at least `gain` points below the best before it. After `drops` divisions the
    next plateau ends the training.
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
        """Divide the rate where it is time; end the training at the plateau after the last division."""
        if error <= self.best - self.gain:
            self.best, self.waited = error, 0
            return None
        self.waited += 1
        if self.waited < self.patience:
            return None
        self.waited = 0
        if self.dropped == self.drops:
            self.finished = True
            return f"no gain of {self.gain} point in {self.patience} epochs at the last rate: finished"
        self.dropped += 1
        self.rate /= self.factor
        return f"no gain of {self.gain} point in {self.patience} epochs: rate {self.rate:.3g} from now on"


@dataclass
class Fixed(Schedule):
    """Divide the rate by `factor` after each of the given epochs, whatever the error."""

    rate: float
    epochs: tuple[int, ...] = ()
    factor: float = 10.0
    done: int = 0
    finished: bool = False

    def after_epoch(self, error: float, epoch: int = 0) -> str | None:
        """Count an epoch, and divide the rate where it is one of those."""
        self.done += 1
        if self.done not in self.epochs:
            return None
        self.rate /= self.factor
        return f"epoch {self.done} done: rate {self.rate:.3g} from now on"


@dataclass
class Cosine(Schedule):
    """Let the rate fall from update to update, along half a cosine from `rate` to 0 at the end of the training.

        rate * (1 + cos(pi * done)) / 2            done: the share of all updates that is over

    Loshchilov and Hutter (2017), without restarts.
    """

    rate: float
    finished: bool = False

    def at(self, epoch: int, done: float) -> float:
        """Return the rate of an update."""
        return self.rate * (1 + math.cos(math.pi * min(done, 1.0))) / 2


@dataclass
class EarlyStop:
    """End the training when the validation error has not improved for `patience` epochs; never where that is 0.

    An epoch improves when its error in percent lies at least `GAIN` points below the best before it.
    """

    patience: int
    best: float = float("inf")
    waited: int = 0
    finished: bool = False

    def after_epoch(self, error: float) -> str | None:
        """Take an epoch's validation error; return that the training ends, in words, or None."""
        if error <= self.best - GAIN:
            self.best, self.waited = error, 0
            return None
        self.waited += 1
        if not self.patience or self.waited < self.patience:
            return None
        self.finished = True
        return f"no gain of {GAIN} point in {self.patience} epochs: finished"
