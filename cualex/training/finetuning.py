"""The weights that a training starts with: initial, of a checkpoint, or for fine-tuning another training's."""

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

from cualex import networks
from cualex.data.split import Split
from cualex.errors import UsageError
from cualex.networks import arguments
from cualex.training.rates import head_of
from cualex.training.recipes import Recipe
from cualex.training.state import State
from cualex.weights import Weights, initial

KEPT = ("crop", "mean_at", "dropout")  # arguments of the network that a recipe has too
OF_NETWORK = ("network", "variant", "crop", "mean_at")  # fields of a recipe that are those of the weights


@dataclass(frozen=True)
class Start:
    """The weights that fine-tuning starts with. said: which layers are kept, as a text."""

    weights: Weights
    said: str

    def checkpoint(self) -> Weights:
        """Return the checkpoint before the first update, so that the run never needs the file again."""
        return replace(self.weights, notes=State().note())


def begin(recipe: Recipe, pack: Split, kept: Weights | None = None) -> Weights:
    """Return the weights of a checkpoint or of another training, else initial ones, for the classes of a pack."""
    before = kept.network.arguments if kept else {}  # those that no recipe has are kept
    network = networks.build(recipe.network, **before | recipe.arguments(len(pack.classes)))
    tensors = kept.tensors if kept else initial.draw(network, recipe.seed)
    if kept:
        mean = kept.mean
    else:
        assert pack.mean is not None  # train has one
        mean = network.mean_picture(pack.mean)
    return Weights(network, tensors, list(pack.classes), mean)


def recipe(trained: Weights, begun: Recipe, stated: Container[str] = ()) -> Recipe:
    """Return a recipe for the network of a weights file: its variant, crop, mean and dropout.

    stated: fields that stay as the recipe has them.
    """
    theirs = trained.network.arguments
    usual = arguments.defaults(networks.find(trained.network.name))
    others = {name: value for name, value in theirs.items() if name not in (*KEPT, "classes")}
    variant = {name: value for name, value in others.items() if value != usual[name]}
    kept: dict[str, Any] = {"network": trained.network.name, "variant": variant}
    kept |= {name: theirs[name] for name in KEPT if name in theirs}
    return replace(begun, **{name: value for name, value in kept.items() if name not in stated})


def start(trained: Weights, wanted: Recipe, classes: list[str]) -> Start:
    """Return all layers of a weights file with its mean image, so that features stay the same.

    The last dense layer is kept, its outputs in the order of `classes`, if the class names are the same; else it is
    drawn from the seed. Raise UsageError when the recipe has another network, crop or mean.
    """
    theirs = {"network": trained.network.name, **trained.network.arguments}
    ours = {"network": wanted.network, **wanted.arguments(len(classes))}
    for name in theirs:
        if name not in ("classes", "dropout") and name in ours and theirs[name] != ours[name]:
            option = name if name in OF_NETWORK else "variant"
            raise UsageError(
                f"the weights to start from were trained with {name} {theirs[name]}, got {ours[name]}: "
                f"leave --{option.replace('_', '-')} out"
            )
    network = networks.build(wanted.network, **{**trained.network.arguments, **wanted.arguments(len(classes))})
    head, tensors = head_of(network), dict(trained.tensors)
    heads = [name for name in tensors if name.startswith(f"{head}.")]
    same = len(set(classes)) == len(classes) and sorted(classes) == sorted(trained.classes)
    if same:
        order = [trained.classes.index(name) for name in classes]
        tensors |= {name: trained.tensors[name][order] for name in heads}
        said = f"all layers are kept, {head} with its {len(classes)} classes too"
    else:
        drawn = initial.draw(network, wanted.seed)
        tensors |= {name: drawn[name] for name in heads}
        counts = f"{len(trained.classes)} there and {len(classes)} here"
        said = f"all layers are kept but {head}, which is new, since the classes are others ({counts})"
    return Start(Weights(network, tensors, list(classes), trained.mean), said)
