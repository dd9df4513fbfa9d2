"""A lesson as a list of cells: read from its script, run, or written as a notebook.

    # %%               begins a cell of code
    # %% [markdown]    begins a cell of text, in comments
    # %% [question]    text; the command waits for a key before the next cell
    # %% [answer]      text

The docstring of the script is the first text; its first line is the title.
"""

import ast
import contextlib
import difflib
import io
import json
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from cualex.errors import UsageError
from cualex.lessons import tools
from cualex.system import files

# In the order in which they are read: what a layer does, how a network learns, AlexNet as a whole.
NAMES = (
    "convolution",
    "activations",
    "vanishing-gradients",
    "sparsity",
    "pooling",
    "normalisation",
    "dropout",
    "augmentation",
    "small-data",
    "momentum",
    "two-gpus",
    "fine-tuning",
    "lenet-to-alexnet",
)
KINDS = ("text", "question", "answer", "code", "printed", "plot")


@dataclass(frozen=True)
class Cell:
    """A cell, or what running one gave: `kind` is one of KINDS; the text of a plot is its path."""

    kind: str
    text: str


class Printed(io.StringIO):
    """What a cell prints; a stream is given it too, as it comes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Begin with nothing."""
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        """Keep a text, and pass it on."""
        if self._stream:
            self._stream.write(text)
            self._stream.flush()
        return super().write(text)


@dataclass(frozen=True)
class Lesson:
    """A lesson: its name, its title and its cells.

    >>> cualex.lessons.find("pooling").title
    'Pooling that overlaps'
    """

    name: str
    title: str
    cells: tuple[Cell, ...]

    def run(self, directory: Path, stream: TextIO | None = None) -> Iterator[Cell]:
        """Run the cells; yield each, and after a cell of code what it printed and its plots, as PNG in `directory`.

        stream: is also given what a cell prints, as soon as it does; training takes a while.
        """
        namespace: dict[str, Any] = {"__name__": f"cualex lesson {self.name}"}
        with tools.written_to(directory, self.name) as plots:
            for cell in self.cells:
                yield cell
                if cell.kind != "code":
                    continue
                printed, before = Printed(stream), len(plots)
                with contextlib.redirect_stdout(printed):
                    exec(compile(cell.text, f"<lesson {self.name}>", "exec"), namespace)
                if printed.getvalue():
                    yield Cell("printed", printed.getvalue())
                yield from (Cell("plot", str(path)) for path in plots[before:])

    def notebook(self) -> dict[str, Any]:
        """Return the lesson as a Jupyter notebook, format 4.5, without outputs."""
        cells = []
        for number, cell in enumerate(self.cells):
            text, common = cell.text, {"id": f"cell-{number}", "metadata": {}}
            if cell.kind == "answer":
                text = f"<details><summary>Answer</summary>\n\n{text}\n\n</details>"
            elif cell.kind == "question":
                text = f"**Question.** {text}"
            lines = text.splitlines(keepends=True)
            if cell.kind == "code":
                cells.append({"cell_type": "code", **common, "execution_count": None, "outputs": [], "source": lines})
            else:
                cells.append({"cell_type": "markdown", **common, "source": lines})
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
        return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}

    def write_notebook(self, path: Path) -> None:
        """Write the lesson as an .ipynb file."""
        text = json.dumps(self.notebook(), indent=1, ensure_ascii=False) + "\n"
        files.replace(path, lambda part: part.write_text(text, encoding="utf-8"))


def names() -> tuple[str, ...]:
    """Return the names of all lessons, in the order in which they are read."""
    return NAMES


def find(name: str) -> Lesson:
    """Read a lesson by its name, or by its number in the list from 1; raise UsageError where there is none."""
    if name.isdecimal() and 1 <= int(name) <= len(NAMES):
        name = NAMES[int(name) - 1]
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(f"no lesson is called {name!r}; there are {', '.join(NAMES)}.{hint}")
    script = Path(__file__).with_name(f"{name.replace('-', '_')}.py")
    return parse(name, script.read_text(encoding="utf-8"))


def parse(name: str, script: str) -> Lesson:
    """Read the cells of a script; raise ValueError for a cell of a kind that there is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        introduction = ast.get_docstring(ast.parse(script)) or ""
    title, _, text = introduction.partition("\n")
    cells = [Cell("text", f"# {title.removesuffix('.')}\n\n{text.strip()}")]
    for part in ("\n" + script).split("\n# %%")[1:]:
        head, _, body = part.partition("\n")
        kind = head.strip().strip("[]")
        if kind == "":
            cells.append(Cell("code", body.strip("\n")))
        elif kind in ("markdown", "question", "answer"):
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.strip("\n").splitlines()]
            cells.append(Cell("text" if kind == "markdown" else kind, textwrap.dedent("\n".join(lines)).strip()))
        else:
            there = "[markdown], [question], [answer]"
            raise ValueError(f"lesson {name}: a cell of kind {head.strip()!r}; there are {there}")
    return Lesson(name, title.removesuffix("."), tuple(cells))
