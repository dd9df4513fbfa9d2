"""Where a training begins: in a run that is resumed, at the weights of another training, or at random weights."""

from pathlib import Path

import click
from click.core import ParameterSource

from cualex.cli import _output
from cualex.cli._train_options import NEWEST, TrainOptions

# A resumed run's own, unless given.
KEPT = ("data", "val_split", "val", "names", "device", "precision", "save_every", "no_pack", "watch", "keep", "start")
NEW_RUN_ONLY = {
    "name": "name",
    "named": "recipe",
    "paper": "paper",
    "start": "from",
    "pretrained": "pretrained",
    "scratch": "scratch",
}
ALONE = ("network", "crop", "variant", "named", "paper")  # options that rule out the bundled network


def given(name: str) -> bool:
    """Return whether the user gave an option, on the command line or in the environment."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def resumed(options: TrainOptions):
    """Return the run to resume, locked, or None for a new one."""
    from cualex.errors import UsageError
    from cualex.training.run import Run

    if options.resume is None:
        return None
    for name, option in NEW_RUN_ONLY.items():
        if given(name):
            raise UsageError(f"--{option} is for new runs, and --resume continues one: leave one of them out")
    if options.resume == NEWEST:
        run = Run.reopen(Run.unfinished(options.output))
    else:
        run = Run.reopen(options.resume if Path(options.resume).exists() else options.output / options.resume)
    click.get_current_context().call_on_close(run.unlock)
    _output.say(f"Resuming {run.path}")
    return run


def of_run(run, options: TrainOptions):
    """Return the recipe of a resumed run, and the options with the run's own where the user gave none."""
    from cualex.data.sources import hold_out
    from cualex.training.run import restore

    before = run.arguments()
    recipe = restore.recipe(before.get("recipe"))
    before |= hold_out.of_run(before)
    before.setdefault("keep", True)  # runs of 0.1 always kept their checkpoints
    recipe = recipe.but(**{name: getattr(options, name) for name in ("network", "seed") if given(name)})
    kept = {name: before[name] for name in KEPT if name in before and not given(name)}
    return recipe, options.but(**kept, split_rule=before["split_rule"])


def weights(options: TrainOptions):
    """Load the weights that --from or --pretrained name, or return None; refuse those of another network."""
    from cualex import pretrained as bundled
    from cualex import weights
    from cualex.errors import UsageError

    start, named = options.start, options.start or options.pretrained
    if options.scratch and named:
        option = "--from" if start else "--pretrained"
        raise UsageError(f"--scratch starts from random weights, {option} does not: leave one of them out")
    if start and options.pretrained:
        raise UsageError("--from and --pretrained both name the weights to start from: leave one of them out")
    start = Path(bundled.NAME) if options.pretrained else start
    if start is None:
        return None
    found = weights.load(start)
    own = found.network.name
    if given("network") and options.network != own:
        raise UsageError(f"--network {options.network}: --from {start} is a weights file of {own}; leave --network out")
    if given("variant"):
        raise UsageError(f"--variant: --from {start} has its own network arguments; leave --variant out")
    return found


def bundled(data: str, images: int, scratch: bool):
    """Return the bundled network if fine-tuning it pays with so many images and no option rules it out, else None."""
    from cualex import pretrained, weights
    from cualex.training import automatic_recipe

    chosen = scratch or any(map(given, ALONE))
    if chosen or data == "demo" or images > automatic_recipe.BUNDLED_UP_TO:
        return None
    return weights.load(pretrained.FILE)
