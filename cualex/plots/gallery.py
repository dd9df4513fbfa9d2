"""Plots of images with what a network takes them for: the likeliest classes, as figure 4 of the paper, and mistakes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cualex.evaluation import Evaluation
from cualex.plots import blocks
from cualex.plots.figure import Table, figure, place
from cualex.plots.text import fitted, label, width_of
from cualex.plots.theme import LIGHT, SMALL, TEXT, Theme

WIDE = 9.6  # inches, of a row of images
SIDE, SMALL_SIDE, GAP = (1.95, 2.9), (1.36, 2.18), 0.28  # inches: of an image, and at most for long names; between
ROW, BAR, BELOW = 0.27, 0.06, 0.3  # inches: for a class, of its bar, and for the name of the image
SHARE = 0.5  # inches, for a probability
SHORTEST = 0.012  # inches, of a bar


@dataclass(frozen=True)
class Card:
    """An image, uint8 (rows, columns, 3), with (class, probability), likeliest first.  true: its class, if known."""

    name: str
    image: np.ndarray
    guesses: Sequence[tuple[str, float]]
    true: str | None = None


def chosen(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return the indices of `count` images drawn at random, of as many classes as there are: one of each in turn."""
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    seen: dict[int, int] = {}
    turns = []
    for label_ in labels[shuffled].tolist():
        turns.append(seen.get(label_, 0))
        seen[label_] = turns[-1] + 1
    return shuffled[np.argsort(turns, kind="stable")][:count]


def mistaken(evaluation: Evaluation) -> np.ndarray:
    """Return the indices of the images that are classified wrongly, the most confident first; not those with NaN."""
    wrong = np.flatnonzero((evaluation.named != evaluation.labels) & (evaluation.named >= 0))
    return wrong[np.argsort(-evaluation.probabilities[wrong], kind="stable")]


def draw_predictions(cards: Sequence[Card], path: str | Path, subtitle: str, theme: Theme = LIGHT) -> Table:
    """Draw each image above its likeliest classes; return a row for each class of each image.

    The true class is green, another in first place purple. Columns: picture, class (the true one), rank, named,
    probability.
    """
    shown = max(len(card.guesses) for card in cards)
    side = _side((named for card in cards for named, _ in card.guesses), SIDE, bold=False)
    side = even(len(cards), side, SIDE)
    size, corners = grid(len(cards), side, side + BELOW + shown * ROW)
    with figure(path, size, "Predictions", subtitle, theme) as drawn:
        for card, (left, top) in zip(cards, corners, strict=True):
            axes = blocks.image(drawn, card.image, left, top, side)
            name = card.name if card.true is None else label(card.true)
            style = {"fontsize": TEXT, "fontweight": "bold", "color": theme.ink}
            blocks.note(axes, fitted(name, side, TEXT, bold=True), (0, 0), (0, -15), **style)
            for rank, (named, probability) in enumerate(card.guesses):
                axes = place(drawn, left, top + side + BELOW + rank * ROW, side, ROW)
                _bar(axes, side, (label(named), probability), _colour(card, named, rank, theme), theme)
    return [
        {"picture": card.name, "class": card.true or "", "rank": rank, "named": named, "probability": f"{share:.6g}"}
        for card in cards
        for rank, (named, share) in enumerate(card.guesses, 1)
    ]


