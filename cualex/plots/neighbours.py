"""Plot of images beside their nearest by features: figure 4 of the paper, right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cualex.explain.neighbours import distances
from cualex.plots import blocks
from cualex.plots.figure import Table, figure
from cualex.plots.text import file_title, label, short
from cualex.plots.theme import LIGHT, Theme

WIDE, GAP, AFTER = 10.0, 0.14, 0.36  # inches: of a row, between images, after the query
LEAST, SIDE = 0.9, 1.72  # inches of an image; where a row has many it is wider


@dataclass(frozen=True)
class Shown:
    """An image, uint8 (rows, columns, 3), with its name and class, and its distance from the query, 0 of itself.

    same: whether it has the query's pixels under another name.
    """

    name: str
    image: np.ndarray
    cls: str | None = None
    distance: float = 0.0
    same: bool = False


def search(queries: np.ndarray, features: Iterable[np.ndarray], metric: str) -> np.ndarray:
    """Return the distance of each query from each image, float64 (queries, images), while features go by.

    queries: (q, features).  features: batches (n, features).  metric: "cosine" or "l2".
    """
    batches = [np.stack([distances(query, batch, metric) for query in queries]) for batch in features]
    return np.concatenate(batches, axis=1)


def draw(rows: Sequence[Sequence[Shown]], path: str | Path, subtitle: str, theme: Theme = LIGHT) -> Table:
    """Draw each query, the first of its row, beside its nearest images; return a row for each of these.

    Of a query with a class, neighbours of the same class are green, others purple. Columns: query, query_class, rank,
    picture, class, distance.
    """
    across = max(map(len, rows))
    side = max(LEAST, min(SIDE, (WIDE - AFTER - (across - 2) * GAP) / across))
    tall = side + blocks.below((_named(each)[0] for row in rows for each in row), side)
    size = (across * (side + GAP) - GAP + (AFTER - GAP), blocks.HEAD + len(rows) * (tall + GAP) - GAP)
    with figure(path, size, "Nearest images", subtitle, theme) as drawn:
        blocks.head(drawn, 0, 0, "query", "", theme.ink)
        blocks.head(drawn, side + AFTER, 0, "nearest first", "", theme.ink)
        for number, (query, *near) in enumerate(rows):
            top = blocks.HEAD + number * (tall + GAP)
            axes = blocks.image(drawn, query.image, 0, top, side)
            blocks.caption(axes, side, *_named(query))
            for column, each in enumerate(near):
                axes = blocks.image(drawn, each.image, side + AFTER + column * (side + GAP), top, side)
                colour = theme.positive if each.cls == query.cls else theme.negative
                known = query.cls is not None and each.cls is not None
                said = "the same image" if each.same else f"distance {short(each.distance)}"
                blocks.caption(axes, side, _named(each)[0], said, colour if known else None)
    return [
        {
            "query": query.name,
            "query_class": query.cls,
            "rank": rank,
            "picture": each.name,
            "class": each.cls,
            "distance": each.distance,
        }
        for query, *near in rows
        for rank, each in enumerate(near, 1)
    ]


def _named(image: Shown) -> tuple[str, str]:
    """Return what an image is called, and what else there is to say of it as a query: its class, if any, and name."""
    name = file_title(image.name)
    return (label(image.cls), name) if image.cls else (name, "")
