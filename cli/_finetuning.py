"""`cualex train --from WEIGHTS`: which weights a training begins with."""

import click

from cualex.cli import _options, _resume

option = click.option(
    "--from",
    "start",
    type=_options.FILE,
    metavar="WEIGHTS",
    help="Begin with the weights of this file, on its own network; the last layer is new where the classes are others.",
)


def find(start, network: str):
    """Read the weights to begin with, or return None; refuse those of another network than the one asked for."""
    from cualex import weights
    from cualex.errors import UsageError

    if start is None:
        return None
    found = weights.load(start)
    if _resume.given("network") and network != found.network.name:
        raise UsageError(
            f"--network {network} with --from {start}, whose network is {found.network.name}: leave --network out"
        )
    if _resume.given("variant"):
        raise UsageError(f"--variant with --from {start}, whose network says that itself: leave --variant out")
    return found
