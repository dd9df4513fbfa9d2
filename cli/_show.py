"""What the plots of commands share: where they are written, their theme, and what is said of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cualex.cli import _options, _output
from cualex.errors import UsageError

IN_A_ROW = 24  # images that a plot of rows has beside one another, at most

theme = click.option(
    "--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Colours of the plot."
)
image = click.argument("image", type=_options.FILE, metavar="IMAGE")
filters = click.option(
    "--filters",
    metavar="LIST",
    help="Filters of the layer, such as 3,42 or 0-7; those of tower 1, one half of the network, come first.  "
    "[default: some, evenly spread]",
)


def output(name: str, ending: str):
    """Make the option -o/--output of a plot; name: of the file by default.  ending: of the numbers beside it."""
    return click.option(
        "-o",
        "--output",
        type=_options.FILE,
        metavar="FILE",
        help=f"Plot to write, .png or .svg; its numbers are written beside it as {ending}.  [default: {name}.png, or "
        f"{name}-2.png and so on where there is one]",
    )


def seed(of: str, default: int | None = 0):
    """Make the option --seed; of: what is drawn at random."""
    return click.option(
        "--seed", type=click.IntRange(0, 2**40 - 1), default=default, show_default=default is not None, help=of
    )


def count(default: int, of: str, most: int | None = None):
    """Make the option --count."""
    return click.option("--count", type=click.IntRange(1, most), default=default, show_default=True, help=of)


def classes(of: str):
    """Make the option --class, repeatable."""
    return click.option("--class", "classes", multiple=True, metavar="NAME", help=of)


def class_index(model: Any, name: str) -> int:
    """Return the index of a class that is called by its name, its English name (ImageNet's), or its index."""
    from cualex.data.sources import imagenet_classes
    from cualex.explain.explanation import class_index

    for index, each in enumerate(model.classes):
        if name in (each, imagenet_classes.english(each)):
            return index
    return class_index(model.classes, int(name) if name.isdecimal() else name)


def numbers(text: str | None) -> list[int]:
    """Return the numbers of a list such as 3,42 or 0-7; [] without one. Raise UsageError where it is none."""
    found: list[int] = []
    for part in (text or "").split(",") if text is not None else ():
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)) or (dash and int(last) < int(first)):
            raise UsageError(f"--filters {text}: expected numbers from 0 such as 3,42 or 0-7")
        found += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(found))


def target(output: Path | None, name: str, ending: str = ".png") -> Path:
    """Return the path of a plot: the one that was given, or the first of name.png, name-2.png, ... that is free.

    ending: of the numbers beside it, if there are any.

    A given plot is replaced, and its numbers with it; numbers without a plot are another's, and an error. Raise
    OutputError before the work for a path that cannot be written.
    """
    from cualex.plots import figure
    from cualex.system import files

    if output is not None:
        figure.check_ending(output)
        beside = output.with_suffix(ending)
        if beside.exists() and not output.exists():
            raise UsageError(
                f"{beside} exists, and the numbers of {output} would replace it. Choose another name with --output."
            )
        files.require_writable(output)
        files.require_writable(beside)
        return output
    number = 1
    while True:
        path = Path(f"{name}.png" if number == 1 else f"{name}-{number}.png")
        if not path.exists() and not path.with_suffix(ending).exists():
            files.require_writable(path)
            return path
        number += 1


def finish(path: Path, data: Any, as_json: bool = False, /, **document: Any) -> None:
    """Write the numbers of a plot beside it, and say where both are; with --json print the document too."""
    from cualex.plots import figure

    numbers = figure.write_data(path, data)
    _output.say(f"Plot: {path}\nNumbers: {numbers}")
    if as_json:
        _output.document({"output": path, "numbers": numbers, **document})


def colours(theme: str) -> Any:
    """Return the theme of that name."""
    from cualex.plots.theme import THEMES

    return THEMES[theme]


def untrained(model: Any) -> str:
    """Return what a plot says of weights that are random, behind a space; "" of a trained network."""
    from cualex.weights import initial

    said = initial.said(model.untrained, model.network)
    return f" {said}" if said else ""


def described(network: Any, weights: Path) -> Mapping[str, Any]:
    """Return what JSON says of the network that was drawn."""
    return {"weights": weights, "network": network.name}
