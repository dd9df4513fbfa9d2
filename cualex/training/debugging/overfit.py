"""Sanity check: overfit a few images. A network that cannot will learn no data set either.

The recipe's network without regularisation: no augmentation, no weight decay, and dropout's masks replaced by their
mean, so that the learning rate has the same effect as in the training. Nothing is saved: there is no run, no checkpoint
and no file that another command could take for trained weights.

A recipe's learning rate is for its batches and images; for a few images again and again it can be too large or too
small. So a try that fails is followed by others: at a smaller rate from the same start, or, where there was no
progress, at a larger one from its weights. The result of every try is reported.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from cualex.data.split import Split
from cualex.errors import UsageError
from cualex.layers import Dropout, MeanDropout
from cualex.model import Model
from cualex.networks import Network
from cualex.training.debugging import overfit_images
from cualex.training.debugging.overfit_attempt import DIVERGED, IMPOSSIBLE, SLOW, Fit, NotFinite, Try
from cualex.training.debugging.overfit_images import Few
from cualex.training.finetuning import begin
from cualex.training.recipes import Recipe
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

BATCH = 32  # images, at most
TRIES = 5
DOWN, UP = 0.3, 3.0  # factors of the rate from try to try


def plain(recipe: Recipe, images: int, batch: int | None = None) -> Recipe:
    """Return a recipe without regularisation, for overfitting `images` images."""
    plainer = recipe.but(augment=False, colour_noise=0.0, decay=0.0, accumulate=1, warmup=0.0)
    return plainer.but(batch=min(images, batch or BATCH))


def unmasked(network: Network) -> Network:
    """Return a network in which dropout multiplies by the mean of its masks in training too."""
    return replace(
        network,
        layers={
            name: MeanDropout(layer.share, layer.inverted) if isinstance(layer, Dropout) else layer
            for name, layer in network.layers.items()
        },
    )


def overfit(
    recipe: Recipe,
    pack: Split,
    images: int,
    kept: Weights | None = None,
    device: str = "cpu",
    precision: str | None = None,
    compiling: Callable[[int, int], None] | None = None,
    tries: int = TRIES,
) -> Iterator[Fit]:
    """Train on a few images of a pack until they are learned, at several rates: yield progress.

    recipe: a result of `plain`.  kept: weights to start from, not initial ones.  tries: 1 keeps the recipe's rate.
    The last record tells whether the images are learned; those with `ended` how a try failed. When images contradict
    each other nothing is trained: the record has the largest number of correct images and the least loss possible.

    Raise UsageError when the pack has fewer images, and Diverged when the loss is not finite in all tries, or because
    of the network's input.
    """
    if images > len(pack):
        raise UsageError(f"--overfit {images}: the training set has {len(pack)} images; give at most that many")
    begun = begin(recipe, pack, kept)
    begun = replace(begun, network=unmasked(begun.network))
    chosen = overfit_images.choose(pack, images, begun.network.crop)
    if chosen.contradictions:
        yield _impossible(chosen, recipe.rate)
        return
    parameters = Parameters(begun.network, device, precision=precision, compiling=compiling, tensors=begun.tensors)
    model, done, factor = Model(begun, parameters=parameters), 0, 1.0
    diverged: list[NotFinite] = []
    for _ in range(tries):
        one = Try(_at(recipe, factor), model, chosen, done)
        try:
            for fit in one.go():
                yield fit
                if fit.learned:
                    return
        except NotFinite as error:
            diverged.append(error)
            if error.fault and error.fault.input:
                raise error.diverged() from None
            fit = Fit(done + error.update, math.nan, 0, images, rate=one.recipe.rate, ended=DIVERGED)
            yield fit
        done, factor = fit.updates, factor * (UP if fit.ended in SLOW else DOWN)
        if fit.ended not in SLOW:  # a large rate kills units, which stay dead at any smaller one
            parameters.load(begun.tensors)
        parameters.forget_velocities()
    if len(diverged) == tries:
        raise diverged[-1].diverged()


def _at(recipe: Recipe, factor: float) -> Recipe:
    """Return a recipe with its rate multiplied, and rounded to three digits; the biases keep their ratio."""
    biases = recipe.bias_rate and recipe.bias_rate * factor
    return recipe.but(rate=float(f"{recipe.rate * factor:.3g}"), bias_rate=biases) if factor != 1 else recipe


def _impossible(few: Few, rate: float) -> Fit:
    """Return the record of images that contradict each other, without training."""
    names = tuple(tuple(few.names[index] for index in group) for group in few.contradictions)
    known = Fit(0, few.least_loss, few.most_right, len(few), rate=rate, ended=IMPOSSIBLE)
    return replace(known, contradictions=names)
