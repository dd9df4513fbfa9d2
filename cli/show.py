"""`cualex show`: figures that explain, a name each."""

import click

from cualex.cli import _options, _output


@click.group()
def show() -> None:
    """Draw a figure, and print what it shows.

    \b
    Examples:
        cualex show activations
        cualex show activations -o activations.png
        cualex show activations --json
    """


@show.command()
@click.option(
    "-o", "--output", type=_options.FILE, metavar="FILE", help="Draw functions and derivatives into this PNG."
)
@_options.as_json
def activations(output, as_json: bool) -> None:
    """Print the activations with their derivatives, and draw them.

    The derivative is taken from the output, y, which a network keeps anyway.

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
        _output.say(f"Drawn: {output}")
    if as_json:
        _output.document(rows)
    else:
        _output.table(rows)
