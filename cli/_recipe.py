"""The recipe of a training: chosen by the set or by name, with the numbers that the user gave."""

from cualex.cli import _options, _output, _start
from cualex.cli._train_options import AUTO, CLASS_WEIGHTS, TrainOptions


def name(options: TrainOptions) -> str:
    """Return the name of the recipe; on the demo set, a network with a recipe for it takes "demo"."""
    from cualex.errors import UsageError
    from cualex.training import recipes

    if options.paper:
        if options.named not in (AUTO, "paper"):
            raise UsageError(f"--paper and --recipe {options.named} name two recipes: leave one of them out")
        return "paper"
    quick = options.named == AUTO and options.data == "demo" and options.network in recipes.QUICK
    return "demo" if quick else options.named


def begin(options: TrainOptions, images: int, found):
    """Return the recipe before the user's numbers, for a number of images; found: the weights to start from."""
    from cualex.devices import placement
    from cualex.training import automatic_recipe, finetuning, recipes

    if options.named == AUTO:
        cuda = placement.placement(options.device.partition(",")[0], towers=1).cuda
        tuned = found is not None
        recipe = automatic_recipe.choose(options.network, images, cuda, tuned, options.batch_size, options.crop)
    else:
        recipe = recipes.named(options.named, options.network if found or _start.given("network") else None)
    return finetuning.recipe(found, recipe) if found else recipe


def introduce(recipe, automatic, source, start, settings: dict) -> None:
    """Print in a line what was chosen, why, the estimated time, and how to choose otherwise."""
    from cualex.networks import arguments
    from cualex.training import estimate, recipe_table

    images, classes = len(source.splits["train"]), len(source.classes)
    validation = len(source.splits[source.validation or "train"])
    speed = estimate.measure(recipe, classes, **settings)
    took = _output.duration(speed.seconds(recipe, images, validation))
    network = ", ".join(filter(None, (recipe.network, arguments.said(recipe.variant))))
    device = "the CPU" if settings["device"].startswith("cpu") else "a GPU (no GPU has run it yet)"
    begins, other = "random weights", "--from WEIGHTS fine-tunes"
    if start:
        begins, other = f"the weights of {start}", "--scratch starts from random weights"
    changed = [row for row in recipe_table.rows(recipe, automatic) if row[2]]
    _output.say(
        f"Recipe for {images:,} images in {classes} classes on {device}: {network}, from {begins}, {recipe.epochs} "
        f"epochs, batch size {recipe.batch}, crops of {recipe.crop}, learning rate {recipe.rate:g}; about {took}. "
        f"To change it: give any option; {other}; --recipe paper is the paper's."
    )
    if changed:
        _rows("By option", "automatic", changed)


def table(recipe) -> None:
    """Print a recipe, a row a number, beside the paper's."""
    _rows("Recipe", "in the paper", recipe.against_paper())


def _rows(title: str, other: str, rows: list[tuple[str, str, str]]) -> None:
    width = max(24, *(len(here) for _, here, _ in rows))
    _output.say(f"{title:<31} {'here':<{width}} {other}")
    for what, here, there in rows:
        _output.say(f"  {what:<29} {here:<{width}} {there or 'the same'}")


def changed(recipe, options: TrainOptions):
    """Return a recipe with the numbers that the user gave; refuse those that exclude each other."""
    from cualex.errors import UsageError
    from cualex.training import finetuning, recipes

    schedule, drops = options.schedule, _epochs(options.drop_epochs)
    if drops and schedule not in (None, "steps"):
        raise UsageError(f"--drop-epochs belongs to --schedule steps, got --schedule {schedule}: leave one of them out")
    if options.optimizer and options.optimizer != recipe.optimizer:
        recipe = recipe.but(**recipes.RULES[options.optimizer])
    recipe = recipe.but(
        variant=recipe.variant | _options.read_variant(recipe.network, options.variant, ("classes", *finetuning.KEPT)),
        crop=options.crop,
        batch=options.batch_size,
        accumulate=options.accumulate,
        rate=options.lr,
        bias_rate=options.bias_lr,
        head_rate=options.head_lr,
        freeze=_layers(options.freeze),
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
    if options.dropout is not None and recipe.network not in recipes.DROPPING:
        raise UsageError(f"--dropout: {recipe.network} has no dropout layer; leave --dropout out")
    if options.colour_noise and not recipe.augment:
        raise UsageError("--colour-noise: --no-augment turns it off; leave one of them out")
    return recipe


def _layers(text: str | None) -> tuple[str, ...] | None:
    """Read a list of layers such as conv1,conv2."""
    if text is None:
        return None
    return () if text == "none" else tuple(name.strip() for name in text.split(",") if name.strip())


def _epochs(text: str | None) -> tuple[int, ...] | None:
    """Read a list of epochs such as 6,8."""
    from cualex.errors import UsageError

    if text is None:
        return None
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--drop-epochs {text}: expected epochs separated by commas, such as 6,8") from None
