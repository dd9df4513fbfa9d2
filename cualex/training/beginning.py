"""What a training begins with: a network, its weights, and the mean image that it subtracts."""

from cualex import networks
from cualex.training.recipes import Recipe
from cualex.weights import Weights, initial


def begin(recipe: Recipe, pack, kept: Weights | None = None) -> Weights:
    """Take the weights of a checkpoint or of another training, or draw the initial ones, for the classes of a pack."""
    own = kept.network.arguments if kept else {}  # with those that no recipe has
    network = networks.build(recipe.network, **own | recipe.arguments(len(pack.classes)))
    tensors = kept.tensors if kept else initial.draw(network, recipe.seed)
    mean = kept.mean if kept else network.mean_picture(pack.mean)
    return Weights(network, tensors, list(pack.classes), mean)
