"""`cualex lesson`: short lessons on AlexNet, which compute and draw."""

import re
import sys
from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output


@click.command(cls=_aliases.Command)
@click.argument("name", required=False)
@click.option("--notebook", is_flag=True, help="Write the lesson as NAME.ipynb and run nothing.")
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    default=Path("lessons"),
    show_default=True,
    help="Directory for plots and notebooks.",
)
@_options.as_json
def lesson(name: str | None, notebook: bool, output: Path, as_json: bool) -> None:
    """Run a lesson; without NAME, list them.

    A lesson explains, computes, draws, asks a question and answers it, in under two minutes on 2 cores, on drawn images
    and the bundled network. In a terminal it waits for Enter before an answer.

    \b
    Examples:
        cualex lesson
        cualex lesson convolution
        cualex lesson momentum --notebook
    """
    from cualex import lessons
    from cualex.system import files

    if name is None:
        _list([lessons.find(each) for each in lessons.names()], as_json)
        return
    chosen = lessons.find(name)
    files.make_directory(output)
    if notebook:
        path = output / f"{name}.ipynb"
        chosen.write_notebook(path)
        _output.say(f"Notebook: {path}")
        return
    cells = chosen.run(output)
    if as_json:
        _output.document({"lesson": name, "cells": [{"kind": cell.kind, "text": cell.text} for cell in cells]})
        return
    for cell in cells:
        _print(cell)


def _list(every: list, as_json: bool) -> None:
    """Print name and title of each lesson."""
    rows = [{"lesson": each.name, "title": each.title} for each in every]
    if as_json:
        _output.document(rows)
    else:
        _output.table(rows)


def _print(cell) -> None:
    """Print a cell; wait after a question, where somebody sits at a terminal."""
    if cell.kind == "printed":
        click.echo(cell.text)
    elif cell.kind == "plot":
        _output.say(f"Plot: {cell.text}")
    elif cell.kind != "code":
        heading = {"question": "Question. ", "answer": "Answer. "}.get(cell.kind, "")
        click.echo(f"{heading}{_plain(cell.text)}\n")
        if cell.kind == "question" and sys.stdin.isatty() and sys.stdout.isatty():
            click.prompt("Enter shows how it goes on", prompt_suffix=".", default="", show_default=False, err=True)


def _plain(text: str) -> str:
    """Return Markdown as it reads best in a terminal."""
    return re.sub(r"^# ", "", re.sub(r"\*(\w[^*\n]*)\*", r"\1", text))
