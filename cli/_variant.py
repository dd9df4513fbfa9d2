"""`--variant NAME=VALUE`: arguments of a network that no other option gives."""

import click

ELSEWHERE = ("classes", "crop")  # arguments that follow from the data or have an option, in every command

option = click.option(
    "--variant",
    multiple=True,
    metavar="NAME=VALUE",
    help="Build the network with this argument, such as norm=none, pool=2, initial=glorot or, for lenet5, "
    "function=sigmoid; may be given several times. Of a NAME that the network has not, the error lists those it has.",
)


def read(network: str, words: tuple[str, ...], elsewhere: tuple[str, ...] = ELSEWHERE) -> dict:
    """Return the arguments that the user gave; say in one line which of them does not fit."""
    from cualex import networks
    from cualex.errors import UsageError
    from cualex.networks import arguments

    try:
        return arguments.read(networks.find(network), words, elsewhere)
    except ValueError as error:
        raise UsageError(f"--variant, network {network}: {error}") from None
