"""Packing as commands show it: disk space, progress, and images that could not be read."""

from collections.abc import Iterable
from pathlib import Path

from cualex.cli import _output
from cualex.errors import OutputError

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
    from cualex.data.no_pack import unpacked
    from cualex.data.pack import existing, pack

    splits = list(splits)
    if keep:
        missing = [split for split in splits if existing(source, split, size, cache=cache) is None]
        _announce(source, missing, size, cache, yes)
    made = {}
    for split in splits:
        if keep:
            made[split] = watch(pack(source, split, size, cache=cache, workers=workers), f"Packing {split}", "skipped")
        else:
            made[split] = watch(unpacked(source, split, size, workers=workers), f"Reading {split}", "skipped")
        _report(split, made[split].skipped)
    return made


def _announce(source, splits: list[str], size: int, cache: Path | None, yes: bool) -> None:
    """Print the size of the packs and the free space, and ask before a large one."""
    from cualex.data import pack

    if not splits:
        return
    count = sum(len(source.splits[split]) for split in splits)
    needed, free = sum(pack.needed(source, split, size) for split in splits), pack.free(cache)
    said = (
        f"{source.name}: packing {count:,} images x {size * size * 3:,} bytes takes {_output.size(needed)}; "
        f"{_output.size(free)} are free"
    )
    if needed > free:
        way_out = "Free some space, or set --cache to a directory on another disk."
        raise OutputError(f"{said}. {way_out}")
    if needed > ASK:
        _output.confirm(f"{said}. Continue?", yes)
    else:
        _output.say(f"{said}.")


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
