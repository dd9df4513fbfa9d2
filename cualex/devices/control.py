"""What every device shares: the numbers of a step, and the ledger of what crosses between devices."""

import math
from dataclasses import dataclass, field

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-7  # Adam's numbers, as Keras has them


@dataclass
class Control:
    """Hold what changes from step to step; the steps of a plan read it when they run.

    bias_rate: that of the biases, None for the same.  began: the step of the update rule's first update.
    part: which part of a batch is computed, where a plan accumulates the gradients of several.
    finite: whether the loss of every part so far was a number.
    """

    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 0.0005
    step: int = 0
    seed: int = 0
    finite: bool = True
    slot: int = 0
    bias_rate: float | None = None
    began: int = 0
    part: int = 0

    def rate_of(self, bias: bool) -> float:
        """Return the rate of biases, or of all else."""
        return self.bias_rate if bias and self.bias_rate is not None else self.rate

    def corrected(self, bias: bool) -> float:
        """Return Adam's rate with the corrections of its two averages, which begin at zero, folded in.

        rate * sqrt(1 - second^t) / (1 - first^t)        t counts the updates of this rule, from 1 on
        """
        t = self.step - self.began + 1
        return self.rate_of(bias) * math.sqrt(1 - SECOND**t) / (1 - FIRST**t)


@dataclass
class Ledger:
    """Count what crosses between places: floats by the name of the link."""

    floats: dict[str, int] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget all counts."""
        self.floats.clear()
