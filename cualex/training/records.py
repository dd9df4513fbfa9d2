"""What a training reports while it runs: updates, epochs, and notices for a person."""

from dataclasses import dataclass

from cualex.evaluation import Evaluation
from cualex.training.debugging.layer_statistics import Figures


@dataclass(frozen=True)
class Update:
    """Report one update: how far, of as many updates and epochs as are known, what it gave, and the seconds it took."""

    update: int
    updates: int
    epoch: int
    epochs: int
    loss: float
    top1: float
    rate: float
    images: int
    seconds: float
    waited: float


@dataclass(frozen=True)
class Epoch:
    """Report one epoch: training loss, what validation gave, whether it is the best so far, and what a look at the
    layers has found, if there was one.
    """

    epoch: int
    epochs: int
    train_loss: float
    validation: Evaluation
    best: bool
    rate: float
    seconds: float
    layers: Figures | None = None


@dataclass(frozen=True)
class Notice:
    """Report something that a person should read: a fall of the rate, a loss that is stuck.

    kept: whether a checkpoint holds it until it was read.
    """

    text: str
    kept: bool = True
