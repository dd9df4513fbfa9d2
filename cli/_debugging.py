"""`cualex train --overfit` and `--check-gradients`: first aid for a training that does not work; no run is written."""

import click

from cualex.cli import _output

LISTED = 3  # images still named wrong, at the most


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
            help="Train nothing that is kept: see if the network can learn N pictures by heart, at the recipe's rate "
            "or a smaller one, or at --lr alone. Exit code 1 if not.",
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
    from cualex.training.debugging import overfit

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
    """Learn some images by heart, and say what it means."""
    from cualex.training.debugging import overfit, overfit_attempt

    count, ended = chosen["overfit"], []
    compiling, tries = _output.Compiling(), 1 if chosen["lr"] else overfit.TRIES
    records = overfit.overfit(recipe, pack, count, kept, device, chosen["precision"], compiling, tries)
    total = overfit_attempt.limit(recipe, count)  # of the first try, which is mostly the last; others may go beyond
    with _output.Progress("Learning by heart", total, "updates at the most") as progress:
        for fit in records:
            right = f"{fit.right} of {fit.pictures} named right"
            progress(min(fit.updates, total), f"rate {fit.rate:g}, loss {fit.loss:.3f}, {right}")
            if fit.ended:
                ended.append(fit)
    if as_json:
        _output.document({**vars(fit), "learned": fit.learned, "ended_tries": [_document(each) for each in ended]})
    elif fit.learned:
        click.echo(_learned(fit, ended))
    else:
        click.echo(_not_learned(ended, tries))
    return fit.learned


def _learned(fit, ended: list) -> str:
    """Say that the images are learned, at which rate where it is not the recipe's, and what that leaves open."""
    figures = f"after {fit.updates} updates the loss is {fit.loss:.3g}, and {_right(fit)}"
    open_ = "Wrong labels can be learned by heart too: validation shows those, and cualex check some of them."
    if not ended:
        return f"Learned: {figures}. Network, preprocessing and rate work together. {open_}"
    before = "; ".join(f"at rate {each.rate:g} {_outcome(each)}" for each in ended)
    return (
        f"Learned at rate {fit.rate:g}: {figures}. Network and preprocessing work together. But {before}. Images that "
        "come again and again may do that at a rate which suits a training; if the training does it too, give it "
        f"--lr {fit.rate:g}. {open_}"
    )


def _not_learned(ended: list, tries: int) -> str:
    """Say how it failed at each rate, and what to do."""
    last = ended[-1]
    cannot = f"The network cannot even learn {last.pictures} pictures: "
    if last.contradictions:
        several, first = sum(map(len, last.contradictions)), ", ".join(last.contradictions[0])
        return (
            f"{cannot}{several} of them are the same as others and have other classes ({first}), so that at most "
            f"{last.right} can be named right. No training mends that: look at the folders (cualex check)."
        )
    if tries == 1:
        suspects = f"The labels, the preprocessing or the rate ({last.rate:g})"
        found, way = _outcome(last), "leave --lr out, which tries other rates"
    else:
        suspects, way = "The labels or the preprocessing", "no other rate mends it"
        found = "; ".join(f"at rate {each.rate:g} {_outcome(each)}" for each in ended)
    return f"{cannot}{found}. {suspects} is wrong: {way}, look at the pictures (cualex check)."


def _outcome(fit) -> str:
    """Say how a try ended, and which images are still wrong where those are few."""
    if not fit.evaluated:
        return f"{fit.ended} at update {fit.updates}"
    text = f"after {fit.updates} updates the loss is {fit.loss:.3g} ({fit.ended}), and {_right(fit)}"
    named = "; ".join(f"{name} is {own}, named {other}" for name, own, other in fit.wrong)
    return f"{text} ({named})" if 0 < len(fit.wrong) <= LISTED else text


def _right(fit) -> str:
    return f"{fit.right} of {fit.pictures} are named right"


def _document(fit) -> dict:
    return {
        "rate": fit.rate,
        "updates": fit.updates,
        "loss": fit.loss,
        "right": fit.right,
        "ended": fit.ended,
    }


def _check(recipe, pack, kept, as_json: bool) -> bool:
    """Check the gradients of each layer, and name the first that is wrong."""
    from cualex.training import finetuning
    from cualex.training.debugging import gradient_check

    begun, rows = finetuning.begin(recipe, pack, kept), []
    stream = recipe.stream(pack, begun.network.crop)
    computing = [layer for layer in begun.network.layers.values() if layer.kind not in ("exchange", "join")]
    with _output.Progress("Checking gradients", len(computing), "layers") as progress:
        for row in gradient_check.check(begun, stream, recipe.seed):
            rows.append(row)
            progress(len(rows), row.layer)
    wrong = next((row for row in rows if not row.right), None)
    if as_json:
        listed = [{**vars(row), "largest": row.largest, "ok": row.right} for row in rows]
        _output.document({"rows": listed, "wrong": wrong and wrong.layer, "tolerance": gradient_check.TOLERANCE})
        return wrong is None
    _output.table([_cells(row) for row in reversed(rows)])
    said = f"largest relative differences, of which {gradient_check.TOLERANCE:g} is allowed"
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
