"""`cualex train --resume`: which run goes on, and with what."""

from pathlib import Path

import click
from click.core import ParameterSource

from cualex.cli import _output

NEWEST = ""  # --resume without a run
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
    "start",
)  # by a run, unless given
AT_ITS_START = {  # options that are for new runs alone
    "name": "name",
    "named": "recipe",
    "paper": "paper",
    "start": "from",
    "pretrained": "pretrained",
    "scratch": "scratch",
}

option = click.option(
    "--resume",
    is_flag=False,
    flag_value=NEWEST,
    metavar="[RUN]",
    help="Go on with a run that was stopped: its directory, or if none is named the newest below --output.",
)


def find(resume: str | None, output: Path):
    """Return the run that goes on, locked, or None for a new one."""
    from cualex.errors import UsageError
    from cualex.training.run import Run

    if resume is None:
        return None
    for name, option in AT_ITS_START.items():
        if given(name):
            raise UsageError(f"--{option} with --resume, which goes on in a run that has begun: leave one of them out")
    if resume == NEWEST:
        run = Run.reopen(Run.unfinished(output))
    else:
        run = Run.reopen(resume if Path(resume).exists() else output / resume)
    click.get_current_context().call_on_close(run.unlock)
    _output.say(f"Goes on in {run.path}")
    return run


def begin(run, network: str, seed: int, options: dict):
    """Return the recipe of a run that goes on, and the options with its own in the place of those not given."""
    from cualex.data.sources import hold_out
    from cualex.training.run import restore

    before = run.arguments()
    recipe = restore.recipe(before.get("recipe"))
    before |= hold_out.of_run(before)
    before.setdefault("keep", True)  # runs of 0.1 always kept their checkpoints
    wanted = {"network": network, "seed": seed}
    recipe = recipe.but(**{name: value for name, value in wanted.items() if given(name)})
    kept = {name: before[name] for name in KEPT if name in before and not given(name)}
    return recipe, options | kept | {"split_rule": before["split_rule"]}  # which no option changes


def given(name: str) -> bool:
    """Say whether the user gave an option, on the command line or in the environment."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT
