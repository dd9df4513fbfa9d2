"""`cualex lesson`: short lessons on AlexNet, which compute and draw."""

import re
import shutil
import sys
from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output
from cualex.errors import OutputError

WIDE = 100  # columns of a text that is read


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
    and the bundled network. In a terminal it waits for Enter before an answer. NAME may be the number in the list;
    --notebook without NAME writes all of them.

    \b
    Examples:
        cualex lesson
        cualex lesson convolution
        cualex lesson momentum --notebook
    """
    from cualex import lessons
    from cualex.system import files

    if name is None and not notebook:
        _list([lessons.find(each) for each in lessons.names()], as_json)
        return
    chosen = [lessons.find(each) for each in ([name] if name else lessons.names())]
    files.make_directory(output)
    if notebook:
        _write(chosen, output)
        return
    (one,) = chosen
    if as_json:
        cells = list(one.run(output))
        _output.document({"lesson": one.name, "cells": [{"kind": cell.kind, "text": cell.text} for cell in cells]})
        return
    for cell in one.run(output, sys.stdout):
        _print(cell)


def _list(every: list, as_json: bool) -> None:
    """Print number, name and title of each lesson."""
    rows = [{"lesson": each.name, "title": each.title} for each in every]
    if as_json:
        _output.document(rows)
    else:
        _output.table([{"number": number, **row} for number, row in enumerate(rows, 1)])
        _output.say(f"Begin with: cualex lesson {rows[0]['lesson']}")


def _write(chosen: list, output: Path) -> None:
    """Write lessons as notebooks; one that is there already may have its reader's notes, and stays."""
    paths = [output / f"{each.name}.ipynb" for each in chosen]
    there = [path for path in paths if path.exists()]
    if there:
        raise OutputError(f"{there[0]} exists, perhaps with notes of yours: remove it, or give another --output.")
    for each, path in zip(chosen, paths, strict=True):
        each.write_notebook(path)
        _output.say(f"Notebook: {path}")
    _output.say("Open with Jupyter (pip install jupyterlab): jupyter lab, in an environment that has cualex.")


def _print(cell) -> None:
    """Print a cell; wait after a question, where somebody sits at a terminal. What it printed came while it ran."""
    if cell.kind == "plot":
        click.echo(f"Plot: {cell.text}\n")
    elif cell.kind == "printed":
        click.echo()
    elif cell.kind != "code":
        heading = {"question": "Question. ", "answer": "Answer. "}.get(cell.kind, "")
        for block in f"{heading}{_plain(cell.text)}".split("\n\n"):
            _print_block(block)
        if cell.kind == "question" and _at_terminal():
            said = click.prompt(
                "Enter shows how it goes on, q ends", prompt_suffix=": ", default="", show_default=False
            )
            if said.strip().lower() in ("q", "quit", "exit"):
                raise click.exceptions.Exit(0)


def _at_terminal() -> bool:
    """Return whether somebody can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _print_block(block: str) -> None:
    """Print a paragraph at most WIDE columns wide, and a table or indented lines as they are."""
    lines = block.splitlines()
    if all(line.startswith("|") for line in lines):
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
        _output.table([dict(zip([name or " " for name in head], row, strict=True)) for row in rows])
        click.echo()
    elif any(line.startswith("    ") for line in lines):
        click.echo(f"{block}\n")
    else:
        columns = min(WIDE, shutil.get_terminal_size().columns)
        click.echo(click.wrap_text(" ".join(lines), columns) + "\n")


def _plain(text: str) -> str:
    """Return Markdown as it reads best in a terminal."""
    return re.sub(r"^# ", "", re.sub(r"\*(\w[^*\n]*)\*", r"\1", text))
