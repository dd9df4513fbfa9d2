"""Records that a training yields: updates, epochs, and notices for the user."""

from dataclasses import dataclass

from cualex.evaluation import Evaluation
from cualex.training.debugging.layer_statistics import Figures


@dataclass(frozen=True)
class Update:
    """One update: its number and epoch, of how many, loss and top-1 of the batch, learning rate, and timing.

    images: of the batch.  seconds: since the last update.  waited: of these, for data.
    """

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
    """One epoch: mean training loss, validation, whether it is the best so far, and layer statistics, if any."""

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
    """A message for the user: a drop of the learning rate, a loss that is stuck.

    kept: whether checkpoints hold it until it has been yielded.
    """

    text: str
    kept: bool = True
