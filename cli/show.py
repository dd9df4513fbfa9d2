"""`cualex show`: plots, one subcommand each."""

import click

from cualex.cli import _aliases, _options, _output


@click.group()
def show() -> None:
    """Plot a network, or the activation functions.

    \b
    Examples:
        cualex show network -o towers.png
        cualex show activations
        cualex show activations -o activations.png
        cualex show activations --json
    """


@show.command(cls=_aliases.Command)
@click.option(
    "-o", "--output", type=_options.FILE, metavar="FILE", help="PNG file to plot functions and derivatives to."
)
@_options.as_json
def activations(output, as_json: bool) -> None:
    """Print and plot activation functions with derivatives.

    The backward pass computes the derivative from the output y where it can, and keeps the input x where it cannot.

    \b
    Example:
        cualex show activations -o activations.png
    """
    from cualex.engine.activations import ACTIVATIONS

    rows = [
        {"name": each.name, "function": each.formula, "derivative": each.derivative_formula}
        for each in ACTIVATIONS.values()
    ]
    if output is not None:
        from cualex.plots import activations as drawing

        drawing.draw(output)
        _output.say(f"Plot: {output}")
    if as_json:
        _output.document(rows)
    else:
        _output.table(rows)


@show.command(cls=_aliases.Command)
@click.argument("name", metavar="[NETWORK]", default="alexnet")
@click.option("-o", "--output", type=_options.FILE, metavar="FILE", required=True, help="PNG file to plot to.")
@_options.as_json
def network(name: str, output, as_json: bool) -> None:
    """Plot an architecture: towers, and the links between them.

    NETWORK is alexnet by default. A tower is the half of the network that one GPU held in 2012. Arrows between towers
    are copies where these are on two devices, with the floats that a tower sends per image.

    \b
    Example:
        cualex show network alexnet -o towers.png
    """
    from dataclasses import asdict

    from cualex import networks
    from cualex.plots import towers

    drawn = towers.draw(networks.named(name), output)
    _output.say(f"Plot: {output}")
    if as_json:
        _output.document([asdict(box) for box in drawn])
