"""What commands print: results on stdout as a table or one JSON document, all else on stderr.

Rich is imported where it draws, so that a command's help does not wait for it.
"""

import io
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import click

from cualex.cli import _terminal
from cualex.errors import UsageError
from cualex.system.amounts import duration as duration
from cualex.system.amounts import size as size
from cualex.system.amounts import written

SCHEMA = 1  # goes up when a key of a document is renamed, removed or changes its type, not when one is added
EVERY = 5.0  # seconds between plain progress lines
PLAIN_HEAD = "    \n    \n -- \n" + 5 * "    \n"  # a rule under the head, where ─ cannot be written
SHORTEST, LONGEST = 10, 24  # columns of a bar; shorter only where nothing can be left out any more


def document(value: object) -> None:
    """Print one JSON document."""
    click.echo(document_text(value, escaped=not written("日")))  # in an encoding that lacks letters


def document_text(value: object, escaped: bool = False) -> str:
    """Return a JSON document as a text; NumPy's values and paths become plain ones, NaN becomes null.

    An object begins with the version of its schema; `cualex help json` says what that means, and lists the keys.
    """
    from cualex.system.strict_json import plain as strict_plain

    strict = strict_plain(value)
    strict = {"schema_version": SCHEMA, **strict} if isinstance(strict, dict) else strict
    return json.dumps(strict, indent=2, ensure_ascii=escaped, allow_nan=False)


def table(
    rows: Sequence[Mapping], total: Mapping | None = None, spare: Sequence[str] = (), right: Sequence[str] = ()
) -> None:
    """Print rows as a table on stdout: a column for each key of the first row, numbers (and `right`) to the right.

    On a terminal `spare` columns are left out, in their order, until the others fit; then texts are wrapped at words,
    and where that is not enough the last columns go. The first, which has the names, stays, and no cell is cut. Off a
    terminal nothing is left out or wrapped, so that other programs can read it.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    plain = partial(Console, markup=False, highlight=False, emoji=False)
    console, widths = plain(file=sys.stdout), dict[str, int]()
    numeric = {key for key, first in rows[0].items() if isinstance(first, int | float) or hasattr(first, "dtype")}
    numeric |= set(right)
    if console.is_terminal:
        texts = {key: [key, *(_cell(row.get(key)) for row in (*rows, total or {}))] for key in rows[0]}
        widths = _terminal.layout(texts, {*numeric, next(iter(texts))}, spare, console.width)
        rows = [{key: row.get(key) for key in widths} for row in rows]
    drawn = Table(
        box=box.SIMPLE_HEAD if written("─") else box.Box(PLAIN_HEAD, ascii=True),
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_footer=total is not None,
    )
    for key in rows[0]:
        footer, whole = _cell((total or {}).get(key)), key in numeric
        drawn.add_column(key, footer, justify="right" if whole else "left", no_wrap=whole, width=widths.get(key))
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row.values()))
    if console.is_terminal:
        console.print(drawn)
    else:
        text = io.StringIO()
        plain(file=text, width=10_000).print(drawn)
        click.echo("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def _cell(value: object) -> str:
    """Return the text of a cell; None leaves it empty."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def echo(text: str = "") -> None:
    """Print a line of a result on stdout; on a terminal it is wrapped at words."""
    click.echo(_terminal.wrapped(text, sys.stdout))


def say(text: str) -> None:
    """Print a line on stderr, beside the results; on a terminal it is wrapped at words."""
    click.echo(_terminal.wrapped(text, sys.stderr), err=True)


def machine(conditions: Mapping) -> str:
    """Return the conditions of a measurement as a line."""
    load, blas = conditions["load_average_before"], ", ".join(conditions["blas"])
    return (
        f"Machine: {conditions['processor']}, {conditions['cores']} cores"
        f"{'' if load is None else f', load {load:.1f} before'}; "
        f"Python {conditions['python']}, NumPy {conditions['numpy']}, {blas}."
    )


def confirm(question: str, yes: bool) -> None:
    """Go on only if the user agrees; with --yes nobody is asked, and without a terminal the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask at: add --yes to continue.")
    if not click.confirm(question, err=True):
        raise click.exceptions.Exit(1)


class Progress:
    """Show on stderr how far a long job is, its rate, the time left and notes.

        with _output.Progress("Packing train", total=5000, unit="images") as progress:
            for record in ...:
                progress(record.done, f"{record.skipped} left out")

    On a terminal it is a bar, and the last notes are left out where a line has no room for them; elsewhere it is a
    plain line every few seconds and one at the end. `spent` are seconds that the job took before.
    """

    def __init__(self, label: str, total: int, unit: str = "images", done: int = 0, spent: float = 0.0):
        self.label, self.total, self.unit, self.first, self.done = label, total, unit, done, done
        self.notes: tuple[str, ...] = ()
        self.printed = time.monotonic()
        self.started = self.printed - spent
        self._pace: tuple[float, float | None] | None = None
        self._bar = _bar(label, total) if sys.stderr is not None and sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __call__(self, done: int, *notes: str, pace: tuple[float, float | None] | None = None) -> None:
        """Set how many of the total are done.

        pace: units a second and seconds left, None where that is not known; counted from the start if not given.
        """
        self.done, self.notes, self._pace = done, tuple(note for note in notes if note), pace
        if self._bar:
            self._draw(self._bar)
        elif time.monotonic() - self.printed >= EVERY:
            self.printed = time.monotonic()
            say(f"{self.label}: {self._text(self.notes)}")

    def say(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        if self._bar:
            self._bar.console.print(_terminal.wrapped(text, sys.stderr), soft_wrap=True)
        else:
            say(text)

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None:
            say(f"{self.label}: {self._text(self.notes)}")

    def _draw(self, bar: Any) -> None:
        """Move the bar, which becomes shorter where the text is long, after notes and the unit were left out."""
        room = bar.console.width - len(self.label) - 2  # a space on either side of the bar
        texts = [self._text(self.notes[:count]) for count in range(len(self.notes), -1, -1)]
        texts.append(texts[-1].replace(f" {self.unit}", "", 1))
        text = next((text for text in texts if len(text) + SHORTEST <= room), texts[-1])
        bar.columns[1].bar_width = max(1, min(LONGEST, room - len(text)))
        bar.update(bar.task_ids[0], completed=self.done, total=self.total, text=text)

    def _text(self, notes: Sequence[str]) -> str:
        """Return how far it is, the rate, the time left, and notes."""
        elapsed = time.monotonic() - self.started
        rate = (self.done - self.first) / elapsed if elapsed > 0 else 0.0
        left = (self.total - self.done) / rate if rate else None
        rate, left = self._pace or (rate, left)
        parts = [f"{self.done:,}/{self.total:,} {self.unit}"]
        if rate:
            parts.append(f"{rate:.3g}/s" if rate < 100 else f"{rate:,.0f}/s")
        if self.done >= self.total:
            parts.append(f"in {duration(elapsed)}")
        elif left is not None:
            parts.append(f"{duration(left)} left")
        return ", ".join([*parts, *notes])


class Compiling:
    """Show how many kernels are compiled, of how many: a Progress for each plan that needs some."""

    def __init__(self):
        self._progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        """Set how many kernels are compiled; the last one ends the display."""
        if self._progress is None:
            self._progress = Progress("Compiling kernels", total, "kernels")
            self._progress.__enter__()
        self._progress(done)
        if done == total:
            self._progress.__exit__(None)
            self._progress = None


def _bar(label: str, total: int):
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
    text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True))
    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=LONGEST),
        text,
        console=console,
        refresh_per_second=4,
    )
    bar.add_task(label, total=total, text="")
    return bar
