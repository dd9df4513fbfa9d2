"""`cualex train --overfit`, `--check-gradients` and `--find-lr`: checks before a training, which write no run."""

import click

from cualex.cli import _output, _show
from cualex.cli._train_values import TrainOptions

LISTED = 3  # misclassified images named, at most
PLOT = "find-lr"  # its name without .png
A_DECADE = 3  # rows of the table of --find-lr


def refuse(options: TrainOptions) -> None:
    """Raise UsageError for checks that do not go together, and OutputError where the plot cannot be written."""
    from cualex.errors import UsageError
    from cualex.system import files

    asked = {"--overfit": options.overfit, "--check-gradients": options.check_gradients, "--find-lr": options.find_lr}
    names = [name for name, value in asked.items() if value]
    if len(names) > 1:
        raise UsageError(f"{names[0]} and {names[1]} are two checks: run one after the other")
    for name in set(names) - {"--check-gradients"}:
        if options.resume is not None:
            raise UsageError(f"{name} starts from initial weights, --resume does not: leave --resume out")
    if options.find_lr and options.lr is not None:
        raise UsageError("--find-lr tries all learning rates, --lr names one: leave one of them out")
    if options.find_lr:
        files.require_writable(_show.target(None, PLOT))  # now, and not after packing and the test


def recipe(options: TrainOptions, given):
    """Return the recipe of the check: for --overfit without regularisation and augmentation."""
    from cualex.training.debugging import overfit

    return overfit.plain(given, options.overfit, options.batch_size) if options.overfit else given


def give(options: TrainOptions, setup, pack, kept) -> None:
    """Run the check on the training images, from the weights `kept` if there are any; exit with 1 if it fails."""
    if options.find_lr:
        passed = _find_lr(setup, pack, kept, options.as_json)
    elif options.overfit:
        passed = _overfit(setup, pack, kept, options.overfit, options)
    else:
        passed = _check(setup.recipe, pack, kept, options.as_json)
    if not passed:
        raise click.exceptions.Exit(1)


def _overfit(setup, pack, kept, count: int, options: TrainOptions) -> bool:
    """Overfit some images, print what that means, and return whether it worked."""
    from cualex.training.debugging import overfit, overfit_attempt

    ended = []
    compiling, tries = _output.Compiling(), 1 if options.lr else overfit.TRIES
    precision = setup.options.precision
    records = overfit.overfit(setup.recipe, pack, count, kept, setup.device, precision, compiling, tries)
    # Of the first try, which is mostly the last; others may go beyond.
    total = overfit_attempt.limit(setup.recipe, count)
    with _output.Progress("Overfitting", total, "updates at most") as progress:
        for fit in records:
            right = f"{fit.right} of {fit.pictures} correct"
            progress(min(fit.updates, total), f"rate {fit.rate:g}, loss {fit.loss:.3f}, {right}")
            if fit.ended:
                ended.append(fit)
    if options.as_json:
        _output.document({**vars(fit), "learned": fit.learned, "ended_tries": [_document(each) for each in ended]})
    elif fit.learned:
        _output.echo(_learned(fit, ended))
    else:
        _output.echo(_not_learned(ended, tries))
    return fit.learned


def _learned(fit, ended: list) -> str:
    """Return the result of a passed check: at which rate, and what it does not show."""
    figures = f"after {fit.updates} updates the loss is {fit.loss:.3g}, and {_right(fit)}"
    open_ = "Wrong labels can be overfitted too: validation shows them, and `cualex check` some of them."
    if not ended:
        return f"Passed: {figures}. Network, preprocessing and learning rate work together. {open_}"
    before = "; ".join(f"at rate {each.rate:g} {_outcome(each)}" for each in ended)
    return (
        f"Passed at learning rate {fit.rate:g}: {figures}. Network and preprocessing work together. But {before}. A "
        "few repeated images can do that at a rate that suits a whole data set; if the training does it too, use "
        f"--lr {fit.rate:g}. {open_}"
    )


