"""The options of `cualex train` that are numbers of the recipe, and the recipe that follows from them."""

import click

from cualex.cli import _options, _output, _start, _variant

OPTIMIZERS, SCHEDULES = ("momentum", "adam"), ("plateau", "steps", "cosine", "2012")
AUTO = "auto"
NAMES = ("paper", "demo", "cifar", "lenet", "batchnorm", "2012", "caffe", "torchvision")
CLASS_WEIGHTS = {"balanced": "balanced", "none": ""}  # as given, and in the recipe


def options(command):
    """Add all of them to a command."""
    for option in reversed(_ALL):
        command = option(command)
    return command


_ALL = (
    click.option(
        "--recipe",
        "named",
        type=click.Choice([AUTO, *NAMES]),
        default=AUTO,
        show_default=True,
        help="Where the numbers below come from: auto chooses them by the number of images and the kind of device, "
        "paper is the network's published recipe, the others are recipes by name.",
    ),
    click.option("--paper", is_flag=True, help="The same as --recipe paper."),
    _variant.option,
    _options.crop,
    click.option("--epochs", type=click.IntRange(1), help="Passes over the training pictures, at most."),
    _options.batch_size(),
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        metavar="N",
        help="Compute a batch in N parts, one after the other in the memory of one, and update once.",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(OPTIMIZERS),
        help="The update rule: the paper's, or Adam as in Keras.",
    ),
    click.option("--lr", type=click.FloatRange(0, min_open=True), help="Learning rate."),
    click.option(
        "--bias-lr",
        type=click.FloatRange(0, min_open=True),
        metavar="RATE",
        help="Learning rate of the biases, as --lr if not given; it falls with the other. In the schedule of 2012 it "
        "is twice --lr if not given, and stays.",
    ),
    click.option(
        "--head-lr",
        type=click.FloatRange(0, min_open=True),
        metavar="FACTOR",
        help="The last dense layer learns at so many times the rate.",
    ),
    click.option("--freeze", metavar="LAYER,...", help="Layers that do not learn, such as conv1,conv2; none for none."),
    click.option(
        "--momentum",
        type=click.FloatRange(0, 1, max_open=True),
        help="Share of the last update that goes on.",
    ),
    click.option("--weight-decay", type=click.FloatRange(0), help="Share of the weights lost, times the rate."),
    click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Share dropped; 0 for none."),
    click.option(
        "--class-weights",
        type=click.Choice([*CLASS_WEIGHTS]),
        help="For classes of uneven size: in the training loss an image counts n / (classes * images of its class) "
        "times. Validation stays unweighted.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        help="How the rate falls: when validation stops improving (the paper's rule), after --drop-epochs, along a "
        "cosine, or as the authors did it by hand in 2012, who also froze conv1.",
    ),
    click.option(
        "--drop-epochs",
        metavar="N,N,...",
        help="Divide the rate by ten after these epochs: --schedule steps.",
    ),
    click.option(
        "--stop-after",
        type=click.IntRange(0),
        metavar="N",
        help="End the training after N epochs without gain on the validation pictures; 0 for never.",
    ),
    click.option(
        "--augment/--no-augment",
        default=None,
        help="Random crops, mirror images and colour noise, or none of these.",
    ),
    click.option(
        "--colour-noise",
        type=click.FloatRange(0),
        metavar="DEVIATION",
        help="Shift the colours of a picture by this share of what they vary in the set: 0.1 in the paper, 0 for none.",
    ),
    click.option(
        "--colour-components",
        type=click.Choice(["data", "2012"]),
        help="Whose principal components the noise is along: the training pictures', or those of ILSVRC-2012.",
    ),
    click.option(
        "--mean-at",
        type=click.Choice(["crop", "centre"]),
        help="Where the mean picture is taken: at the crop, or at its centre for every crop, as in 2012.",
    ),
    click.option("--plain-epochs", type=click.IntRange(0), metavar="N", help="The last epochs have no colour noise."),
)


def name(chosen: dict, data: str, network: str) -> str:
    """Return which recipe it is, by its name; on the demo set a network that has a recipe for it takes that."""
    from cualex.errors import UsageError
    from cualex.training import recipes

    named = chosen["named"]
    if chosen["paper"]:
        if named not in (AUTO, "paper"):
            raise UsageError(f"--paper with --recipe {named}: leave one of them out")
        return "paper"
    return "demo" if named == AUTO and data == "demo" and network in recipes.QUICK else named


