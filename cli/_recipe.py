"""The recipe of a training as its command prints it."""

from cualex.cli import _output


def introduce(setup) -> None:
    """Print in a line what was chosen, why, the estimated time, and how to choose otherwise."""
    from cualex.networks import arguments
    from cualex.training import estimate, recipe_table

    recipe, source, start = setup.recipe, setup.source, setup.options.weights
    images, classes = len(source.splits["train"]), len(source.classes)
    validation = len(source.splits[setup.validation])
    speed = estimate.measure(recipe, classes, device=setup.device, precision=setup.options.precision)
    took = _output.duration(speed.seconds(recipe, images, validation))
    network = ", ".join(filter(None, (recipe.network, arguments.said(recipe.variant))))
    device = "the CPU" if setup.device.startswith("cpu") else "a GPU (no GPU has run it yet)"
    begins, other = "random weights", "--from WEIGHTS fine-tunes"
    if start:
        begins, other = f"the weights of {start}", "--scratch starts from random weights"
    changed = [row for row in recipe_table.rows(recipe, setup.automatic) if row[2]]
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
