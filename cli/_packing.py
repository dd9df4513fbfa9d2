"""Packing as commands show it: disk space, progress, and images that could not be read."""

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
) -> dict:
    """Return each split of a source ready to read, packed now if it was not; ask before more than 20 GB.

    With `keep=False` (--no-pack) the splits are only looked through, and decoded each time.
    """
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
    """Show a generator's progress to its end, and return its value; `lost` names the unreadable images."""
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
