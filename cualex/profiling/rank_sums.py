"""Sums over ranks in a profile: bytes, time alone, and the time that is left when they run beside the backward pass."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from cualex.engine.host.tree import add_as_tree
from cualex.plan.sums import LEDGER
from cualex.profiling.passes import Pass
from cualex.ranks import Ranks, measure
from cualex.ranks.model import FLOAT
from cualex.weights.parameters import Parameters


def document(ranks: Ranks, passes: Sequence[Pass], parameters: Parameters, updates: int) -> dict[str, Any]:
    """Return the medians of the passes of this rank, what a sum takes alone, and the extremes of all ranks.

    updates: how many the ledger has counted. Every rank calls this.
    """
    every = [[each for each in one.sums if not each.words] for one in passes]
    rows = []
    for number, parts in enumerate(zip(*every, strict=True), 1):
        alone = measure.alone(ranks, parts[0].size, add_as_tree)
        waited = statistics.median(each.waited for each in parts)
        rows.append(
            {
                "sum": number,
                "bytes": parts[0].size,
                "begun_milliseconds": 1000 * statistics.median(each.begun for each in parts),
                "alone_milliseconds": 1000 * alone,
                "exposed_milliseconds": 1000 * waited,
            }
        )
    exposed = statistics.median(sum(each.waited for each in one.sums) for one in passes)
    own = ranks.collect((exposed, parameters.ledger.floats[LEDGER]), "compare sums")
    count = sum(map(math.prod, parameters.network.parameters().values()))
    return {
        "ranks": ranks.size,
        "rows": rows,
        "alone_milliseconds": sum(row["alone_milliseconds"] for row in rows),
        "exposed_milliseconds": {
            "least": 1000 * min(each for each, _ in own),
            "most": 1000 * max(each for each, _ in own),
        },
        "bytes": FLOAT * sum(floats for _, floats in own) / ranks.size / updates,
        "formula_bytes": 2 * FLOAT * count * (ranks.size - 1) / ranks.size,
    }
