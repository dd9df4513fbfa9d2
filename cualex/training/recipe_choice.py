"""The recipe of a training: chosen by the data set or by name, with the user's hyperparameters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cualex import networks
from cualex.devices import placement
from cualex.errors import UsageError
from cualex.training import automatic_recipe, finetuning, large_batches, recipes
from cualex.training.options import AUTO, CLASS_WEIGHTS, Options
from cualex.training.recipes import Recipe
from cualex.training.run import restore
from cualex.weights import Weights

ELSEWHERE = ("classes", *finetuning.KEPT)  # arguments of a network that --variant does not give


def name(options: Options) -> str:
    """Return the name of the recipe; on the demo set, a network with a recipe for it takes "demo"."""
    if options.paper:
        if options.recipe not in (AUTO, "paper"):
            raise UsageError(f"--paper and --recipe {options.recipe} name two recipes: leave one of them out")
        return "paper"
    quick = options.recipe == AUTO and options.data == "demo" and options.network in recipes.QUICK
    return "demo" if quick else options.recipe


def begin(options: Options, images: int, found: Weights | None) -> Recipe:
    """Return the recipe before the user's numbers, for a number of images; found: the weights to start from."""
    if options.described:
        recipe = restore.recipe(dict(options.described))
        if "network" in options.given and options.network != recipe.network:
            recipe = recipe.but(network=options.network, variant={})
    elif options.recipe == AUTO:
        cuda = placement.named(options.device).startswith("cuda")
        tuned = found is not None
        recipe = automatic_recipe.choose(options.network, images, cuda, tuned, options.batch_size, options.crop)
    else:
        recipe = recipes.named(options.recipe, options.network if found or "network" in options.given else None)
        if options.recipe == "lars":
            variant = networks.read_variant(recipe.network, options.variant, ELSEWHERE)
            given = recipe.but(variant=recipe.variant | variant, crop=options.crop, batch=options.batch_size)
            recipe = large_batches.recipe(given)
    return finetuning.recipe(found, recipe, options.described or ()) if found else recipe


def check(options: Options) -> None:
    """Raise UsageError for numbers that exclude each other, whatever the data set is."""
    base = recipes.named("paper", options.network)
    named = restore.recipe(dict(options.described)) if options.described else recipes.NAMED.get(options.recipe, base)
    changed(base.but(optimizer=named.optimizer), options)


def changed(recipe: Recipe, options: Options) -> Recipe:
    """Return a recipe with the user's numbers; raise UsageError for those that exclude each other."""
    schedule, drops = options.schedule, _epochs(options.drop_epochs)
    if drops and schedule not in (None, "steps"):
        raise UsageError(f"--drop-epochs belongs to --schedule steps, got --schedule {schedule}: leave one of them out")
    if options.optimizer and options.optimizer != recipe.optimizer:
        recipe = recipe.but(**recipes.RULES[options.optimizer])
    recipe = recipe.but(
        variant=recipe.variant | networks.read_variant(recipe.network, options.variant, ELSEWHERE),
        crop=options.crop,
        batch=options.batch_size,
        accumulate=options.accumulate,
        rate=options.lr,
        bias_rate=options.bias_lr,
        head_rate=options.head_lr,
        warmup=options.warmup,
        trust=options.trust,
        freeze=_layers(options.freeze),
        multipliers=multipliers(options.multipliers),
        momentum=options.momentum,
        decay=options.weight_decay,
        dropout=options.dropout,
        class_weights=CLASS_WEIGHTS.get(options.class_weights or ""),
        epochs=options.epochs,
        schedule="steps" if drops else schedule,
        drop_epochs=drops,
        stop_after=options.stop_after,
        augment=options.augment,
        colour_noise=options.colour_noise,
        colour_components=options.colour_components,
        plain_epochs=options.plain_epochs,
        mean_at=options.mean_at,
    )
    if recipe.falls == "steps" and not recipe.drop_epochs:
        raise UsageError("--schedule steps needs epochs after which to divide the rate: add them, as --drop-epochs 6,8")
    if recipe.falls == "2012" and options.plain_epochs is not None:
        raise UsageError("--plain-epochs: --schedule 2012 sets them itself; leave one of them out")
    if recipe.optimizer == "adam" and options.momentum is not None:
        raise UsageError("--momentum: --optimizer adam has betas 0.9 and 0.999 instead; leave --momentum out")
    if recipe.optimizer != "lars" and options.trust is not None:
        raise UsageError(f"--trust: belongs to --optimizer lars, got {recipe.optimizer}; leave one of them out")
    if options.dropout is not None and recipe.network not in recipes.DROPPING:
        raise UsageError(f"--dropout: {recipe.network} has no dropout layer; leave --dropout out")
    if options.colour_noise and not recipe.augment:
        raise UsageError("--colour-noise: --no-augment turns it off; leave one of them out")
    return recipe


def _layers(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the layers of a sequence, or of a text such as conv1,conv2."""
    if given is None or not isinstance(given, str):
        return None if given is None else tuple(given)
    return () if given == "none" else tuple(name.strip() for name in given.split(",") if name.strip())


def multipliers(given: str | Mapping[str, float] | None) -> dict[str, float] | None:
    """Return multipliers of a mapping, or of a text such as conv1.lr=0.1,conv1.decay=4; none for "none"."""
    if given is None or given == "none":
        return None if given is None else {}
    words: list[tuple[str, Any]] = list(given.items()) if isinstance(given, Mapping) else []
    if isinstance(given, str):
        words = [(name.strip(), value) for name, _, value in (word.partition("=") for word in given.split(","))]
    found: dict[str, float] = {}
    for name, value in words:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if name.rpartition(".")[2] not in ("lr", "decay") or "." not in name or not 0 <= number < math.inf:
            raise UsageError(
                f"--set {name}={value}: expected LAYER.lr or LAYER.decay, and a factor of at least 0, as conv1.lr=0.1"
            )
        if name in found:
            raise UsageError(f"--set: {name} is given twice")
        found[name] = number
    return found


def _epochs(given: str | Sequence[int] | None) -> tuple[int, ...] | None:
    """Return the epochs of a sequence, or of a text such as 6,8."""
    if given is None:
        return None
    try:
        return tuple(int(number) for number in (given.split(",") if isinstance(given, str) else given))
    except (TypeError, ValueError):
        raise UsageError(f"--drop-epochs {given}: expected epochs separated by commas, such as 6,8") from None
