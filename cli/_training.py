"""A training as its command shows it: what it will write, progress, lines, curves, and what it has come to."""

import contextlib
import sys
import time
from collections import deque
from pathlib import Path

import click

from cualex.cli import _layers, _output, _terminal

DRAW_EVERY = 5.0  # seconds; epochs of small sets are shorter than a drawing takes
MANY, EVERY = 40, 1.0  # epochs, of which only one a second has a line: a small set has hundreds
WAITS = 0.05  # share of the time spent waiting for data from which it is worth saying

keep = click.option(
    "--keep",
    is_flag=True,
    help="Keep the checkpoints of a finished run, so that --resume RUN --epochs N can go on with it.",
)


def announce(needed, run, output: Path, kept: bool) -> None:
    """Say what a run will write, a new one below `output`; raise OutputError where the disk has no room for it."""
    _output.say(_terminal.wrapped(check_room(needed, run, output, kept), sys.stderr))


def check_room(needed, run, output: Path, kept: bool) -> str:
    """Return what `announce` says, or raise OutputError."""
    from cualex.errors import OutputError
    from cualex.training.run import checkpoints

    place = run.path if run else output
    free, size = checkpoints.free(place), _output.size
    said = (
        f"This run writes up to {size(needed.most)} {'to' if run else 'below'} {place}: 2 checkpoints of "
        f"{size(needed.checkpoint)}, a third while it is written, {size(needed.best)} of best weights; "
        f"{size(needed.left(kept))} stay at the end; {size(free)} are free."
    )
    if needed.most > free:
        raise OutputError(f"{said} Free some space, or name a directory on another disk with --output.")
    return said


class Pace:
    """Estimate the time that is left to a training from updates and ends of epochs that were timed.

    The first update, which compiles kernels and touches memory for the first time, is left out, and so is the slowest
    of the recent ones, during which a checkpoint may have been written. An end of an epoch is what passes between two
    updates beside the second: validation, best weights, checkpoint, drawing. Before the first of them validation is
    taken to cost a third of an update an image, since a backward pass costs about two forward passes, and the disk to
    take 200 MB/s, written, flushed and read back.
    """

    LEAST, RECENT, ENDS = 2, 50, 5  # timed updates before anything is said; updates and ends looked at
    DISK = 200e6  # bytes/s

    def __init__(self, validated: int, written: int):
        """Start; at the end of an epoch so many images are evaluated, and so many bytes written."""
        self.validated, self.written = validated, written
        self._seconds, self._ends = deque(maxlen=self.RECENT), deque(maxlen=self.ENDS)
        self._before = None  # when the last update was reported, and of which epoch it was

    def add(self, record, now: float) -> None:
        """Take an update that is reported now."""
        if self._before:
            self._seconds.append(record.seconds)
            since, epoch = self._before
            if record.epoch > epoch:
                self._ends.append(max(0.0, now - since - record.seconds))
        self._before = now, record.epoch

    @property
    def update(self) -> float | None:
        """Return the seconds of an update; None before enough of them were timed."""
        if len(self._seconds) < self.LEAST:
            return None
        kept = sorted(self._seconds)
        kept = kept[:-1] if len(kept) > self.LEAST else kept
        return sum(kept) / len(kept)

    def left(self, record) -> float | None:
        """Return the seconds that are left after an update."""
        if self.update is None:
            return None
        guess = self.update * self.validated / (3 * record.images) + self.written / self.DISK
        end = sum(self._ends) / len(self._ends) if self._ends else guess
        return (record.updates - record.update) * self.update + (record.epochs - record.epoch + 1) * end


def show(records, run, pace: Pace, watch: bool = False) -> None:
    """Turn the records of a training into progress, lines and pictures; with `watch`, a table of the layers."""
    from cualex.training.records import Epoch, Notice, Update

    say, progress, drawn, seconds, waited, shown = _output.say, None, None, 0.0, 0.0, 0.0
    with contextlib.ExitStack() as stack:
        for record in records:
            if isinstance(record, Update):
                pace.add(record, time.monotonic())
                if progress is None:
                    done = (record.update - 1) * record.images
                    progress = _output.Progress("Training", 0, "images", done, spent=record.seconds)
                    say = stack.enter_context(progress).say
                seconds, waited = seconds + record.seconds, waited + record.waited
                notes = [f"epoch {record.epoch}", f"loss {record.loss:.3f}", f"top-1 {record.top1:.0%}"]
                if waited > WAITS * seconds:
                    notes.append(f"waiting for data {waited / seconds:.0%}")
                rate = record.images / pace.update if pace.update else 0.0
                progress.total = record.updates * record.images  # fewer where the training ends early
                progress(record.update * record.images, *notes, pace=(rate, pace.left(record)))
            elif isinstance(record, Notice):
                say(record.text)
            elif isinstance(record, Epoch):
                now, last = time.monotonic(), record.epoch == record.epochs
                if record.epochs <= MANY or last or now - shown >= EVERY:
                    say(_terminal.fitting(_epoch(record)))
                    shown = now
                if record.layers:
                    for text in _layers.table(record.layers) if watch else [_layers.line(record.layers)]:
                        say(text)
                if drawn is None or time.monotonic() - drawn > DRAW_EVERY:
                    _draw(run, say)
                    drawn = time.monotonic()
    _draw(run, say)


def _epoch(record) -> list[str]:
    """Return the line of an epoch, and shorter ones for terminals without room for it."""
    found = record.validation
    top1, *top5 = _output.right(found.top1, found.top5, len(found.classes))
    number = f"epoch {record.epoch:>{len(str(record.epochs))}}/{record.epochs}"
    validation = f"validation loss {found.loss:.3f}, {top1}"
    head = f"{number}  loss {record.train_loss:.3f}  {validation}"
    top5, took = "".join(f", {each}" for each in top5), f"  {_output.duration(record.seconds)}"
    lines = (f"{head}{top5}  rate {record.rate:.2g}{took}", f"{head}{top5}{took}", f"{head}{top5}", head)
    return [f"{line}{'  best' if record.best else ''}" for line in (*lines, f"{number}  {validation}")]


def best(run) -> dict:
    """Return the best epoch of a finished run, and what the training has come to: figures, and in words."""
    from cualex.training.verdict import Verdict

    outcome = run.outcome()
    best = {"epoch": outcome["best_epoch"], "top1": outcome["top1"], "top5": outcome["top5"]}
    judged = Verdict.read(outcome)
    said = judged.lines(str(run.path), str(run.arguments().get("data", "DATA")), run.resumable)
    named = {**best, "run": str(run.path), "weights": str(run.path / "best.safetensors")}
    return named | judged.document() | {"summary": said}


def conclude(found: dict, classes: int) -> None:
    """Print what `best` returned."""
    right = ", ".join(_output.right(found["top1"], found["top5"], classes))
    where = "validation" if found["held_out"] else "training"
    click.echo(f"Best {where} {right} (epoch {found['epoch']}): {found['weights']}")
    for line in found["summary"]:
        click.echo(_terminal.wrapped(line, sys.stdout))


def stopped(run) -> str:
    """Say what becomes of a run that Ctrl-C has stopped, also where it came after the training's end."""
    if run.outcome():
        return f"The training had come to its end: {run.path / 'best.safetensors'}"
    return f"Go on with: cualex train --resume {run.path}"


def _draw(run, say) -> None:
    """Draw the curves; a drawing that fails does not end the training."""
    from cualex.errors import CualexError
    from cualex.plots import curves

    try:
        curves.draw(run)
    except (CualexError, OSError) as error:
        say(f"The curves were not drawn: {error}")
