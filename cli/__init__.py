"""The `cualex` command.

Every other file here is one command, found by its name: train.py holds `train`, which is `cualex train`, and
new_one.py would hold `new_one`, `cualex new-one`. Nothing lists them. A file that starts with _ is shared by
commands. A command imports what is heavy inside its function, so that `cualex --help` loads neither NumPy nor
CuPy.
"""

import functools
import importlib
import keyword
import pkgutil
import sys
import traceback
from typing import Any

import click

from cualex import __version__
from cualex.cli import _aliases, _exit, _ranks, _terminal


class OneFileEach(click.Group):
    """Find each command by its file, and end every one of them in the same way."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the files of this folder that are commands."""
        return sorted(
            module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's file; a name that Python keeps for itself ends in _ there (`import_`)."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"{__name__}.{name}")
        return getattr(module, name + "_" * keyword.iskeyword(name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple:
        """Find the command, or name the nearest one there is."""
        name, known = args[0], self.list_commands(ctx)
        _ranks.check_command(name)
        if name not in known and not name.startswith("-"):
            ctx.fail(_aliases.no_command(name, known))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what the user can put right becomes one line, the rest keeps its traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            fault = _exit.fault(error)
            if fault is None:
                raise
            if ctx.params["verbose"]:
                traceback.print_exc()
            raise fault from error

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run as a program: exit with the code of what happened."""
        call = functools.partial(super().main, *args, standalone_mode=False, **extra)
        if not standalone_mode:
            return call()
        _terminal.never_refuse()
        sys.exit(_ranks.finish(call))


@click.group(
    cls=OneFileEach,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "CUALEX",
        "max_content_width": 100,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name="cualex")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    envvar="CUALEX_DEBUG",
    help="Print the traceback of errors too; of `cualex train` all hyperparameters.",
)
def main(verbose: bool) -> None:
    """Train and use AlexNet (2012) on a CPU, or on one or two GPUs.

    \b
    Start:
        cualex train              train on a small generated data set
        cualex train photos       train on a folder of classes
        cualex predict cat.jpg    classify an image
        cualex help               topics: install, networks, recipes, kernels,
                                  ranks, changes, completion, json, diagnose, cite

    Results go to stdout, everything else to stderr; --json prints results as one JSON document.

    \b
    Exit codes:
        0           success
        1           an error, in one line
        2           wrong usage
        3           finished, but some images could not be read
        4           loss or weights are NaN or Inf
        5           out of memory
        6           another process is training in the run
        7           a GPU failed, or a rank does not answer; continue a training
                    with --resume
        129         stopped by SIGHUP (the terminal was closed)
        130, 143    stopped by Ctrl-C or SIGTERM

    After 129, 130 and 143 training has first written a checkpoint; a second signal quits at once.

    \b
    Environment:
        CUALEX_<COMMAND>_<OPTION>
                                 default of an option: CUALEX_TRAIN_SEED=1;
                                 --json is AS_JSON, --from START, --recipe NAMED,
                                 experiment --list LISTED
        CUALEX_DEVICE            --device of every command
        CUALEX_CACHE             cache directory, ~/.cache/cualex by default
        CUALEX_DEBUG=1           the same as --verbose
        CUALEX_WEIGHTS_CACHE=0   do not cache large weights in the layout that the
                                 CPU computes with
        CUALEX_SELF_TEST=0       do not test kernels, graphs and copies at their
                                 first use on a type of GPU; wgmma, which needs
                                 that proof, is then not used
    """
