"""Records that a training yields: updates, epochs, and notices for the user."""

from dataclasses import dataclass

from cualex.evaluation import Evaluation, accuracies
from cualex.system.amounts import duration
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

    def __str__(self) -> str:
        return self.lines()[0]

    def lines(self) -> list[str]:
        """Return the epoch as a line of text, and shorter ones for terminals without room for it."""
        found = self.validation
        top1, *more = accuracies(found.top1, found.top5, len(found.classes))
        number = f"epoch {self.epoch:>{len(str(self.epochs))}}/{self.epochs}"
        validation = f"validation loss {found.loss:.3f}, {top1}"
        head = f"{number}  loss {self.train_loss:.3f}  {validation}"
        top5, took = "".join(f", {each}" for each in more), f"  {duration(self.seconds)}"
        lines = (f"{head}{top5}  rate {self.rate:.2g}{took}", f"{head}{top5}{took}", f"{head}{top5}", head)
        return [f"{line}{'  best' if self.best else ''}" for line in (*lines, f"{number}  {validation}")]


@dataclass(frozen=True)
class Notice:
    """A message for the user: a drop of the learning rate, a loss that is stuck.

    kept: whether checkpoints hold it until it has been yielded.
    """

    text: str
    kept: bool = True
