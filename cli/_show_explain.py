"""`cualex show heat` and `dream`: which pixels a class comes from, and images that excite filters and classes."""

from pathlib import Path
from typing import Any

import click

from cualex.cli import _aliases, _model, _options, _output, _show
from cualex.errors import UsageError

METHODS = ["saliency", "guided-backpropagation", "grad-cam", "integrated-gradients", "occlusion"]


@click.command(cls=_aliases.Command)
@_show.image
@click.option(
    "--method",
    "methods",
    type=click.Choice(METHODS),
    multiple=True,
    help="Method; repeatable.  [default: all, side by side]",
)
@_show.classes("Class to explain, by name or index; repeatable, a row for each.  [default: the likeliest]")
@click.option("--layer", help="Layer whose maps Grad-CAM weighs.  [default: relu5 of alexnet]")
@click.option("--steps", type=click.IntRange(1), help="Steps of integrated gradients.  [default: 64]")
@click.option("--patch", type=click.IntRange(1), help="Side of occlusion's patch, in pixels.  [default: a quarter]")
@click.option("--stride", type=click.IntRange(1), help="Pixels between patches of occlusion.  [default: half a patch]")
@_options.weights
@_show.output("heat", ".npy")
@_show.theme
@_options.device
@_options.precision
@_options.as_json
def heat(
    image: Path,
    methods: tuple[str, ...],
    classes: tuple[str, ...],
    weights: Path | None,
    output: Path | None,
    theme: str,
    device: str,
    precision: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Plot heat maps: which pixels of an image a class comes from.

    Saliency is the gradient of the class's score at the pixels (Simonyan et al., 2013); guided backpropagation passes
    on its positive part alone; Grad-CAM weighs the last maps; integrated gradients add up along a path from the mean
    image; occlusion covers patches. The numbers are float32 (class, method, row, column), each map from 0 to 1.

    \b
    Examples:
        cualex show heat cat.jpg
        cualex show heat cat.jpg --class cat --class dog --method grad-cam
    """
    from cualex.explain.explanation import options_of
    from cualex.plots import heat as drawing

    path = _show.target(output, "heat", ".npy")
    methods = tuple(dict.fromkeys(methods)) or tuple(METHODS)
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if not any(name in options_of(method) for method in methods):
            raise UsageError(f"--{name} is of none of the methods {', '.join(methods)}; leave it out")
    named, model = _model.load(weights, device, precision, inside=True)
    stored = model.read(image)
    shares = model.probabilities(stored[None])[0]
    indices = [_show.class_index(model, name) for name in classes] or [int(shares.argmax())]
    indices = list(dict.fromkeys(indices))
    rows: list[list[Any]] = [[] for _ in indices]
    with _output.Progress("Heat maps", len(indices) * len(methods), "maps") as done:
        for row, index in zip(rows, indices, strict=True):
            for method in methods:
                own = {name: value for name, value in given.items() if name in options_of(method)}
                row.append(model.explain(stored, index, method, **own))
                done(sum(map(len, rows)))
    chosen = "Classes as named" if len(indices) > 1 else "The class as named" if classes else "The likeliest class"
    said = f"{image.name}, {model.network.name}. {chosen}; its score is before the softmax.{_show.untrained(model)}"
    probabilities = [float(shares[row[0].index]) for row in rows]
    data = drawing.draw(rows, probabilities, path, said, _show.colours(theme))
    about = {
        "picture": image,
        "shape": data.shape,
        "classes": [
            {"class": row[0].cls, "index": row[0].index, "probability": share, "score": row[0].score}
            for row, share in zip(rows, probabilities, strict=True)
        ],
        "methods": [{"method": each.method, **_settings(each)} for each in rows[0]],
    }
    _show.finish(path, data, as_json, **_show.described(model.network, named), **about)


def _settings(found: Any) -> dict[str, Any]:
    """Return what a method was told, without what it found."""
    return {name: found.settings[name] for name in ("layer", "steps", "patch", "stride") if name in found.settings}


@click.command(cls=_aliases.Command)
@click.option("--layer", help="Layer of the filters, named as in `cualex summary`.  [default: the classes' scores]")
@_show.filters
@_show.classes("Class to excite instead of filters, by name or index; repeatable.")
@_show.count(10, "Number of filters or classes, evenly spread, where none are named.")
@click.option("--steps", type=click.IntRange(1), default=128, show_default=True, help="Steps of the gradient ascent.")
@_show.seed("Random seed of the noise and the shifts.")
@_options.weights
@_show.output("dream", ".npy")
@_show.theme
@_options.device
@_options.precision
@_options.as_json
def dream(
    layer: str | None,
    filters: str | None,
    classes: tuple[str, ...],
    count: int,
    steps: int,
    seed: int,
    weights: Path | None,
    output: Path | None,
    theme: str,
    device: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Plot images that excite filters or classes, from noise.

    Activation maximisation (Erhan et al., 2009): gradient ascent from the mean image with noise, below each image the
    activation before and after. The numbers are uint8 (image, row, column, colour).

    \b
    Examples:
        cualex show dream -w cifar10
        cualex show dream --class cat --class dog
        cualex show dream --layer conv4 --filters 0-11
    """
    from cualex.plots import dreams as drawing
    from cualex.plots import strongest
    from cualex.plots.maps import colour_of, towers_of
    from cualex.plots.text import label

    if classes and (layer or filters):
        raise UsageError("--class names what to excite; leave --layer and --filters out, or --class")
    path = _show.target(output, "dream", ".npy")
    named, model = _model.load(weights, device, precision, inside=True)
    layer = layer or model.scores
    channels = strongest.channels_of(model.network, layer)
    chosen = _show.numbers(filters) or [_show.class_index(model, name) for name in classes]
    chosen = list(dict.fromkeys(chosen)) or strongest.spread(channels, count)
    of_classes, towers, colours = layer == model.scores, towers_of(model.network, layer), _show.colours(theme)
    dreams = []
    with _output.Progress("Images", len(chosen)) as done:
        for number, index in enumerate(chosen, 1):
            made = model.dream(layer, index, steps=steps, seed=seed)
            tower = index * towers // channels
            name = label(model.classes[index]) if of_classes else f"filter {index}"
            name += f", tower {tower + 1}" if towers > 1 else ""
            colour = None if of_classes else colour_of(model.network, towers, tower, colours)
            dreams.append(drawing.Dreamt(name, made, colour))
            done(number)
    title = f"What excites {'the classes' if of_classes else layer}"
    said = (
        f"{model.network.name}; gradient ascent of {steps} steps from noise. Below: the "
        f"{'score' if of_classes else 'mean activation'} before and after.{_show.untrained(model)}"
    )
    data = drawing.draw(dreams, path, title, said, colours)
    about = {
        "layer": layer,
        "steps": steps,
        "seed": seed,
        "shape": data.shape,
        "dreams": [
            {
                "filter": index,
                "class": model.classes[index] if of_classes else None,
                "before": float(each.dream.course[0]),
                "after": float(each.dream.course[-1]),
            }
            for index, each in zip(chosen, dreams, strict=True)
        ],
    }
    _show.finish(path, data, as_json, **_show.described(model.network, named), **about)
