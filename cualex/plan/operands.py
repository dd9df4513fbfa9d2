"""Which maps gemms read: in tf32 what writes them rounds them, so that the gemms do not.

In the other precisions this changes nothing. Maps that no gemm reads (those below normalisation and pooling, scores,
gradients of parts that are yet to be added up) stay float32: each product has the one rounding of each of its operands.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from cualex.layers.maps import Buffer, Operand
from cualex.plan.step import Step

Part = tuple[Buffer, int]  # a tower of a buffer


def mark(steps: Sequence[Step]) -> set[Buffer]:
    """Let each step know whether gemms read what it writes; return the buffers that they read as they were put in.

    From the last step to the first: `wanted` are the parts that a gemm further on reads before another step writes
    them. A link hands on what it copies, so its source is rounded. A gemm's operands are all maps that it reads.
    """
    wanted: set[Part] = set()
    for step in reversed(steps):
        written = _parts(step.writes.values())
        step.rounds = not wanted.isdisjoint(written)
        wanted -= written
        if step.operations or (step.call is None and step.rounds):
            wanted |= _parts(step.reads.values())
    return {buffer for buffer, _ in wanted}


def _parts(values: Iterable[Any]) -> set[Part]:
    """Return the parts of buffers that a step reads, or writes."""
    items = [item for value in values for item in (value if isinstance(value, list) else [value])]
    operands = [item for item in items if isinstance(item, Operand)]
    return {
        (each.buffer, tower)
        for each in operands
        for tower in (range(each.buffer.shape[0]) if each.tower is None else [each.tower])
    }
