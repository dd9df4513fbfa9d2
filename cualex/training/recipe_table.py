"""A recipe in words: a row a number, beside what it is in the paper."""

from dataclasses import asdict

from cualex import networks
from cualex.data.batches import views
from cualex.networks import arguments
from cualex.training import hand

COMPONENTS = {"data": "of the training pictures", "2012": "of ILSVRC-2012"}

_WORDS = {
    "network": "network",
    "variant": "variant of the network",
    "crop": "crop, pixels a side",
    "batch": "pictures a batch",
    "accumulate": "parts of a batch",
    "optimizer": "update rule",
    "rate": "learning rate",
    "bias_rate": "learning rate of biases",
    "head_rate": "learning rate of last layer",
    "freeze": "layers that do not learn",
    "momentum": "momentum",
    "decay": "weight decay",
    "dropout": "dropout after fc6, fc7",
    "class_weights": "class weights in the loss",
    "epochs": "epochs, at most",
    "schedule": "rate falls",
    "stop_after": "ends without gain",
    "augment": "random crops, mirror images",
    "views": "views of a picture",
    "colour_noise": "colour noise, deviation",
    "colour_components": "components of colour",
    "plain_epochs": "last epochs without noise",
    "mean_at": "mean picture subtracted",
}
_NONE = "none"
_OPTIMIZERS = {"momentum": "momentum", "adam": "Adam, as in Keras"}


PAPER_VIEWS = {"views": "2,048"}  # as the paper counts them, without the last offset of either axis


def rows(recipe, other, known: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return a row a number of a Recipe: its name, what it is here, and what it is in another ("" where the same).

    known: what is said of the other in another way than follows from its numbers.
    """
    own, theirs = _said(recipe), _said(other) | (known or {})
    names = [name for name in _WORDS if name != "variant" or recipe.variant]
    return [(_WORDS[name], own[name], "" if own[name] == theirs[name] else theirs[name]) for name in names]


def _said(recipe) -> dict[str, str]:
    """Return all numbers as a reader expects them, and those that follow from them."""
    values = asdict(recipe) | {"plain_epochs": recipe.plain, "bias_rate": recipe.biases}
    said = {name: _word(name, value) for name, value in values.items()}
    said["schedule"] = _schedule(recipe)
    if recipe.falls == "2012":
        said["bias_rate"] += ", never falls"
    if recipe.optimizer == "adam":
        said["momentum"] = _NONE
    if not recipe.augment:
        said["colour_noise"] = _word("colour_noise", 0)
    if said["colour_noise"] == _NONE:
        said["colour_components"] = said["plain_epochs"] = _NONE
    stored = networks.build(recipe.network, **recipe.arguments(classes=2)).stored
    return said | {"views": f"{views(stored, recipe.crop) if recipe.augment else 1:,}"}


def _schedule(recipe) -> str:
    if recipe.falls == "steps":
        return "by ten after epochs " + ", ".join(map(str, recipe.drop_epochs))
    if recipe.falls == "cosine":
        return "along half a cosine, to 0"
    if recipe.falls == "plateau":
        return "by ten when validation stops improving"
    scaled = "" if recipe.epochs == hand.EPOCHS else f", {hand.EPOCHS} epochs scaled to {recipe.epochs}"
    return f"as by hand in 2012{scaled}"


def _word(name: str, value) -> str:
    """Write a number as a reader expects it."""
    if name == "variant":
        return arguments.said(value) or _NONE
    if name == "augment":
        return "yes" if value else "no"
    if name == "colour_components":
        return COMPONENTS[value]
    if name == "mean_at":
        return f"at the {value}"
    if name == "optimizer":
        return _OPTIMIZERS[value]
    if name in ("class_weights", "colour_noise", "plain_epochs", "freeze") and not value:
        return _NONE
    if name == "freeze":
        return ", ".join(value)
    if name == "head_rate":
        return "as the others" if value == 1 else f"{value:g} times the others'"
    if name == "stop_after":
        return f"after {value} epochs" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
