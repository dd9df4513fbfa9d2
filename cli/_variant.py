"""`--variant NAME=VALUE`: arguments of a network that no other option gives."""

import click

ELSEWHERE = ("classes", "crop", "mean_at", "dropout")  # arguments that follow from the data or have an option

option = click.option(
    "--variant",
    multiple=True,
    metavar="NAME=VALUE",
    help="Build the network with this argument, such as norm=none, pool=2, initial=glorot or, for lenet5, "
    "function=sigmoid; once for each. A name that is none lists those that the network has.",
)


def read(network: str, words: tuple[str, ...]) -> dict:
    """Return the arguments that the user gave; say in one line which of them does not fit."""
    from cualex import networks
    from cualex.errors import UsageError
    from cualex.networks import arguments

    try:
        return arguments.read(networks.find(network), words, ELSEWHERE)
    except ValueError as error:
        raise UsageError(f"--variant, network {network}: {error}") from None
