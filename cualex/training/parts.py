"""How the parts of a batch are dealt to ranks, and in which order their gradients are added."""

from cualex.errors import DeviceError, UsageError
from cualex.ranks import Ranks
from cualex.training.options import Options
from cualex.training.recipes import Recipe

SAME = 2  # parts that a chain and a tree add alike


def dealt(recipe: Recipe, options: Options, new: bool, ranks: Ranks, cuda: bool) -> Recipe:
    """Return a recipe whose batch has parts for all ranks: one each, unless --accumulate or the run has others.

    Raise UsageError where the parts cannot be dealt equally, and DeviceError for several ranks on GPUs.
    """
    own_parts = options.accumulate is not None or recipe.accumulate > 1
    if ranks.size > 1:
        if cuda:
            raise DeviceError(f"{ranks.size} ranks compute on CPUs only so far: add --device cpu, or use one process.")
        if new and not own_parts:
            recipe = recipe.but(accumulate=ranks.size)
        check(recipe, ranks.size)
    if recipe.accumulate > SAME and not cuda and (ranks.size > 1 or (new and not options.described)):
        recipe = recipe.but(accumulate_order="tree")
    return recipe


def check(recipe: Recipe, size: int) -> None:
    """Raise UsageError unless `size` ranks can have equally many of the batch's parts."""
    parts, batch = recipe.accumulate, recipe.batch
    if parts % size == 0 and batch % parts == 0:
        return
    ways = [f"--ranks {_listed([count for count in range(1, parts + 1) if parts % count == 0])}"]
    fitting = [count for count in range(size, batch + 1, size) if batch % count == 0]
    if parts % size == 0:  # the batch is what does not fit
        ways = [f"--batch-size {max(parts, round(batch / parts) * parts)}"]
    elif fitting:
        ways.append(f"--accumulate {min(fitting, key=lambda count: (abs(count - parts), count))}")
    what = f"{parts} part{'s' if parts > 1 else ''} cannot be dealt to {size} ranks"
    if parts % size == 0:
        what = f"batch size {batch} cannot be divided into {parts} equal parts for {size} ranks"
    raise UsageError(f"{what}: {', or '.join(ways)}")


def _listed(counts: list[int]) -> str:
    *most, last = map(str, counts)
    return f"{', '.join(most)} or {last}" if most else last


def introduced(recipe: Recipe, size: int) -> list[str]:
    """Return what ranks make of a recipe, as lines."""
    each, own = recipe.batch // size, recipe.accumulate // size
    lines = [f"{recipe.batch:,} images an update: {each:,} on each of {size} ranks"]
    if own > 1:
        lines[0] += f", in {own} parts"
    if own & (own - 1):
        lines.append(
            f"Note: {own} parts on each rank, which is no power of two: another number of ranks gives other bits."
        )
    return lines
