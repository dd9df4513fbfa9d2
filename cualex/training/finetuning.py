"""Weights to begin with: those of another training, with a new last layer where the classes are others."""

from dataclasses import dataclass, replace

from cualex import networks
from cualex.errors import UsageError
from cualex.networks import arguments
from cualex.training.rates import head_of
from cualex.training.recipes import Recipe
from cualex.training.state import State
from cualex.weights import Weights, initial

KEPT = ("crop", "mean_at", "dropout")  # of the network's arguments, which a recipe has as well


@dataclass(frozen=True)
class Start:
    """Hold what a training begins with, and how that came about, in words."""

    weights: Weights
    said: str

    def checkpoint(self) -> Weights:
        """Return what a run is given before its first update, so that it never needs the file again."""
        return replace(self.weights, notes=State().note())


def recipe(found: Weights, begun: Recipe) -> Recipe:
    """Return a recipe for the network of a weights file, its variant, and the crop and mean picture that it knows."""
    own = found.network.arguments
    usual = arguments.defaults(networks.find(found.network.name))
    variant = {name: value for name, value in own.items() if name not in (*KEPT, "classes") and value != usual[name]}
    kept = {name: own[name] for name in KEPT if name in own}
    return replace(begun, network=found.network.name, variant=variant, **kept)


def start(found: Weights, wanted: Recipe, classes: list[str]) -> Start:
    """Take all layers of a weights file, and its mean picture, so that features stay what they were.

    The last dense layer is kept, its outputs in the order of `classes`, where the names of the classes are the same;
    else it is drawn anew from the seed. Raise UsageError where the recipe is for another crop or mean.
    """
    for name in ("crop", "mean_at"):
        own, got = found.network.arguments.get(name), getattr(wanted, name)
        if own is not None and own != got:
            raise UsageError(
                f"the weights to start from were trained with {name} {own}, got {got}: "
                f"leave --{name.replace('_', '-')} out"
            )
    network = networks.build(wanted.network, **{**found.network.arguments, **wanted.arguments(len(classes))})
    head, tensors = head_of(network), dict(found.tensors)
    own = [name for name in tensors if name.startswith(f"{head}.")]
    same = len(set(classes)) == len(classes) and sorted(classes) == sorted(found.classes)
    if same:
        order = [found.classes.index(name) for name in classes]
        tensors |= {name: found.tensors[name][order] for name in own}
        said = f"all layers are kept, {head} with its {len(classes)} classes too"
    else:
        drawn = initial.draw(network, wanted.seed)
        tensors |= {name: drawn[name] for name in own}
        counts = f"{len(found.classes)} there and {len(classes)} here"
        said = f"all layers are kept but {head}, which is new, since the classes are others ({counts})"
    return Start(Weights(network, tensors, list(classes), found.mean), said)
