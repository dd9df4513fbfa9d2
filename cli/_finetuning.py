"""`cualex train --from WEIGHTS`: which weights a training begins with."""

import click

from cualex.cli import _options, _start

_OPTIONS = (
    click.option(
        "--from",
        "start",
        type=_options.FILE,
        metavar="WEIGHTS",
        help="Begin with the weights of this file, on its own network; cifar10 is the bundled pretrained network. "
        "The last layer is new where the classes are others.",
    ),
    click.option("--pretrained", is_flag=True, help="The same as --from cifar10."),
    click.option("--scratch", is_flag=True, help="Begin with random weights, on small sets too."),
)
ALONE = ("network", "crop", "variant", "named", "paper")  # options that leave no room for the bundled network


def options(command):
    """Add all of them to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def find(start, pretrained: bool, scratch: bool, network: str):
    """Read the weights that the user named to begin with, or return None; refuse those of another network."""
    from cualex import pretrained as bundled
    from cualex import weights
    from cualex.errors import UsageError

    if scratch and (start or pretrained):
        raise UsageError(f"--scratch with {'--from' if start else '--pretrained'}: leave one of them out")
    if start and pretrained:
        raise UsageError("--from and --pretrained both name weights to begin with: leave one of them out")
    start = bundled.NAME if pretrained else start
    if start is None:
        return None
    found = weights.load(start)
    if _start.given("network") and network != found.network.name:
        raise UsageError(
            f"--network {network} with --from {start}, whose network is {found.network.name}: leave --network out"
        )
    if _start.given("variant"):
        raise UsageError(f"--variant with --from {start}, whose network says that itself: leave --variant out")
    return found


def default(data: str, images: int, scratch: bool):
    """Return the bundled network where a training on so many images gains by it and no option speaks against it."""
    from cualex import pretrained, weights
    from cualex.training import automatic_recipe

    chosen = scratch or any(map(_start.given, ALONE))
    if chosen or data == "demo" or images > automatic_recipe.BUNDLED_UP_TO:
        return None
    return weights.load(pretrained.FILE)
