"""Large batches: the recipe of LARS by batch size, and what linear scaling of the learning rate would give.

You, Gitman and Ginsburg (2017), "Large Batch Training of Convolutional Networks", trained AlexNet on ImageNet for 100
epochs: LARS with a trust coefficient of 0.001, momentum 0.9, weight decay 0.0005, a rate that falls as (1 - done)^2,
and a linear warm-up of 2 epochs with LRN, of 5 with batch normalisation. Rates and top-1 accuracies (center crop) are
their tables. Without LARS the network with LRN reached 53.1 % at a batch of 4,096 (rate 0.05) and 44.8 % at 8,192.

No rate is ever scaled silently: `scaling` says what the linear rule of Goyal et al. (2017), section 2.1, would give.
"""

from dataclasses import dataclass

from cualex import networks
from cualex.layers import BatchNorm
from cualex.training.recipes import LARS, Recipe

SOURCE = "You, Gitman and Ginsburg (2017)"
LEAST = 1.5  # a batch below that many of the recipe's, and above its inverse, needs no word


@dataclass(frozen=True)
class Row:
    """The rate at a batch size, and the top-1 accuracy on ImageNet that its authors got with it, in percent."""

    batch: int
    rate: float
    top1: float


LRN = (Row(512, 2, 58.7), Row(4096, 10, 58.5), Row(8192, 10, 58.2), Row(16384, 14, 55.0), Row(32768, 14, 46.9))
BATCHNORM = (Row(512, 2, 60.2), Row(4096, 10, 60.4), Row(8192, 14, 60.1), Row(16384, 23, 59.3), Row(32768, 22, 57.8))
WARMUP = {False: 2.0, True: 5.0}  # epochs; with batch normalisation more


def row(batch: int, batchnorm: bool) -> Row:
    """Return the row of the largest batch that is not above `batch`, or the first."""
    rows = BATCHNORM if batchnorm else LRN
    return next((each for each in reversed(rows) if each.batch <= batch), rows[0])


def recipe(base: Recipe) -> Recipe:
    """Return the recipe "lars" with the rate and the warm-up of a recipe's batch and network."""
    batchnorm = _batchnorm(base)
    return base.but(rate=row(base.batch, batchnorm).rate, warmup=WARMUP[batchnorm], **LARS)


def scaling(before: Recipe, now: Recipe, given: bool) -> str | None:
    """Return a sentence on the rate at another batch size than the recipe's, or None where none is due.

    before: the recipe without the user's numbers.  given: whether the user gave the learning rate.
    """
    factor = now.batch / before.batch
    if given or now.optimizer != "momentum" or now.rate != before.rate or 1 / LEAST < factor < LEAST:
        return None
    return (
        f"The learning rate {now.rate:g} is that of batches of {before.batch:,}, and is not scaled; for {now.batch:,} "
        f"linear scaling (Goyal et al. 2017) would give --lr {now.rate * factor:.3g}"
        f"{', with --warmup 5' if factor > 1 else ''}."
    )


def published(now: Recipe) -> str | None:
    """Return a sentence on where the rate of LARS comes from, or None for other optimizers."""
    if now.optimizer != "lars":
        return None
    rows = ", ".join(f"{each.batch:,}: {each.rate:g}" for each in (BATCHNORM if _batchnorm(now) else LRN))
    return f"LARS: rates by batch size of {SOURCE}, AlexNet on ImageNet: {rows}; here {now.batch:,}: {now.rate:g}."


def _batchnorm(recipe: Recipe) -> bool:
    network = networks.build(recipe.network, **recipe.arguments(classes=2))
    return any(isinstance(layer, BatchNorm) for layer in network.layers.values())
