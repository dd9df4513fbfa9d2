"""A training as its command shows it: progress, lines, and the verdict."""

import contextlib
import sys
import time
from collections import deque

from cualex.cli import _output, _terminal

MANY, EVERY = 40, 1.0  # epochs, of which only one a second has a line: a small set has hundreds
WATCHED = {"mean |w|": 10, "|dw|": 10, "mean |b|": 10, "|db|": 10, "zeros": 7, "dead": 7}  # columns, letters
WAITS = 0.05  # share of the time spent waiting for data from which it is shown


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
        self._seconds: deque[float] = deque(maxlen=self.RECENT)
        self._ends: deque[float] = deque(maxlen=self.ENDS)
        self._before: tuple[float, int] | None = None  # when the last update was reported, and of which epoch it was

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


def show(records, pace: Pace, watch: bool = False) -> None:
    """Turn the records of a training into progress and lines; with `watch`, a table of the layers."""
    from cualex.training.records import Epoch, Notice, Update

    say, progress, seconds, waited, shown = _output.say, None, 0.0, 0.0, 0.0
    with contextlib.ExitStack() as stack:
        # A line that cannot be printed ends the training, which then saves a checkpoint.
        stack.callback(getattr(records, "close", lambda: None))
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
                    say(_terminal.fitting(record.lines()))
                    shown = now
                if record.layers:
                    for text in layer_table(record.layers) if watch else [layer_line(record.layers)]:
                        say(text)


def layer_line(found) -> str:
    """Return a line of update-to-weight ratios, zero activations, and dead filters of each layer."""
    moved = {
        name.removesuffix(".weight"): size.change / size.mean
        for name, size in found.sizes.items()
        if name.endswith(".weight") and size.mean and size.change is not None
    }
    parts = []
    if moved:
        slow, fast = min(moved, key=lambda name: moved[name]), max(moved, key=lambda name: moved[name])
        parts.append(f"update/weight ratio {moved[slow]:.1e} ({slow}) to {moved[fast]:.1e} ({fast})")
    if found.activity:
        zeros = [activity.zeros for activity in found.activity.values()]
        dead = {name: activity.dead for name, activity in found.activity.items() if activity.dead}
        listed = ", ".join(f"{name} {share:.0%}" for name, share in dead.items()) or "none"
        parts += [f"zeros {min(zeros):.0%} to {max(zeros):.0%}", f"dead: {listed}"]
        if lost := [name for name, share in dead.items() if share == 1]:
            parts.append(f"all units of {lost[0]} are dead: lower the learning rate")
    return "  " + "; ".join(parts)


def layer_table(found) -> list[str]:
    """Return a line for each layer that has parameters or is a ReLU, in the order of the network (--watch).

    A terminal without room for all columns has none of biases.
    """
    means, deviations = (_levels(each) for each in (found.input.mean, found.input.deviation))
    rows = [dict(zip(("  layer", *WATCHED), ("  layer", *WATCHED), strict=True))]
    for layer in found.layers:
        sizes = [found.sizes.get(f"{layer}.{last}") for last in ("weight", "bias")]
        cells = [text for size in sizes for text in _cells(size)]
        activity = found.activity.get(layer)
        cells += [f"{activity.zeros:.1%}", f"{activity.dead:.1%}"] if activity else ["", ""]
        rows.append(dict(zip(rows[0], (f"  {layer}", *cells), strict=True)))
    widths = {"  layer": max(14, *(len(row["  layer"]) for row in rows)), **WATCHED}
    room = _terminal.columns(sys.stderr)
    left_out = _terminal.too_wide(widths, ["|db|", "mean |b|"], room) if room else []
    lines = [f"  input: mean {means}, deviation {deviations} (red, green, blue, in levels of 0 to 255)"]
    for row in rows:
        name, *cells = (
            f"{text:<{widths[key]}}" if key == "  layer" else f"{text:>{widths[key]}}"
            for key, text in row.items()
            if key not in left_out
        )
        lines.append(" ".join((name, *cells)).rstrip())
    return lines


def _levels(values) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _cells(size) -> list[str]:
    if size is None:
        return ["", ""]
    return [f"{size.mean:.3e}", "" if size.change is None else f"{size.change:.3e}"]


def best(run) -> dict:
    """Return the best epoch of a finished run and the verdict on the training: numbers, and sentences."""
    from cualex.training.verdict import Verdict

    outcome = run.outcome()
    best = {"epoch": outcome["best_epoch"], "top1": outcome["top1"], "top5": outcome["top5"]}
    judged = Verdict.read(outcome)
    assert judged is not None  # which every run has that has come to its end
    said = judged.lines(str(run.path), str(run.arguments().get("data", "DATA")), run.resumable)
    named = {**best, "run": str(run.path), "weights": str(run.path / "best.safetensors")}
    return named | judged.document() | {"summary": said}


def conclude(found: dict, classes: int) -> None:
    """Print what `best` returned."""
    from cualex.evaluation import accuracies

    right = ", ".join(accuracies(found["top1"], found["top5"], classes))
    where = "validation" if found["held_out"] else "training"
    head = f"Best {where} {right} (epoch {found['epoch']}): {found['weights']}"
    for line in (head, *found["summary"]):
        _output.echo(line)


def stopped(run) -> str:
    """Return how to continue a run that Ctrl-C has stopped, which may have come after the last epoch."""
    if run.outcome():
        return f"The training was already finished: {run.path / 'best.safetensors'}"
    return f"Resume with: cualex train --resume {run.path}"
