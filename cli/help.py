"""`cualex help`: topics that belong to no single command, and the help of commands."""

import sys
from importlib import resources

import click

from cualex.cli import _aliases, _terminal

TOPICS = {
    "changes": "what changed since version 0.1",
    "cite": "how to cite the paper and cualex",
    "completion": "shell completion for bash, zsh and fish",
    "diagnose": "what to do when a training does not work",
    "install": "GPUs, no internet, containers, Slurm, Windows, notebooks",
    "json": "keys of the documents that --json prints",
    "kernels": "your first CUDA kernel, in ten minutes, without a GPU",
    "networks": "the architectures and their variants",
    "ranks": "several processes: cores, machines, Slurm, Kubernetes",
    "recipes": "what training chooses, schedules, fine-tuning",
}


@click.command(cls=_aliases.Command)
@click.argument("topic", required=False)
@click.pass_context
def help(ctx: click.Context, topic: str | None) -> None:
    """Print a help topic, or a command's help.

    \b
    Topics:
        changes     what changed since version 0.1
        cite        how to cite the paper and cualex
        completion  shell completion for bash, zsh and fish
        diagnose    what to do when a training does not work
        install     GPUs, no internet, containers, Slurm, Windows, notebooks
        json        keys of the documents that --json prints
        kernels     your first CUDA kernel, in ten minutes, without a GPU
        networks    the architectures and their variants
        ranks       several processes: cores, machines, Slurm, Kubernetes
        recipes     what training chooses, schedules, fine-tuning

    \b
    Examples:
        cualex help
        cualex help networks
        cualex help train
    """
    from cualex.cli import main
    from cualex.errors import UsageError

    if topic is None:
        click.echo(ctx.get_help())
    elif topic in TOPICS:
        click.echo(_terminal.wrapped(text(topic), sys.stdout), nl=False)
    elif command := main.get_command(ctx, topic):
        click.echo(command.get_help(click.Context(command, ctx.parent, topic)))
    else:
        raise UsageError(f"no help topic {topic!r}; the topics are {', '.join(TOPICS)}, and every command")


def text(topic: str) -> str:
    """Return the text of a topic."""
    return resources.files("cualex.cli").joinpath("topics", f"{topic}.txt").read_text(encoding="utf-8")
