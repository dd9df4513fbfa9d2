"""First aid: can a network learn a few images by heart? One that cannot will learn no data set either.

The recipe's network, without anything that makes learning by heart harder: no crops, mirror images or colour noise, no
decay, and dropout's masks replaced by their mean, so that the rate means what it means in the training. Nothing is
written anywhere: there is no run, no checkpoint and no file that another command could take for a trained network.

A recipe's rate is made for its batch and its images; for a few images that come again and again it can be too large or
too small. So a try that fails is followed by others: at a smaller rate, from the last good weights, where the loss was
lost; at a larger one where nothing moved. What each try came to is said.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from cualex.errors import UsageError
from cualex.layers import Dropout, MeanDropout
from cualex.model import Model
from cualex.networks import Network
from cualex.training import beginning
from cualex.training.debugging import overfit_images
from cualex.training.debugging.overfit_attempt import DIVERGED, IMPOSSIBLE, LOST, SLOW, Fit, NotFinite, Try
from cualex.training.debugging.overfit_images import Few
from cualex.training.recipes import Recipe
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

BATCH = 32  # images, at the most
TRIES = 5
DOWN, UP = 0.3, 3.0  # by which the rate changes from try to try


def plain(recipe: Recipe, pictures: int, batch: int | None = None) -> Recipe:
    """Return a recipe without what keeps a network from learning by heart, for so many images."""
    plainer = recipe.but(augment=False, colour_noise=0.0, decay=0.0, accumulate=1)
    return plainer.but(batch=min(pictures, batch or BATCH))


def unmasked(network: Network) -> Network:
    """Return a network in which dropout multiplies by the mean of its masks, in training too."""
    return replace(
        network,
        layers={
            name: MeanDropout(layer.share, layer.inverted) if isinstance(layer, Dropout) else layer
            for name, layer in network.layers.items()
        },
    )


def overfit(
    recipe: Recipe,
    pack,
    pictures: int,
    kept: Weights | None = None,
    device: str = "cpu",
    precision: str | None = None,
    compiling: Callable[[int, int], None] | None = None,
    tries: int = TRIES,
) -> Iterator[Fit]:
    """Train on a few images of a pack until they are learned, at other rates too; yield how far it is.

    `recipe` is one that `plain` has made; `kept` are weights to begin with in the place of initial ones. With one of
    `tries` its rate is the only one. The last of what comes says whether the images are learned, and each that has
    `ended` how a try without success did. Where images contradict each other nothing is trained: the report says how
    many can be named right at the most, and the least loss that there can be.

    Raise UsageError where the pack has fewer images, and Diverged where the loss is not finite in any try, or already
    because of what the network reads.
    """
    if pictures > len(pack):
        raise UsageError(f"--overfit {pictures}: the training set has {len(pack)} images; give at most that many")
    begun = beginning.begin(recipe, pack, kept)
    begun = replace(begun, network=unmasked(begun.network))
    chosen = overfit_images.choose(pack, pictures, begun.network.crop)
    if chosen.contradictions:
        yield _impossible(chosen, recipe.rate)
        return
    parameters = Parameters(begun.network, device, precision=precision, compiling=compiling)
    parameters.load(begun.tensors)
    model, done, factor, diverged = Model(begun, parameters=parameters), 0, 1.0, []
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
                raise error.said() from None
            fit = Fit(done + error.update, math.nan, 0, pictures, rate=one.recipe.rate, ended=DIVERGED)
            yield fit
        done, factor = fit.updates, factor * (UP if fit.ended in SLOW else DOWN)
        if fit.ended in LOST:
            parameters.load(one.good or begun.tensors)  # where there are none, what it began with led nowhere
        parameters.forget_velocities()
    if len(diverged) == tries:
        raise diverged[-1].said()


def _at(recipe: Recipe, factor: float) -> Recipe:
    """Return a recipe with another rate, as it is said in a few digits; the biases keep their ratio."""
    biases = recipe.bias_rate and recipe.bias_rate * factor
    return recipe.but(rate=float(f"{recipe.rate * factor:.3g}"), bias_rate=biases) if factor != 1 else recipe


def _impossible(few: Few, rate: float) -> Fit:
    """Report what is known before any training of images that contradict each other."""
    names = tuple(tuple(few.names[index] for index in group) for group in few.contradictions)
    known = Fit(0, few.least_loss, few.most_right, len(few), rate=rate, ended=IMPOSSIBLE)
    return replace(known, contradictions=names)
