"""A training as its command shows it: progress, lines and curves."""

import contextlib
import time

from cualex.cli import _layers, _output

DRAW_EVERY = 5.0  # seconds; epochs of small sets are shorter than a drawing takes


def show(records, run, watch: bool = False) -> None:
    """Turn the records of a training into progress, lines and pictures; with `watch`, a table of the layers."""
    from cualex.training.records import Epoch, Notice, Update

    say, progress, drawn, seconds, waited = _output.say, None, None, 0.0, 0.0
    with contextlib.ExitStack() as stack:
        for record in records:
            if isinstance(record, Update):
                if progress is None:
                    total, done = (count * record.images for count in (record.updates, record.update - 1))
                    progress = stack.enter_context(_output.Progress("Training", total, "images", done))
                    say = progress.say
                seconds, waited = seconds + record.seconds, waited + record.waited
                progress(
                    record.update * record.images,
                    f"epoch {record.epoch}, loss {record.loss:.3f}, top-1 {record.top1:.0%}, "
                    f"waiting for data {waited / max(seconds, 1e-9):.0%}",
                )
            elif isinstance(record, Notice):
                say(record.text)
            elif isinstance(record, Epoch):
                found = record.validation
                say(
                    f"epoch {record.epoch:>3}/{record.epochs}  loss {record.train_loss:.3f}  "
                    f"validation: loss {found.loss:.3f}, top-1 {found.top1:.1%}, top-5 {found.top5:.1%}  "
                    f"rate {record.rate:.2g}  {_output.duration(record.seconds)}"
                    f"{'  best' if record.best else ''}"
                )
                if record.layers:
                    for text in _layers.table(record.layers) if watch else [_layers.line(record.layers)]:
                        say(text)
                if drawn is None or time.monotonic() - drawn > DRAW_EVERY:
                    _draw(run, say)
                    drawn = time.monotonic()
    _draw(run, say)


def best(run) -> dict:
    """Return the best epoch of a finished run."""
    outcome = run.outcome()
    best = {"epoch": outcome["best_epoch"], "top1": outcome["top1"], "top5": outcome["top5"]}
    return {**best, "run": str(run.path), "weights": str(run.path / "best.safetensors")}


def _draw(run, say) -> None:
    """Draw the curves; a drawing that fails does not end the training."""
    from cualex.errors import CualexError
    from cualex.pictures import curves

    try:
        curves.draw(run)
    except (CualexError, OSError) as error:
        say(f"The curves were not drawn: {error}")
