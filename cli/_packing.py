"""Data sets as commands open them: what is evaluated, packing, disk space, and images that could not be read."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from cualex.cli import _output

ASK = 20e9  # bytes; above this nobody packs by accident
LISTED = 10  # unreadable images named on the screen; files and JSON have them all


def packs(
    source,
    splits: Iterable[str],
    size: int,
    *,
    cache: Path | None = None,
    workers: int | None = None,
    yes: bool = False,
    keep: bool = True,
    ranks=None,
) -> dict:
    """Return each split of a source ready to read, packed now if it was not; ask before more than 20 GB.

    With `keep=False` (--no-pack) the splits are only looked through, and decoded each time. Of several ranks the first
    of each machine packs, while the others wait, and raise its error where it fails.
    """
    if ranks is None or ranks.size == 1:
        return _opened(source, splits, size, cache, workers, yes, keep)
    from cualex.errors import CualexError

    made, fault = None, None
    if ranks.first_here:
        try:
            made = _opened(source, splits, size, cache, workers, yes, keep)
        except CualexError as error:
            fault = error
    told = ranks.collect(fault and (str(fault), fault.exit_code), "pack")
    if fault:
        raise fault
    if failed := next((each for each in told if each), None):
        of_first = CualexError(failed[0])
        of_first.exit_code = failed[1]  # of its own kind
        raise of_first
    return made or _opened(source, splits, size, cache, workers, yes, keep)


def _opened(source, splits, size, cache, workers, yes, keep) -> dict:
    """Pack what this process has to, and return each split."""
    from cualex.data.opening import Packing

    packing, splits = Packing(keep, cache, workers), list(splits)
    if found := packing.needed(source, splits, size):
        needed, said = found
        if needed > ASK:
            _output.confirm(f"{said} Continue?", yes)
        else:
            _output.say(said)
    made = {}
    for split in splits:
        label = f"{'Packing' if keep else 'Reading'} {split}"
        made[split] = watch(packing.work(source, split, size), label, "skipped")
        _report(split, made[split].skipped, "could not be read and {} skipped")
        _report(split, made[split].noted, "{} read without a colour profile")
    return made


def watch(work, label: str, lost: str):
    """Show a generator's progress to its end, and return its value; `lost` names the unreadable images.

    It is closed at Ctrl-C too, so that nothing of a pack is left, however long somebody holds the exception.
    """
    with contextlib.closing(work):
        try:
            record = next(work)
        except StopIteration as end:  # it was there already
            return end.value
        with _output.Progress(label, record.total) as progress:
            while True:
                note = f"{record.skipped} {lost}" if record.skipped else ""
                progress(record.done, "waiting for another process that is packing it" if record.waiting else note)
                try:
                    record = next(work)
                except StopIteration as end:
                    return end.value


def _report(split: str, named: tuple[tuple[str, str], ...], what: str) -> None:
    """Name the first of some images, each with its reason; what: of them, with a gap for the verb."""
    if not named:
        return
    count, verb = ("1 image", "was") if len(named) == 1 else (f"{len(named):,} images", "were")
    _output.say(f"{split}: {count} {what.format(verb)}:")
    for name, reason in named[:LISTED]:
        _output.say(f"  {name}: {reason}")
    if len(named) > LISTED:
        _output.say(f"  ... and {len(named) - LISTED:,} more")


def find_evaluated(data, weights: Path, classes: list[str] | None, val_split: float | None, names):
    """Find the set that was named, or the run's own; print which, and its notes. classes: None for any."""
    from cualex.data import opening

    if data is None:
        run = opening.run_of(weights)
        data = run.get("data", "demo")
        _output.say(f"Data: {data}, {'the data set of the run' if run else 'the built-in data set'}.")
    source = opening.find_evaluated(data, weights, classes, val_split, names)
    for note in source.notes:
        _output.say(f"Note: {note}")
    return source


def choose(source, split: str | None) -> tuple[str, str]:
    """Return the split to evaluate and its name; print a note if the network may have been trained on it."""
    from cualex.data import opening

    chosen, called = opening.choose(source, split)
    if called == "all":
        _output.say(
            f"Note: {source.name} has no splits, so all of its images are evaluated, including any that the network "
            "was trained on."
        )
    return chosen, called


def one(source, split: str, size: int, *, no_pack: bool, **packing):
    """Open a split."""
    return packs(source, [split], size, keep=not no_pack, **packing)[split]
