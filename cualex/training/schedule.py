"""When the rate falls: by ten, each time that the validation error has stopped improving."""

from dataclasses import asdict, dataclass


@dataclass
class Plateau:
    """Divide the rate by `factor` when the validation error has not improved for `patience` epochs.

    The paper's rule (section 5), which the authors applied by hand, three times before the end. An epoch improves
    when its error in percent lies at least `gain` points below the best before it. After `drops` divisions the
    next plateau ends the training.
    """

    rate: float
    factor: float = 10.0
    patience: int = 5
    gain: float = 0.1
    drops: int = 3
    best: float = float("inf")
    waited: int = 0
    dropped: int = 0
    finished: bool = False

    def after_epoch(self, error: float) -> str | None:
        """Take an epoch's validation error in percent; return what changed, in words, or None."""
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

    def state(self) -> dict:
        """Return all numbers, for a checkpoint."""
        return asdict(self)


@dataclass
class Fixed:
    """Divide the rate by `factor` after each of the given epochs, whatever the error."""

    rate: float
    epochs: tuple[int, ...] = ()
    factor: float = 10.0
    done: int = 0
    finished: bool = False

    def after_epoch(self, error: float) -> str | None:
        """Count an epoch; return what changed, in words, or None."""
        self.done += 1
        if self.done not in self.epochs:
            return None
        self.rate /= self.factor
        return f"epoch {self.done} done: rate {self.rate:.3g} from now on"

    def state(self) -> dict:
        """Return all numbers, for a checkpoint."""
        return asdict(self)
