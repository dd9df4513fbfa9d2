"""Plot of the confusion matrix; of many classes, an overview and the most frequent confusions."""

from pathlib import Path
from typing import Any

import numpy as np

from cualex.evaluation import Evaluation
from cualex.plots.figure import figure, place
from cualex.plots.text import fitted, label, width_of
from cualex.plots.theme import LIGHT, SMALL, TEXT, TINT, Theme

NAMED = 40  # classes that are named at the sides of the matrix; of more, the most frequent confusions are
COUNTED = 20  # classes up to which every cell has its count
LONGEST = 2.7  # inches, of a name
SIDE = 5.2  # inches, of the matrix of many classes
CELL, LEAST_CELL, MATRIX = 0.46, 0.2, 6.4  # inches: of a cell at most and at least, and about, of a matrix
COARSE = 130  # cells in a row of an overview, at most
PAIRS, ROW = 20, 0.262  # confusions that are listed, and inches for one
BAR = 0.9  # inches, of the longest bar


def draw(evaluation: Evaluation, path: str | Path, theme: Theme = LIGHT, more: str = "") -> None:
    """Draw the matrix: rows are true classes, columns predicted ones, in fractions of the row.

    Correct fractions are green, confusions purple. Of many classes those without an image are left out.
    """
    matrix, names = evaluation.confusion, [label(name) for name in evaluation.classes]
    here = np.flatnonzero(matrix.any(axis=0) | matrix.any(axis=1))
    said = f"{evaluation.count:,} images, top-1 {100 * evaluation.top1:.1f} %. "
    said += f"Rows are true classes, columns predicted ones; green is correct.{more}"
    if len(here) < len(names) > NAMED:
        said += f" Left out: {len(names) - len(here):,} classes, which no image is of or was taken for."
        matrix, names = matrix[np.ix_(here, here)], [names[index] for index in here]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    if len(names) <= NAMED:
        _named(matrix, shares, names, path, f"{said} Shades: fractions of the row; of purple, the square root.", theme)
    else:
        _overview(matrix, shares, names, path, said, theme)


def _named(
    matrix: np.ndarray, shares: np.ndarray, names: list[str], path: str | Path, subtitle: str, theme: Theme
) -> None:
    """Draw every class with its name, its counts where they fit, and its recall."""
    count = len(names)
    cell = max(LEAST_CELL, min(CELL, MATRIX / count))
    shown = [fitted(name, LONGEST, SMALL) for name in names]
    left = above = max(width_of(name, SMALL) for name in shown) + 0.12
    side = count * cell
    with figure(path, (left + side + 0.6, above + 0.15 + side), "Confusion matrix", subtitle, theme) as drawn:
        axes = place(drawn, left, above + 0.15, side, side)
        axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
        colours = _colours(shares, np.diag(shares), theme)
        axes.imshow(colours, aspect="auto")
        for edge in np.arange(count + 1) - 0.5:
            axes.axhline(edge, color=theme.ground, linewidth=0.8)
            axes.axvline(edge, color=theme.ground, linewidth=0.8)
        style = {"fontsize": SMALL, "color": theme.soft, "parse_math": False}
        gap = 0.08 / cell
        for index, name in enumerate(shown):
            axes.text(-0.5 - gap, index, name, ha="right", va="center", **style)
            axes.text(index, -0.5 - gap, name, rotation=90, ha="center", va="bottom", **style)
            recall = f"{100 * shares[index, index]:.0f} %" if matrix[index].any() else "none"
            axes.text(count - 0.5 + gap, index, recall, va="center", **{**style, "color": theme.positive})
        axes.text(count - 0.5 + gap, -0.5 - gap, "recall", **{**style, "color": theme.positive})
        if count <= COUNTED:
            for (row, column), number in np.ndenumerate(matrix):
                if number:
                    size = SMALL if len(f"{number:,}") < 5 else SMALL - 2
                    inside = {"fontsize": size, "color": theme.legible(colours[row, column])}
                    axes.text(column, row, f"{number:,}", ha="center", va="center", **inside)


def _colours(wrong: np.ndarray, right: np.ndarray, theme: Theme) -> np.ndarray:
    """Return the colours (n, n, 3) of a matrix of fractions: `right` (n,) green, of the others the root, purple."""
    shown = theme.flat(theme.negative)(np.sqrt(wrong))[:, :, :3]
    shown[wrong == 0] = theme.mixed(theme.soft, TINT)
    index = np.arange(len(shown))
    shown[index, index] = theme.flat(theme.positive)(right)[:, :3]
    return shown