def draw_mistakes(
    evaluation: Evaluation, images: np.ndarray, path: str | Path, subtitle: str, theme: Theme = LIGHT
) -> Table:
    """Draw the most confident mistakes, each above the class that it was taken for, and the true one.

    images: uint8 (n, rows, columns, 3), of the first n that `mistaken` gives. Return a row for each mistake, also of
    those that are not drawn. Columns: picture, class (the true one), named, probability.
    """
    cards = [
        Card(
            evaluation.names[index],
            image,
            [(evaluation.classes[evaluation.named[index]], float(evaluation.probabilities[index]))],
            evaluation.classes[evaluation.labels[index]],
        )
        for index, image in zip(mistaken(evaluation), images, strict=False)
    ]
    side = _side((card.guesses[0][0] for card in cards), SMALL_SIDE, bold=True)
    side = even(len(cards), side, SMALL_SIDE)
    size, corners = grid(len(cards), side, side + blocks.LINES)
    with figure(path, size, "Mistakes", subtitle, theme) as drawn:
        for card, (left, top) in zip(cards, corners, strict=True):
            axes = blocks.image(drawn, card.image, left, top, side)
            named, probability = card.guesses[0]
            style = {"fontweight": "bold", "color": theme.negative}
            blocks.note(axes, fitted(label(named), side - SHARE, SMALL, bold=True), (0, 0), (0, -13), **style)
            blocks.note(axes, percent(probability), (1, 0), (0, -13), ha="right", color=theme.negative)
            blocks.note(axes, fitted(f"is {label(card.true or '')}", side, SMALL), (0, 0), (0, -25))
    return [
        {
            "picture": evaluation.names[index],
            "class": evaluation.classes[evaluation.labels[index]],
            "named": evaluation.classes[evaluation.named[index]],
            "probability": f"{evaluation.probabilities[index]:.6g}",
        }
        for index in mistaken(evaluation)
    ]


def _side(names: Iterable[str], limits: tuple[float, float], bold: bool) -> float:
    """Return the side of an image in inches at which a probability fits beside each of the names."""
    longest = max(width_of(label(name), SMALL, bold) for name in set(names))
    return min(max(limits[0], longest + SHARE), limits[1])


def even(count: int, side: float, limits: tuple[float, float]) -> float:
    """Return a side at most as large with which one more in a row makes the last row full, where there is one."""
    across = int((WIDE + GAP) / (side + GAP)) + 1
    smaller = (WIDE + GAP) / across - GAP - 1e-9
    gained = count % (across - 1) and count % across == 0
    return smaller if gained and smaller >= limits[0] else side


def grid(count: int, wide: float, tall: float) -> tuple[tuple[float, float], list[tuple[float, float]]]:
    """Return the size in inches of rows of cards, and the left and top corners of the cards."""
    across = min(count, int((WIDE + GAP) / (wide + GAP)))
    down = -(-count // across)
    corners = [(index % across * (wide + GAP), 0.1 + index // across * (tall + GAP)) for index in range(count)]
    return (across * (wide + GAP) - GAP, 0.1 + down * (tall + GAP) - GAP), corners


def _bar(axes: Any, side: float, guess: tuple[str, float], colour: str, theme: Theme) -> None:
    """Draw a class, its probability, and a bar as long."""
    name, probability = guess
    axes.set(xlim=(0, side), ylim=(ROW, 0))
    style = {"fontsize": SMALL, "parse_math": False, "color": theme.soft if colour == theme.faint else theme.ink}
    axes.text(0, 0.14, fitted(name, side - SHARE, SMALL), **style)
    axes.text(side, 0.14, percent(probability), ha="right", **style)
    axes.barh(0.2, side, BAR, color=theme.rule)
    axes.barh(0.2, max(SHORTEST, side * probability), BAR, color=colour)


def _colour(card: Card, named: str, rank: int, theme: Theme) -> str:
    if named == card.true:
        return theme.positive
    if card.true is None:
        return theme.faint if rank else theme.ink
    return theme.faint if rank else theme.negative


def percent(probability: float) -> str:
    """Return a probability with two digits, more near to 1; 0 % and 100 % are of 0 and 1 alone."""
    share = 100 * probability
    if share != share:
        return "NaN"
    if 0 < share < 0.05 or 99.95 <= share < 100:
        return "<0.1 %" if share < 1 else ">99.9 %"
    return f"{share:.1f} %" if 0 < share < 9.95 or 99.5 <= share < 100 else f"{share:.0f} %"
