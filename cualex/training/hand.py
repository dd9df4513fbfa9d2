"""The schedule of 2012, which the authors made by hand as they watched, as rules that a program can follow.

From the notes of experiment #145 (its layer-params file), the network of the paper's ILSVRC-2012 table:

    after epoch 25, 51, 79    the rate falls by ten, from 0.01 to 0.00001
    from epoch 67             conv1 learns at a thousandth of the first rate, and images have no colour noise;
                              crops and mirror images go on
    from epoch 72             conv1 is frozen
    after epoch 91            the training is stopped
    throughout                biases learn at twice the first rate, 0.02, which never falls, and do not decay

Where the epochs are not 91, all of these are scaled to them and rounded.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cualex.training.schedules import Schedule

EPOCHS = 91
DROPS = (25, 51, 79)  # the rate falls by ten after these epochs
QUIET, FROZEN = (
    66,
    71,
)  # after the first conv1 is slow and colours are left alone, after the second conv1 is frozen
LAYER, SLOW = "conv1", 1e-3  # of the first rate
BIASES = 2.0  # their rate, in first rates


@dataclass
class Hand(Schedule):
    """Follow the schedule of 2012; `rate` is the first, `epochs` are those of the whole training."""

    rate: float
    epochs: int = EPOCHS
    finished: bool = False

    def at(self, epoch: int, done: float = 0.0) -> float:
        """Return the rate of all updates of an epoch, counted from 1."""
        return self.rate / 10 ** sum(epoch > self.scaled(drop) for drop in DROPS)

    def after_epoch(self, error: float, epoch: int = 0) -> str | None:
        """Return what changes after an epoch, whatever the error."""
        changes = []
        if (now := self.at(epoch + 1)) != self.at(epoch):
            changes.append(f"rate {now:.3g}")
        if epoch == self.scaled(QUIET):
            changes.append("no colour noise")
            if epoch < self.scaled(FROZEN):
                changes.append(f"{LAYER} at {SLOW * self.rate:.3g}")
        if epoch == self.scaled(FROZEN):
            changes.append(f"{LAYER} frozen")
        return f"epoch {epoch} done: {', '.join(changes)} from now on" if changes else None

    def factors(self, epoch: int, bias_rate: float, parameters: Iterable[str]) -> dict[str, float]:
        """Return the factors of the rates of conv1's parameters in an epoch; none while it learns as the others."""
        own = [name for name in parameters if name.startswith(f"{LAYER}.")]
        if epoch > self.scaled(FROZEN):
            return dict.fromkeys(own, 0.0)
        if epoch <= self.scaled(QUIET):
            return {}
        slow = SLOW * self.rate
        return {name: slow / (bias_rate if name.endswith(".bias") else self.at(epoch)) for name in own}

    def scaled(self, epoch: int) -> int:
        """Return the epoch of this training that an epoch of 2012 is."""
        return max(1, round(epoch * self.epochs / EPOCHS))
