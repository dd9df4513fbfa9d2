"""Texts in plots: names of classes, cut or wrapped to a width in inches."""

import re
import warnings

from cualex.data.sources import imagenet_classes
from cualex.plots.theme import SANS

MISSING = "Glyph .* missing from"  # a warning: the letter is drawn as a box, and the numbers have it


def label(name: str) -> str:
    """Return a class's name to draw: in English for a WordNet number, without line breaks and undecodable bytes."""
    return " ".join(imagenet_classes.english(name).encode("utf-8", "replace").decode().split())


def fitted(text: str, inches: float, size: float, bold: bool = False) -> str:
    """Return a text that is no wider than `inches` at a font size in points: cut at its end, with an ellipsis."""
    if width_of(text, size, bold) <= inches:
        return text
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if width_of(text[:middle].rstrip() + "…", size, bold) <= inches else (low, middle)
    return text[:low].rstrip() + "…"


def wrapped(text: str, inches: float, size: float, bold: bool = False) -> list[str]:
    """Divide a text between words, and after _ and -, into lines no wider than `inches`; a longer word is cut."""
    lines: list[str] = []
    for space, word in re.findall(r"(\s*)([^\s_-]+[_-]*|[_-]+)", text.strip()):
        longer = lines[-1] + (" " if space else "") + word if lines else word
        if lines and width_of(longer, size, bold) <= inches:
            lines[-1] = longer
        else:
            lines.append(fitted(word, inches, size, bold))
    return lines


def in_two(text: str, inches: float, size: float) -> list[str]:
    """Divide a bold text into at most two lines, of which the second is cut where the text is longer."""
    first, *rest = wrapped(text, inches, size, bold=True) or [""]
    return [first, fitted(text[len(first) :].strip(), inches, size, bold=True)] if rest else [first]


def short(number: float) -> str:
    """Return a number with three digits, zeros at its end included, so that numbers beside each other have as many."""
    text = f"{number:,.0f}" if 999.5 <= abs(number) < 1e6 else f"{number:#.3g}".removesuffix(".")
    return (text if number else "0").replace("-", "−")


def file_title(name: str) -> str:
    """Return what to call an image that has no class: its file's name without folders, ending and WordNet number."""
    stem = name.rpartition("/")[2]
    stem = stem.rpartition(".")[0] or stem
    return re.sub(r"^n\d{8}_(?=\w)", "", stem)


def width_of(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a text in inches, at a font size in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family=[SANS], size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING)
        width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return width / 72
