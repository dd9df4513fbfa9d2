"""The numbers of a step that all devices read, and the ledger of what is copied between devices."""

import math
from dataclasses import dataclass, field

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-7  # Adam's beta 1, beta 2 and epsilon, as Keras has them
SMALLEST_NORM = 2.0**-100  # of LARS: smaller ones count as 0, so that no quotient of norms overflows


@dataclass
class Control:
    """Numbers that change from step to step; the steps of a plan read them when they run.

    rate, bias_rate: the learning rates of weights and of biases (None: the same).  momentum: its coefficient.
    decay: the L2 weight decay.  step: the update, from 0.  began: the first update of this update rule.
    seed: the random seed.  slot: the input buffer in use.  part: the part of the whole batch, where a plan accumulates
    the gradients of several.  turn: which of the parts that this process computes it is, from 0.  finite: False once
    the loss of a part of this step was NaN or Inf.  trust: LARS's coefficient.
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
    trust: float = 0.001
    turn: int = 0

    def rate_of(self, bias: bool) -> float:
        """Return the learning rate of biases, or of everything else."""
        return self.bias_rate if bias and self.bias_rate is not None else self.rate

    def corrected(self, bias: bool) -> float:
        """Return Adam's learning rate with the bias correction of both moments folded in.

        rate * sqrt(1 - second^t) / (1 - first^t)        t counts the updates of this rule from 1
        """
        t = self.step - self.began + 1
        return self.rate_of(bias) * math.sqrt(1 - SECOND**t) / (1 - FIRST**t)


@dataclass
class Ledger:
    """Floats copied between devices, by the name of the link."""

    floats: dict[str, int] = field(default_factory=dict)

    def clear(self) -> None:
        """Remove all counts."""
        self.floats.clear()
