"""`cualex show neighbours` and `strongest`: images of a data set that are nearest, or that excite a filter most."""

from pathlib import Path
from typing import Any

import click

from cualex.cli import _aliases, _options, _show, _show_data
from cualex.cli._show_data import on_data
from cualex.errors import UsageError

METRICS = {"l2": "Euclidean", "cosine": "cosine"}


@click.command(cls=_aliases.Command)
@click.argument("named", nargs=-1, metavar="[DATA] [IMAGES...]")
@_options.weights
@_show.count(6, "Number of neighbours of each query.", most=_show.IN_A_ROW)
@click.option(
    "--queries", type=click.IntRange(1), default=5, show_default=True, help="Number of queries, where none are named."
)
@click.option("--layer", help="Layer whose features are compared.  [default: the last hidden one, relu7 of alexnet]")
@click.option(
    "--metric",
    type=click.Choice(list(METRICS)),
    default="l2",
    show_default=True,
    help="Distance between features: l2 (Euclidean), as in the paper; cosine compares directions.",
)
@_show.seed("Random seed of the choice of queries.")
@_show.output("neighbours", ".csv")
@_show.theme
@on_data
@_options.as_json
def neighbours(
    named: tuple[str, ...],
    weights: Path | None,
    count: int,
    queries: int,
    layer: str | None,
    metric: str,
    seed: int,
    output: Path | None,
    theme: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Plot images beside the nearest by features, as figure 4.

    The queries are IMAGES, image files, or else images of DATA drawn at random, of as many classes as there are. DATA
    is what `cualex evaluate` takes, by default the data set of the run; its classes need not be the network's, and
    images without classes will do. A query that is in DATA too is left out of its neighbours. Columns of the numbers:
    query, query_class, rank, picture, class, distance.

    \b
    Examples:
        cualex show neighbours
        cualex show neighbours photos/ cat.jpg dog.jpg --count 8
        cualex show neighbours photos/ --split test --queries 3
    """
    import numpy as np

    from cualex.plots import gallery
    from cualex.plots import neighbours as drawing

    path = _show.target(output, "neighbours", ".csv")
    data, files = _show_data.divided(named)
    shown = _show_data.opened(
        data, weights, any_classes=True, check=lambda model: model.network.require([layer] if layer else []), **options
    )
    model, pack = shown.model, shown.pack
    layer = layer or model.hidden
    own = [] if files else gallery.chosen(pack.labels, queries, seed).tolist()
    stored = np.stack([model.read(name) for name in files]) if files else shown.crops(own)[0]
    # More than one at a time, as the images of the set, so that the same image is at distance 0, to the bit.
    asked = model.features(np.concatenate([stored, stored[:1]]), layer)[:-1].reshape(len(stored), -1)
    found = drawing.search(asked, (model.features(each, layer) for each in shown.batches()), metric)
    if own:  # an image is its own nearest
        found[np.arange(len(own)), own] = np.inf
    order = np.argsort(found, axis=1, kind="stable")[:, : count + (not own)]
    rows, left_out = [], len(own)
    for at, (crop, nearest) in enumerate(zip(_show_data.cropped(model, stored), order, strict=True)):
        name, cls = (pack.names[own[at]], shown.class_of(own[at])) if own else (Path(files[at]).name, None)
        nearest = nearest[np.isfinite(found[at, nearest])]
        images, crops = shown.crops(nearest)
        same = (images == stored[at]).all(axis=(1, 2, 3))
        kept = [
            drawing.Shown(pack.names[index], each, shown.class_of(index), float(found[at, index]), bool(equal))
            for index, each, equal in zip(nearest.tolist(), crops, same, strict=True)
        ]
        if not own and same.any():  # a file that is in the set too
            del kept[int(same.argmax())]
            left_out += 1
        rows.append([drawing.Shown(name, crop, cls), *kept[:count]])
    said = f"{shown.counted}; {METRICS[metric]} distance of {asked.shape[1]:,} features, {layer} of "
    said += f"{model.network.name}."
    if not any(near for _, *near in rows):
        raise UsageError(f"{shown.counted}: there is none beside the query; give a set with others")
    said += " Queries that are in the set are not among their neighbours." if left_out else ""
    pairs = [near.cls == query.cls for query, *every in rows for near in every if query.cls and near.cls]
    if pairs:
        said += f" Green: of the query's class, {sum(pairs)} of {len(pairs)}."
    said += _show.untrained(model)
    table = drawing.draw(rows, path, said, _show.colours(theme))
    about = {"layer": layer, "metric": metric, "neighbours": table}
    _show.finish(path, table, as_json, **shown.document, **about)
    _show_data.refuse_skipped(pack)


@click.command(cls=_aliases.Command)
@click.argument("data", required=False)
@click.option("--layer", help="Layer, named as in `cualex summary`.  [default: relu5 of alexnet]")
@_show.filters
@_show.count(8, "Number of images of each filter.", most=_show.IN_A_ROW)
@click.option(
    "--rows",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    help="Number of filters, evenly spread, where none are named.",
)
@_options.weights
@_show.output("strongest", ".csv")
@_show.theme
@on_data
@_options.as_json
def strongest(
    data: str | None,
    layer: str | None,
    filters: str | None,
    count: int,
    rows: int,
    weights: Path | None,
    output: Path | None,
    theme: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Plot the images that excite a filter most, and where.

    A row for each filter: what its unit sees (its receptive field) of the strongest images, enlarged, and the images,
    dark where it sees nothing. DATA is as for `cualex show neighbours`. Columns of the numbers: layer, filter, tower
    (half of the network), rank, picture, class, activation, row, column (of the unit), top, left, bottom, right (pixels
    of the crop).

    \b
    Examples:
        cualex show strongest
        cualex show strongest photos/ --layer conv2 --filters 0-3,40
    """
    from cualex.explain.grad_cam import last_maps
    from cualex.explain.strongest import check_filters
    from cualex.plots import strongest as drawing

    path = _show.target(output, "strongest", ".csv")
    numbers = _show.numbers(filters)

    def check(model: Any) -> None:
        check_filters(drawing.channels_of(model.network, layer or last_maps(model.network)), numbers)

    shown = _show_data.opened(data, weights, any_classes=True, check=check, **options)
    model, pack = shown.model, shown.pack
    layer = layer or last_maps(model.network)
    numbers = numbers or drawing.spread(drawing.channels_of(model.network, layer), rows)
    found = drawing.search(
        *(model, layer, numbers, count, shown.batches()),
        lambda index: (pack.names[index], shown.class_of(index)),
        lambda indices: shown.crops(indices)[1],
    )
    side = model.network.side(layer)
    said = f"{shown.counted}; {model.network.name}, {layer}{f', {side}' if side else ''}. "
    said += drawing.legend(model.network, layer) + _show.untrained(model)
    table = drawing.draw(model.network, layer, found, path, said, _show.colours(theme))
    _show.finish(path, table, as_json, **shown.document, layer=layer, strongest=table)
    _show_data.refuse_skipped(pack)
