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
        _report(split, made[split].skipped)
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


def _report(split: str, skipped: tuple[tuple[str, str], ...]) -> None:
    if not skipped:
        return
    count = "1 image" if len(skipped) == 1 else f"{len(skipped):,} images"
    _output.say(f"{split}: {count} could not be read and {'was' if len(skipped) == 1 else 'were'} skipped:")
    for name, reason in skipped[:LISTED]:
        _output.say(f"  {name}: {reason}")
    if len(skipped) > LISTED:
        _output.say(f"  ... and {len(skipped) - LISTED:,} more")
