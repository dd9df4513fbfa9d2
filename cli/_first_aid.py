"""`cualex train --overfit` and `--check-gradients`: first aid for a training that does not work; no run is written."""

import click

from cualex.cli import _output


def options(command):
    """Add both options to a command."""
    for option in (
        click.option(
            "--check-gradients",
            is_flag=True,
            help="Train nothing: compare each layer's gradients with differences of the loss, in float64 on the CPU.",
        ),
        click.option(
            "--overfit",
            type=click.IntRange(1),
            metavar="N",
            help="Train nothing that is kept: see if the network can learn N pictures by heart. Exit code 1 if not.",
        ),
    ):
        command = option(command)
    return command


def wanted(chosen: dict, resume: str | None) -> bool:
    """Say whether first aid is asked for, and not a training."""
    from cualex.errors import UsageError

    if chosen["overfit"] and chosen["check_gradients"]:
        raise UsageError("--overfit and --check-gradients: one after the other")
    if chosen["overfit"] and resume is not None:
        raise UsageError("--overfit begins a training of its own: leave --resume out")
    return bool(chosen["overfit"] or chosen["check_gradients"])


def recipe(chosen: dict, given):
    """Return the recipe for it: nothing that makes learning by heart harder."""
    from cualex.training import overfit

    return overfit.plain(given, chosen["overfit"], chosen["batch_size"]) if chosen["overfit"] else given


def give(chosen: dict, recipe, pack, kept, device: str, as_json: bool) -> None:
    """Do what is asked for on the training pictures, with the weights `kept`; leave with 1 where something is wrong."""
    well = (
        _overfit(recipe, pack, kept, chosen, device, as_json)
        if chosen["overfit"]
        else _check(recipe, pack, kept, as_json)
    )
    if not well:
        raise click.exceptions.Exit(1)


def _overfit(recipe, pack, kept, chosen: dict, device: str, as_json: bool) -> bool:
    """Learn some pictures by heart, and say what it means."""
    from cualex.training import overfit

    records = overfit.overfit(
        recipe, pack, chosen["overfit"], kept, device, chosen["precision"], _output.Compiling()
    )
    with _output.Progress("Learning by heart", overfit.UPDATES, "updates at the most") as progress:
        for fit in records:
            progress(fit.updates, f"loss {fit.loss:.3f}, {fit.right} of {fit.pictures} named right")
    right = f"{fit.right} of {fit.pictures} are named right"
    figures = f"after {fit.updates} updates the loss is {fit.loss:.3g}, and {right}"
    if as_json:
        _output.document({**vars(fit), "learned": fit.learned})
    elif fit.learned:
        click.echo(f"Learned: {figures}. Network, labels, preprocessing and rate work together.")
    else:
        click.echo(
            f"The network cannot even learn {fit.pictures} pictures: {figures}. The labels, the preprocessing or the "
            f"rate ({recipe.rate:g}) is wrong: try --lr {recipe.rate / 10:g}, look at the pictures (cualex check)."
        )
    return fit.learned


def _check(recipe, pack, kept, as_json: bool) -> bool:
    """Check the gradients of each layer, and name the first that is wrong."""
    from cualex.training import beginning, gradients

    begun, rows = beginning.begin(recipe, pack, kept), []
    stream = recipe.stream(pack, begun.network.crop)
    computing = [layer for layer in begun.network.layers.values() if layer.kind not in ("exchange", "join")]
    with _output.Progress("Checking gradients", len(computing), "layers") as progress:
        for row in gradients.check(begun, stream, recipe.seed):
            rows.append(row)
            progress(len(rows), row.layer)
    wrong = next((row for row in rows if not row.right), None)
    if as_json:
        listed = [{**vars(row), "largest": row.largest, "ok": row.right} for row in rows]
        _output.document({"rows": listed, "wrong": wrong and wrong.layer, "tolerance": gradients.TOLERANCE})
        return wrong is None
    _output.table([_cells(row) for row in reversed(rows)])
    said = f"largest relative differences, of which {gradients.TOLERANCE:g} is allowed"
    if wrong is None:
        click.echo(f"\nThe gradients of all layers are right ({said}).")
    else:
        click.echo(
            f"\nThe backward pass of {wrong.layer} is wrong ({said}). Gradients are made from the top down: what is "
            f"wrong below {wrong.layer} may be so because of it."
        )
    return wrong is None


def _cells(row) -> dict:
    """Write a row of the table: what the layer hands down, and what it has for its own parameters."""
    own = {last: _text(row.parameters.get(last)) for last in ("weight", "bias")}
    return {"layer": row.layer, "input": _text(row.dx), **own, "": "ok" if row.right else "WRONG"}


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return "too small" if value != value else f"{value:.1e}"
