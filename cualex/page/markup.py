"""Pieces of HTML: escaped texts, tables, bars. Every text from outside, as a class's or a file's name, is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from cualex.data.sources import imagenet_classes


class Markup(str):
    """A text that is HTML already."""


def text(value: object) -> str:
    """Return a value escaped for HTML, without what no encoding has."""
    return escape(" ".join(str(value).encode("utf-8", "replace").decode().split()))


def title(name: str) -> str:
    """Return a class's name for people: of ImageNet's folders (n01440764) the English names."""
    return imagenet_classes.english(name)


def table(
    head: Sequence[str], body: Iterable[Sequence[object]], numbers: Sequence[int] = (), whole: bool = False
) -> str:
    """Return a table; cells that are `Markup` are HTML already. numbers: columns of figures."""
    kinds = [' class="number"' if index in numbers else "" for index in range(len(head))]
    top = "".join(f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(head, kinds, strict=True))
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td{kind}>{cell if isinstance(cell, Markup) else text(cell)}</td>"
            for cell, kind in zip(row, kinds, strict=True)
        )
        + "</tr>"
        for row in body
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def bar(share: float | None) -> Markup:
    """Return a fraction as per cent with a bar below; 0 / 0 leaves the cell empty."""
    if share is None:
        return Markup("")
    return Markup(f'<span class="bar" style="--part:{100 * share:.1f}%">{100 * share:.1f}</span>')


def percent(share: float) -> str:
    """Return a probability as per cent."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def missing(why: str) -> str:
    """Return why a section is missing."""
    return f'<p class="missing">{text(why)}</p>'


def folded(summary: str, inside: str) -> str:
    """Return HTML that unfolds below a summary."""
    return f"<details><summary>{text(summary)}</summary>{inside}</details>"


def wide(inside: str) -> str:
    """Return HTML that is scrolled sideways where it is wider than the page."""
    return f'<div class="wide" tabindex="0">{inside}</div>'
