"""`cualex show`: plots, one subcommand each."""

from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output, _show, _show_explain, _show_inside, _show_search, _show_sets


@click.group()
def show() -> None:
    """Plot a network, what it sees, and what it makes of data.

    Plots are PNG or SVG, by the ending of --output, in --theme light or dark; the numbers are written beside them, as
    .npy or CSV.

    \b
    Examples:
        cualex show network
        cualex show filters -w cifar10 -o filters.svg
        cualex show maps cat.jpg --layer conv3
        cualex show heat cat.jpg
        cualex show predictions photos/
        cualex show curves runs/train runs/train-2 --theme dark
    """


for each in (_show_inside.filters, _show_inside.maps, _show_inside.sparsity, _show_inside.augment):
    show.add_command(each)
for each in (_show_explain.heat, _show_explain.dream, _show_search.strongest, _show_search.neighbours):
    show.add_command(each)
for each in (_show_sets.predictions, _show_sets.mistakes, _show_sets.confusion):
    show.add_command(each)


@show.command(cls=_aliases.Command)
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    metavar="FILE",
    help="Plot of functions and derivatives to write, .png or .svg; its numbers are written beside it as .csv.",
)
@_show.theme
@_options.as_json
def activations(output, theme: str, as_json: bool) -> None:
    """Print and plot activation functions with derivatives.

    The backward pass computes the derivative from the output y where it can, and keeps the input x where it cannot. A
    plot is written with --output only. Columns of the numbers: x, and for each activation its value (its name) and
    derivative (its name and ').

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

        path = _show.target(output, "activations", ".csv")
        _show.finish(path, drawing.draw(path, _show.colours(theme)))
    if as_json:
        _output.document(rows)
    else:
        _output.table(rows)


@show.command(cls=_aliases.Command)
@click.argument("name", metavar="[NETWORK]", default="alexnet")
@_show.output("network", ".csv")
@_show.theme
@_options.as_json
def network(name: str, output, theme: str, as_json: bool) -> None:
    """Plot an architecture: towers, and the links between them.

    NETWORK is alexnet by default. A tower is the half of the network that one GPU held in 2012. Lines that cross are
    copies where the towers are on two devices, with the floats that a tower sends per image. Columns of the numbers:
    layer, kind, towers, channels, rows, columns (of one tower), window, parameters, multiply_adds, sent.

    \b
    Examples:
        cualex show network
        cualex show network alexnet -o towers.svg
    """
    from dataclasses import asdict

    from cualex import networks
    from cualex.plots import towers

    path, built = _show.target(output, "network", ".csv"), networks.named(name)
    drawn = towers.draw(built, path, _show.colours(theme))
    _show.finish(path, towers.table(built))
    if as_json:
        _output.document([asdict(box) for box in drawn])


@show.command(cls=_aliases.Command)
@click.argument("runs", nargs=-1, type=_options.FILE, metavar="[RUN...]")
@_show.output("curves", ".csv")
@_show.theme
@_options.as_json
def curves(runs, output, theme: str, as_json: bool) -> None:
    """Plot the loss and error of one or more trainings.

    RUN is a directory, or the name of one in ./runs; by default the newest finished run there. Columns of the numbers:
    run, epoch, training_loss, validation_loss, top1_error, top5_error (from 0 to 1), learning_rate.

    \b
    Examples:
        cualex show curves
        cualex show curves runs/train runs/train-2 -o both.svg
    """
    from cualex.plots import curves as drawing
    from cualex.training.run import Run, newest_weights

    path = _show.target(output, "curves", ".csv")
    if not runs:
        runs = [newest_weights().parent]
        _output.say(f"Run: {runs[0]} (newest finished run).")
    else:
        named = ((each, Path("runs") / each) for each in runs)
        runs = [inside if inside.is_dir() and not given.exists() else given for given, inside in named]
    rows = drawing.draw_runs([Run(each) for each in runs], path, _show.colours(theme))
    _show.finish(path, rows, as_json, epochs=rows)