def begin(chosen: dict, images: int, network: str, found):
    """Return the recipe before the user's numbers, for so many images; `found` are the weights to begin with."""
    from cualex.devices import placement
    from cualex.training import automatic_recipe, finetuning, recipes

    if chosen["named"] == AUTO:
        cuda = placement.placement(chosen["device"].partition(",")[0], towers=1).cuda
        tuned, batch, crop = found is not None, chosen["batch_size"], chosen["crop"]
        recipe = automatic_recipe.choose(network, images, cuda, tuned, batch, crop)
    else:
        recipe = recipes.named(chosen["named"], network if found or _start.given("network") else None)
    return finetuning.recipe(found, recipe) if found else recipe


def introduce(recipe, automatic, source, start, settings: dict) -> None:
    """Say in a line what was chosen, why, how long it will take, and how to choose otherwise."""
    from cualex.networks import arguments
    from cualex.training import estimate, recipe_table

    images, classes = len(source.splits["train"]), len(source.classes)
    validation = len(source.splits[source.validation or "train"])
    speed = estimate.measure(recipe, classes, **settings)
    took = _output.duration(speed.seconds(recipe, images, validation))
    network = ", ".join(filter(None, (recipe.network, arguments.said(recipe.variant))))
    device = "the CPU" if settings["device"].startswith("cpu") else "a GPU (no GPU has run it yet)"
    begins, other = "random weights", "--from WEIGHTS begins with others"
    if start:
        begins, other = f"the weights of {start}", "--scratch begins with random weights"
    changed = [row for row in recipe_table.rows(recipe, automatic) if row[2]]
    _output.say(
        f"Recipe for {images:,} images in {classes} classes on {device}: {network}, from {begins}, {recipe.epochs} "
        f"epochs in batches of {recipe.batch}, crops of {recipe.crop}, learning rate {recipe.rate:g}; about {took}. "
        f"To choose otherwise: any option, {other}, --recipe paper is the paper's."
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


def changed(recipe, chosen: dict):
    """Return a recipe with the numbers that the user gave; refuse those that do not go together."""
    from cualex.errors import UsageError
    from cualex.training import finetuning, recipes

    schedule, drops = chosen["schedule"], _epochs(chosen["drop_epochs"])
    if drops and schedule not in (None, "steps"):
        raise UsageError(f"--drop-epochs with --schedule {schedule}: leave one of them out")
    if chosen["optimizer"] and chosen["optimizer"] != recipe.optimizer:
        recipe = recipe.but(**recipes.RULES[chosen["optimizer"]])
    recipe = recipe.but(
        variant=recipe.variant | _variant.read(recipe.network, chosen["variant"], ("classes", *finetuning.KEPT)),
        crop=chosen["crop"],
        batch=chosen["batch_size"],
        accumulate=chosen["accumulate"],
        rate=chosen["lr"],
        bias_rate=chosen["bias_lr"],
        head_rate=chosen["head_lr"],
        freeze=_layers(chosen["freeze"]),
        momentum=chosen["momentum"],
        decay=chosen["weight_decay"],
        dropout=chosen["dropout"],
        class_weights=CLASS_WEIGHTS.get(chosen["class_weights"]),
        epochs=chosen["epochs"],
        schedule="steps" if drops else schedule,
        drop_epochs=drops,
        stop_after=chosen["stop_after"],
        augment=chosen["augment"],
        colour_noise=chosen["colour_noise"],
        colour_components=chosen["colour_components"],
        plain_epochs=chosen["plain_epochs"],
        mean_at=chosen["mean_at"],
    )
    if recipe.falls == "steps" and not recipe.drop_epochs:
        raise UsageError("--schedule steps: say after which epochs, as in --drop-epochs 6,8")
    if recipe.falls == "2012" and chosen["plain_epochs"] is not None:
        raise UsageError("--plain-epochs with --schedule 2012, which has its own: leave one of them out")
    if recipe.optimizer == "adam" and chosen["momentum"] is not None:
        raise UsageError("--momentum with --optimizer adam, which has averages of its own: leave one of them out")
    if chosen["dropout"] is not None and recipe.network not in recipes.DROPPING:
        raise UsageError(f"--dropout: {recipe.network} has no dropout; leave the option out")
    if chosen["colour_noise"] and not recipe.augment:
        raise UsageError("--colour-noise with --no-augment, which switches it off: leave one of them out")
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
        raise UsageError(f"--drop-epochs {text}: expected whole numbers such as 6,8") from None
