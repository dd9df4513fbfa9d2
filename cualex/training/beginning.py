"""Where a training begins: in a run that is resumed, at the weights of another training, or at random weights."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from cualex import pretrained, weights
from cualex.data.sources import hold_out
from cualex.errors import ForeignWeights, UsageError, WeightsError
from cualex.training import automatic_recipe, config
from cualex.training.options import NEWEST, Options, of
from cualex.training.recipes import Recipe
from cualex.training.run import Run, newest_unfinished, restore
from cualex.weights import Weights

# A resumed run's own, unless given; and as args.json names them, where that is another name.
KEPT = (
    "data",
    "val_split",
    "val",
    "names",
    "device",
    "precision",
    "save_every",
    "no_pack",
    "watch",
    "keep",
    "weights",
    "tensorboard",
    "no_report",
)
RECORDED = {"weights": "start"}
NEW_RUN_ONLY = {
    "config": "config",
    "name": "name",
    "recipe": "recipe",
    "paper": "paper",
    "weights": "from",
    "pretrained": "pretrained",
    "scratch": "scratch",
}
NOW = "imported to start from"  # note of weights that this process has imported: the file
ALONE = ("network", "crop", "variant", "recipe", "paper")  # options that rule out the bundled network


def given(**keywords: Any) -> Options:
    """Return the options of keywords and, where these give none, of the file that `config` names."""
    return config.merged(of(**keywords))


def resumed(options: Options) -> Run | None:
    """Return the run to resume, locked, or None for a new one."""
    if options.resume is None:
        return None
    for name, option in NEW_RUN_ONLY.items():
        if name in options.given:
            raise UsageError(f"--{option} is for new runs, and --resume continues one: leave one of them out")
    if options.resume == NEWEST:
        return Run.reopen(newest_unfinished(options.output))
    return Run.reopen(options.resume if Path(options.resume).exists() else options.output / options.resume)


def of_run(run: Run, options: Options) -> tuple[Recipe, Options]:
    """Return the recipe of a resumed run, and the options with the run's own where the user gave none."""
    try:
        before = config.recorded(run.arguments(), [*(RECORDED.get(name, name) for name in KEPT), *config.RULES])
        recipe = restore.recipe(before.get("recipe"))
    except UsageError as error:
        raise UsageError(f"{run.path / 'args.json'}: {error}") from None
    before |= hold_out.of_run(before)
    before.setdefault("keep", True)  # runs of 0.1 always kept their checkpoints
    recipe = recipe.but(**{name: getattr(options, name) for name in ("network", "seed") if name in options.given})
    recorded = {name: RECORDED.get(name, name) for name in KEPT if name not in options.given}
    kept = {name: before[own] for name, own in recorded.items() if own in before}
    lost = tuple(name for name, _ in run.skipped())
    return recipe, options.but(**kept, split_rule=before["split_rule"], decoding=before["decoding"], lost=lost)


def chosen(options: Options) -> Weights | None:
    """Load the weights that --from or --pretrained name, or return None; refuse those of another network."""
    start, named = options.weights, options.weights or options.pretrained
    if options.scratch and named:
        option = "--from" if start else "--pretrained"
        raise UsageError(f"--scratch starts from random weights, {option} does not: leave one of them out")
    if start and options.pretrained:
        raise UsageError("--from and --pretrained both name the weights to start from: leave one of them out")
    start = Path(pretrained.NAME) if options.pretrained else start
    if start is None:
        return None
    found = _read(start, options)
    own, way = found.network.name, ", or add --scratch" if options.config else ""  # --from may be the file's
    if "network" in options.given and options.network != own:
        raise UsageError(
            f"--network {options.network}: --from {start} is a weights file of {own}; leave --network out{way}"
        )
    if "variant" in options.given:
        raise UsageError(f"--variant: --from {start} has its own network arguments; leave --variant out{way}")
    return found


def _read(start: Path, options: Options) -> Weights:
    """Load weights: a file of cualex, or one of another program, which is imported; `imported` says so in its notes.

    A file that does not say its network or input size is read again with --network and --crop, where these are given.
    Raise WeightsError where it is neither, with the reason why it is not imported unless nothing is known of it.
    """
    try:
        return weights.load(start)
    except ForeignWeights as error:
        unknown = error
    from cualex.formats import load, recognise  # only for such a file: readers take a tenth of a second

    told = {name: getattr(options, name) for name in ("network", "crop") if name in options.given}
    try:
        try:
            found, _ = load.load(start)
        except WeightsError as error:
            if not any(f"--{name}" in str(error) for name in told):
                raise
            found, _ = load.load(start, **told)
    except WeightsError as error:
        if recognise.KNOWN in str(error):
            raise unknown from None
        if not re.search(r"--(?!network|crop)\w", str(error)):
            raise
        way = f"That is for `cualex import {shlex.quote(str(start))}`, whose weights file --from takes."
        raise WeightsError(f"{error} {way}") from None
    return replace(found, notes={**found.notes, NOW: str(start)})


def imported(found: Weights | None) -> tuple[str, ...]:
    """Return what to know of weights that were imported to start from them."""
    if found is None or NOW not in found.notes:
        return ()
    said = shlex.quote(found.notes[NOW])
    return (
        f"the weights are imported, as {found.network.name} with images of {found.network.crop} pixels; `cualex import "
        f"{said}` prints all that is assumed, and keeps them as a file.",
    )


def bundled(options: Options, data: str, images: int) -> Weights | None:
    """Return the bundled network if fine-tuning it pays with so many images and no option rules it out, else None."""
    others = options.scratch or options.described or options.given.intersection(ALONE)
    if others or data == "demo" or images > automatic_recipe.BUNDLED_UP_TO:
        return None
    return weights.load(pretrained.FILE)