def _not_learned(ended: list, tries: int) -> str:
    """Return the result of a failed check: what happened at each rate, and what to do."""
    last = ended[-1]
    cannot = f"The network cannot overfit even {last.pictures} images: "
    if last.contradictions:
        several, first = sum(map(len, last.contradictions)), ", ".join(last.contradictions[0])
        return (
            f"{cannot}{several} of them are duplicates with different labels ({first}), so at most {last.right} can be "
            "correct. Correct the labels; `cualex check` lists such images."
        )
    if tries == 1:
        suspects = f"The labels, the preprocessing or the learning rate ({last.rate:g})"
        found, way = _outcome(last), "leave --lr out to try other learning rates"
    else:
        suspects, way = "The labels or the preprocessing", "no other learning rate helps"
        found = "; ".join(f"at rate {each.rate:g} {_outcome(each)}" for each in ended)
    return f"{cannot}{found}. {suspects} must be wrong: {way}, and look at the images (`cualex check`)."


def _outcome(fit) -> str:
    """Return how a try ended, and which images are misclassified if they are few."""
    if not fit.evaluated:
        return f"{fit.ended} at update {fit.updates}"
    text = f"after {fit.updates} updates the loss is {fit.loss:.3g} ({fit.ended}), and {_right(fit)}"
    named = "; ".join(f"{name} is {own}, predicted {other}" for name, own, other in fit.wrong)
    return f"{text} ({named})" if 0 < len(fit.wrong) <= LISTED else text


def _right(fit) -> str:
    return f"{fit.right} of {fit.pictures} are correct"


def _document(fit) -> dict:
    return {
        "rate": fit.rate,
        "updates": fit.updates,
        "loss": fit.loss,
        "right": fit.right,
        "ended": fit.ended,
    }


def _find_lr(setup, pack, kept, as_json: bool) -> bool:
    """Run the learning-rate range test, plot it, print a table and the suggestion; return whether there is one."""
    from cualex.data import batches
    from cualex.plots import rate_range
    from cualex.training.debugging import range_test

    recipe = setup.recipe if setup.options.batch_size else setup.recipe.but(batch=min(setup.recipe.batch, len(pack)))
    batches.check_batch(pack, recipe.batch)
    steps = range_test.Steps()
    with _output.Progress("Raising the rate", range_test.UPDATES, "updates at most") as progress:
        records = range_test.run(recipe, pack, kept, setup.device, setup.options.precision, _output.Compiling())
        for step in records:
            steps.append(step)
            progress(step.update, f"rate {step.rate:.1e}", f"loss {step.smoothed:.3f}")
    rate = steps.suggestion
    path = _show.target(None, PLOT)
    rate_range.draw(steps, rate, path)
    if as_json:
        rows = [vars(step) for step in steps]
        _output.document(
            {"suggestion": rate, "rule": steps.rule, "plot": path, "batch_size": recipe.batch, "rows": rows}
        )
        return rate is not None
    every = range_test.UPDATES // (A_DECADE * 7)
    shown = [step for step in steps if step.update % every == 1 or step is steps[-1]]
    _output.table(
        [{"rate": f"{step.rate:.1e}", "loss": f"{step.smoothed:.4g}"} for step in shown], right=("rate", "loss")
    )
    if rate is None:
        said = "No suggestion: the loss has not fallen at any rate. --overfit 32 looks for the cause."
    else:
        said = f"Suggestion: --lr {rate:g}, {steps.rule}; batch size {recipe.batch}."
    for line in ("", said, f"Plot: {path}"):
        _output.echo(line)
    return rate is not None


def _check(recipe, pack, kept, as_json: bool) -> bool:
    """Run the gradient check, print its table and the first wrong layer, and return whether it passed."""
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
    said = f"largest relative differences; the tolerance is {gradient_check.TOLERANCE:g}"
    if wrong is None:
        _output.echo(f"\nThe gradients of all layers are correct ({said}).")
    else:
        _output.echo(
            f"\nThe backward pass of {wrong.layer} is wrong ({said}). Gradients are computed from the output down, so "
            f"the layers below {wrong.layer} may be wrong because of it."
        )
    return wrong is None


def _cells(row) -> dict:
    """Return a row of the table: the gradients of a layer's input and parameters."""
    own = {last: _text(row.parameters.get(last)) for last in ("weight", "bias")}
    return {"layer": row.layer, "input": _text(row.dx), **own, "": "ok" if row.right else "WRONG"}


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return "too small" if value != value else f"{value:.1e}"
