"""The recipe of a training as its command prints it."""

from cualex.cli import _output


def introduce(setup, verbose: bool) -> None:
    """Print the recipe: what was chosen by the data set, in a line, and what differs from it or from the paper.

    verbose: all hyperparameters, beside the paper's.
    """
    from cualex.training import recipe_table

    recipe = setup.recipe
    if setup.automatic:
        _output.say(_chosen(setup))
    if verbose:
        _table("Recipe", "in the paper", recipe.against_paper())
    elif setup.automatic:
        _table("By option", "automatic", _different(recipe_table.rows(recipe, setup.automatic)))
    else:
        _table("Not as in the paper (-v: all)", "in the paper", _different(recipe.against_paper()))


def _chosen(setup) -> str:
    """Return what was chosen, why, the estimated time, and how to choose otherwise."""
    from cualex.networks import arguments
    from cualex.training import estimate

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
    epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
    return (
        f"Recipe for {images:,} images in {classes} classes on {device}: {network}, from {begins}, {epochs}, "
        f"batch size {recipe.batch}, crops of {recipe.crop}, learning rate {recipe.rate:g}; about {took}. "
        f"To change it: give any option; {other}; --recipe paper is the paper's."
    )


def _different(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [row for row in rows if row[2]]


def _table(title: str, other: str, rows: list[tuple[str, str, str]]) -> None:
    """Print rows of (hyperparameter, value, value in the other recipe or "" if equal); nothing without rows."""
    if not rows:
        return
    cells = [(title, "here", other), *((f"  {what}", here, there or "the same") for what, here, there in rows)]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    for what, here, there in cells:
        _output.say(f"{what:<{widths[0]}}  {here:<{widths[1]}}  {there}")
