"""What a resumed training goes on from: the run's own arguments, checked, and the schedule where it was."""

import json
import shlex
from dataclasses import fields

from cualex.errors import UsageError
from cualex.networks import arguments
from cualex.system import environment, files
from cualex.training.recipes import Recipe
from cualex.training.run import Run, conditions
from cualex.weights import Weights

FIXED = ("network", "variant", "crop", "seed")  # of a recipe; what else there is may change


def open_run(run: Run, recipe: Recipe, pack, validation, description: dict | None) -> Weights | None:
    """Write what is known before the first update; return the checkpoint of a run that has begun.

    Raise DataError or UsageError where the pictures or the recipe are of another run.
    """
    found, before = conditions.pictures(pack, validation), {}
    files.sweep(run.path)  # one that has not begun too: it may have been killed before
    if run.begun:
        before = run.arguments()
        check(run, recipe)
        conditions.check_pictures(before.get("pictures"), found)
        run.go_on()
    kept = run.checkpoint()
    arguments = {
        **(before if description is None else description),
        "recipe": recipe.described(),
        "pictures": found,
    }
    skipped = dict.fromkeys((*pack.skipped, *validation.skipped))
    run.describe(arguments, environment.describe(), pack.classes, skipped)
    return kept


def recipe(said: dict | None) -> Recipe:
    """Make a recipe of what `Recipe.described` returned, read from a file."""
    unknown = sorted(set(said or {}) - {field.name for field in fields(Recipe)})
    if unknown or not said:
        raise UsageError(
            f"this run has {'the recipe of another version of cualex' if said else 'no recipe'}. Start a new run."
        )
    return Recipe(**{name: _plain(value) for name, value in said.items()})


def check(run: Run, wanted: Recipe) -> None:
    """Refuse a run that has come to its end and is to go no further, or cannot, and a recipe for other draws."""
    before, outcome = check_fixed(run, wanted), run.outcome()
    if outcome and not run.resumable:
        data = shlex.quote(str(run.arguments().get("data", "DATA")))
        raise UsageError(
            f"{run.path} is finished, after {outcome['epochs']} epochs, and its checkpoints were removed, for lack of "
            f"--keep. Start a new run from its weights: cualex train {data} --from "
            f"{shlex.quote(str(run.path / 'best.safetensors'))}"
        )
    if outcome and (wanted == before or wanted.epochs <= outcome["epochs"]):
        raise UsageError(f"{run.path} is finished, after {outcome['epochs']} epochs. Give more --epochs to continue.")


def check_fixed(run: Run, wanted: Recipe) -> Recipe:
    """Return a run's own recipe; refuse a run whose recipe is for another network or other draws than `wanted`."""
    before = recipe(run.arguments().get("recipe"))
    for name in FIXED:
        if (expected := getattr(before, name)) != (got := getattr(wanted, name)):
            if name == "variant":
                expected, got = (arguments.said(each) or "none" for each in (expected, got))
            raise UsageError(f"{run.path}: its {name} is {expected}, got {got}, but it cannot change. Start a new run.")
    return before


def restore(schedule, state: dict, before: Recipe) -> None:
    """Set a schedule to where it was, but for numbers that another recipe than before gives it.

    One that had come to its end goes on with such numbers. Another kind of schedule begins at its start.
    """
    new, old = schedule.state(), before.begin().state()
    if new.keys() == state.keys():
        for name, value in state.items():
            if new[name] == old[name] and (name != "finished" or new == old):
                setattr(schedule, name, _plain(value))


def said(different: dict[str, list]) -> str:
    """Say what has changed in a line."""
    return ", ".join(f"{name} {json.dumps(now)} (was {json.dumps(was)})" for name, (was, now) in different.items())


def _plain(value):
    """Make a tuple of a list, which is what JSON has for it."""
    return tuple(value) if isinstance(value, list) else value
