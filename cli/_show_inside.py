"""`cualex show filters`, `maps`, `sparsity` and `augment`: what is in a network, and what it is shown."""

from pathlib import Path

import click

from cualex.cli import _aliases, _model, _options, _show


@click.command(cls=_aliases.Command)
@_options.weights
@_show.output("filters", ".npy")
@_show.theme
@_options.as_json
def filters(weights: Path | None, output: Path | None, theme: str, as_json: bool) -> None:
    """Plot the first filters, as figure 3 of the paper.

    Those of tower 1, the half of the network that the first GPU held in 2012, are above those of tower 2. The numbers
    are the weights, float32 (filter, channel, row, column), the filters of tower 1 first.

    \b
    Examples:
        cualex show filters
        cualex show filters -w cifar10 -o filters.svg --theme dark
    """
    from cualex import weights as files
    from cualex.plots import filters as drawing
    from cualex.weights import initial

    path = _show.target(output, "filters", ".npy")
    named = weights or _model.chosen(inside=True)
    loaded = files.load(named)
    layer, towers = drawing.first(loaded.network)
    more = initial.said(initial.untrained(loaded.network, loaded.tensors.__getitem__), loaded.network)
    data = drawing.draw(loaded.network, loaded.tensors[f"{layer}.weight"], path, _show.colours(theme), more)
    about = {"layer": layer, "towers": towers, "shape": data.shape}
    _show.finish(path, data, as_json, **_show.described(loaded.network, named), **about)


@click.command(cls=_aliases.Command)
@_show.image
@click.option(
    "--layer",
    help="Layer, named as in `cualex summary`: conv1 is before ReLU, relu1 after it.  [default: the first activation]",
)
@_options.weights
@_show.output("maps", ".npy")
@_show.theme
@_options.device
@_options.precision
@_options.as_json
def maps(
    image: Path,
    layer: str | None,
    weights: Path | None,
    output: Path | None,
    theme: str,
    device: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Plot the feature maps of an image at a layer.

    The numbers are float32 (channel, row, column), the channels of tower 1, one half of the network, first.

    \b
    Examples:
        cualex show maps cat.jpg
        cualex show maps cat.jpg --layer conv3 -o conv3.png
    """
    from cualex.plots import maps as drawing

    path = _show.target(output, "maps", ".npy")
    named, model = _model.load(weights, device, precision, inside=True)
    layer = layer or drawing.first(model.network)
    data = drawing.draw(model, image, layer, path, _show.colours(theme))
    side = model.network.side(layer)
    about = {"picture": image, "layer": layer, "side": side, "shape": data.shape}
    _show.finish(path, data, as_json, **_show.described(model.network, named), **about)


@click.command(cls=_aliases.Command)
@_show.image
@_options.weights
@_show.output("sparsity", ".csv")
@_show.theme
@_options.device
@_options.precision
@_options.as_json
def sparsity(
    image: Path,
    weights: Path | None,
    output: Path | None,
    theme: str,
    device: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Plot what ReLU sets to zero, layer by layer.

    Figure 5 of the lectures, for one image. Columns of the numbers: layer, tower (half of the network), values, zeros,
    fraction.

    \b
    Examples:
        cualex show sparsity cat.jpg
        cualex show sparsity cat.jpg -w runs/train --json
    """
    from cualex.plots import sparsity as drawing

    path = _show.target(output, "sparsity", ".csv")
    named, model = _model.load(weights, device, precision, inside=True)
    rows = drawing.draw(model, image, path, _show.colours(theme))
    _show.finish(path, rows, as_json, **_show.described(model.network, named), picture=image, layers=rows)


@click.command(cls=_aliases.Command)
@_show.image
@_options.weights
@click.option("--network", metavar="NAME", help="Architecture to show the image to, instead of that of a weights file.")
@_show.count(12, "Number of epochs to draw.")
@_show.seed("Random seed of the views.  [default: the run's, else 0]", None)
@_show.output("augment", ".npy")
@_show.theme
def augment(
    image: Path,
    weights: Path | None,
    network: str | None,
    count: int,
    seed: int | None,
    output: Path | None,
    theme: str,
) -> None:
    """Plot what a network is shown of an image in training.

    Crops, mirror images and colour noise by the recipe of the weights' run; by the paper's recipe for other weights and
    for --network, with the colours of ImageNet. The numbers are uint8 (epoch, row, column, colour).

    \b
    Examples:
        cualex show augment cat.jpg
        cualex show augment cat.jpg --network alexnet --count 8
    """
    from dataclasses import replace

    from cualex import networks
    from cualex import weights as files
    from cualex.data import images
    from cualex.errors import UsageError
    from cualex.plots import augment as drawing

    if weights and network:
        raise UsageError("--weights have a network of their own; leave --weights or --network out")
    path = _show.target(output, "augment", ".npy")
    named = None if network else weights or _model.chosen(inside=True)
    built = files.load(named).network if named else networks.named(network or "")
    recipe, components = drawing.recipe_of(named)
    recipe = recipe if seed is None else replace(recipe, seed=seed)
    seen = images.load(image, built.stored)
    data = drawing.draw(seen, built, recipe, components, path, count, _show.colours(theme))
    _show.finish(path, data)
