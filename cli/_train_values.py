"""What `cualex train` was given, as one typed object."""

from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from cualex.cli import _aliases
from cualex.training.options import Options

RENAMED = {"named": "recipe", "start": "weights"}  # parameters, which environment variables are called by


@dataclass(frozen=True)
class TrainOptions(Options):
    """The options of one `cualex train`: those of a training, and what only the command has."""

    overfit: int | None = None
    check_gradients: bool = False
    find_lr: bool = False
    yes: bool = False
    as_json: bool = False
    verbose: bool = False

    @property
    def sanity_check(self) -> bool:
        """Whether a check is asked for that fails or passes, with a recipe of its own."""
        return bool(self.overfit or self.check_gradients)

    @property
    def check(self) -> bool:
        """Whether any check is asked for, which writes no run."""
        return self.sanity_check or self.find_lr


def read(values: dict[str, Any]) -> TrainOptions:
    """Return the options of the command that runs; given are those of the command line and the environment."""
    from cualex.training import config

    context = click.get_current_context()
    source = context.get_parameter_source
    given = {RENAMED.get(name, name) for name in values if source(name) is not ParameterSource.DEFAULT}
    named = {RENAMED.get(name, name): value for name, value in values.items()}
    own = context.command.aliases() if isinstance(context.command, _aliases.Command) else {}
    aliases = {each.lstrip("-"): option.lstrip("-") for option, many in own.items() for each in many}
    return config.merged(TrainOptions(**named, given=frozenset(given)), aliases)


def verbose(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    """Return whether it was given here or before the command; both print tracebacks too."""
    root = ctx.find_root()
    root.params["verbose"] = value or bool(root.params.get("verbose"))
    return root.params["verbose"]