def _overview(
    matrix: np.ndarray, shares: np.ndarray, names: list[str], path: str | Path, subtitle: str, theme: Theme
) -> None:
    """Draw the matrix without names, similar classes beside one another, and the most frequent confusions."""
    wrong = matrix - np.diag(np.diag(matrix))
    pairs = [index for index in np.argsort(-wrong, axis=None, kind="stable")[:PAIRS] if wrong.flat[index]]
    ordered = similar_together(shares)
    step = -(-len(names) // COARSE)
    coarse = _summed(wrong[np.ix_(ordered, ordered)], step), _summed(matrix[np.ix_(ordered, ordered)], step)
    fractions = coarse[0] / np.maximum(coarse[1].sum(axis=1, keepdims=True), 1)
    each = "a class" if step == 1 else f"{step} classes"
    subtitle += f" A cell is {each}; those that are confused lie together. The darkest confusion is "
    subtitle += f"{100 * fractions.max():.0f} % of its row."
    texts = [tuple(names[part] for part in divmod(int(index), len(names))) for index in pairs]
    widths = [min(LONGEST, max((width_of(text[part], SMALL) for text in texts), default=1.0) + 0.1) for part in (0, 1)]
    right = SIDE + 0.5
    size = (right + sum(widths) + 0.25 + BAR + 0.3, max(SIDE, (PAIRS + 1) * ROW) + 0.2)
    with figure(path, size, "Confusion matrix", subtitle, theme) as drawn:
        axes = place(drawn, 0, 0.2, SIDE, SIDE)
        correct = np.diag(coarse[1] - coarse[0]) / np.maximum(coarse[1].sum(axis=1), 1)
        axes.imshow(_colours(fractions / max(fractions.max(), 1e-9), correct, theme), aspect="auto")
        axes = place(drawn, right, 0.2, size[0] - right, size[1] - 0.2)
        axes.set(xlim=(0, size[0] - right), ylim=(size[1] - 0.2, 0))
        bold = {"fontsize": TEXT, "fontweight": "bold"}
        axes.text(0, 0.1, "Most frequent confusions" if pairs else "No confusions", **bold)
        for number, (index, (true, named)) in enumerate(zip(pairs, texts, strict=True)):
            _pair(axes, (number + 1.4) * ROW, widths, (true, named), int(wrong.flat[index]), int(wrong.max()), theme)


def _pair(
    axes: Any, y: float, widths: list[float], texts: tuple[str, ...], count: int, most: int, theme: Theme
) -> None:
    """Draw a confusion: the true class, the predicted one, and a bar as long as it is frequent."""
    style = {"fontsize": SMALL, "va": "center", "parse_math": False}
    axes.text(0, y, fitted(texts[0], widths[0], SMALL), color=theme.ink, **style)
    axes.text(widths[0], y, "→", color=theme.faint, **style)
    axes.text(widths[0] + 0.2, y, fitted(texts[1], widths[1], SMALL), color=theme.negative, **style)
    left = widths[0] + widths[1] + 0.25
    axes.barh(y, BAR * count / most, 0.1, left=left, color=theme.negative)
    axes.text(left + BAR * count / most + 0.06, y, f"{count:,}", color=theme.soft, **style)


def _summed(matrix: np.ndarray, step: int) -> np.ndarray:
    """Sum squares of `step` rows and columns."""
    cuts = np.arange(0, len(matrix), step)
    return np.add.reduceat(np.add.reduceat(matrix, cuts, 0), cuts, 1)


def similar_together(shares: np.ndarray) -> np.ndarray:
    """Return an order of classes (n,) in which those that are often confused are near to one another.

    Single-linkage clustering: chains of classes are joined at their most frequent confusion, the strongest first, each
    turned so that the two classes are as near as may be. Of equal ones the first; no rounding can change the order.
    """
    both = np.triu(shares + shares.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[: np.count_nonzero(both)]
    chains = {index: [index] for index in range(len(shares))}
    chain_of = list(range(len(shares)))
    for one, other in zip(*(part.tolist() for part in np.unravel_index(order, both.shape)), strict=True):
        first, second = chain_of[one], chain_of[other]
        if first != second:
            left, right = chains.pop(first), chains.pop(second)
            left = left if 2 * left.index(one) >= len(left) - 1 else left[::-1]
            right = right if 2 * right.index(other) <= len(right) - 1 else right[::-1]
            chains[first] = left + right
            for each in right:
                chain_of[each] = first
    return np.array([each for chain in sorted(chains.values(), key=min) for each in chain])
