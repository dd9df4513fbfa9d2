"""A recipe as a table: a row a hyperparameter, beside the paper's value."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cualex import networks
from cualex.data.batches import views
from cualex.networks import arguments
from cualex.training.schedules import EPOCHS_2012

if TYPE_CHECKING:
    from cualex.training.recipes import Recipe

COMPONENTS = {"data": "of the training images", "2012": "of ILSVRC-2012"}

_WORDS = {
    "network": "network",
    "variant": "network variant",
    "crop": "input size (crop), pixels",
    "batch": "batch size",
    "accumulate": "micro-batches per update",
    "optimizer": "optimizer",
    "rate": "learning rate",
    "bias_rate": "learning rate of biases",
    "head_rate": "learning rate of last layer",
    "freeze": "frozen layers",
    "multipliers": "multipliers of layers",
    "momentum": "momentum",
    "decay": "weight decay (L2)",
    "dropout": "dropout probability",
    "class_weights": "class weights in the loss",
    "epochs": "epochs (maximum)",
    "schedule": "learning-rate schedule",
    "warmup": "warm-up of the rate, epochs",
    "trust": "trust coefficient of LARS",
    "stop_after": "early stopping, patience",
    "augment": "random crops and flips",
    "views": "augmented views per image",
    "colour_noise": "PCA colour noise, std",
    "colour_components": "principal components",
    "plain_epochs": "last epochs without noise",
    "mean_at": "mean image subtracted",
}
_OF_FEW = ("variant", "multipliers", "warmup")  # which most recipes and the paper are without
_NONE = "none"
_OPTIMIZERS = {"momentum": "SGD with momentum", "adam": "Adam, as in Keras", "lars": "LARS"}


PAPER_VIEWS = {"views": "2,048"}  # as the paper counts them, without the last offset of either axis


def rows(recipe: Recipe, other: Recipe, known: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return rows of (hyperparameter, value, value in `other` or "" if equal).

    known: texts for values of the other that do not follow from its fields.
    """
    ours, theirs = _values(recipe), _values(other) | (known or {})
    absent = {name for name in _OF_FEW if not getattr(recipe, name)} | ({"trust"} - _trusts(recipe))
    names = [name for name in _WORDS if name not in absent]
    return [(_WORDS[name], ours[name], "" if ours[name] == theirs[name] else theirs[name]) for name in names]


def _values(recipe: Recipe) -> dict[str, str]:
    """Return all hyperparameters as text, derived ones included."""
    values = asdict(recipe) | {"plain_epochs": recipe.plain, "bias_rate": recipe.biases}
    values = {name: _word(name, value) for name, value in values.items()}
    values["schedule"] = _schedule(recipe)
    if recipe.falls == "2012":
        values["bias_rate"] += ", constant"
    if recipe.optimizer == "adam":
        values["momentum"] = _NONE
    if not _trusts(recipe):
        values["trust"] = _NONE
    if not recipe.augment:
        values["colour_noise"] = _word("colour_noise", 0)
    if values["colour_noise"] == _NONE:
        values["colour_components"] = values["plain_epochs"] = _NONE
    stored = networks.build(recipe.network, **recipe.arguments(classes=2)).stored
    return values | {"views": f"{views(stored, recipe.crop) if recipe.augment else 1:,}"}


def _trusts(recipe: Recipe) -> set[str]:
    return {"trust"} if recipe.optimizer == "lars" else set()


def _schedule(recipe: Recipe) -> str:
    if recipe.falls == "steps":
        return "/10 after epochs " + ", ".join(map(str, recipe.drop_epochs))
    if recipe.falls == "cosine":
        return "cosine to 0"
    if recipe.falls == "poly":
        return "(1 - done)^2 to 0"
    if recipe.falls == "plateau":
        return "/10 on a plateau"
    scaled = "" if recipe.epochs == EPOCHS_2012 else f", {EPOCHS_2012} epochs scaled to {recipe.epochs}"
    return f"manual, as in 2012{scaled}"


def _word(name: str, value: Any) -> str:
    """Return the value of a field as text."""
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
    if name in ("class_weights", "colour_noise", "plain_epochs", "freeze", "warmup") and not value:
        return _NONE
    if name == "multipliers":
        return ", ".join(f"{key}={factor:g}" for key, factor in value.items()) or _NONE
    if name == "freeze":
        return ", ".join(value)
    if name == "head_rate":
        return "the same" if value == 1 else f"{value:g} times the others'"
    if name == "stop_after":
        return f"{value} epochs" if value else _NONE
    return f"{value:g}" if isinstance(value, float) else str(value)
