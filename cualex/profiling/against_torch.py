"""PyTorch's time by layer beside cualex's: the same network in a second process, which sleeps between its passes.

On a GPU it synchronises after every layer, so that its times include the launches. The times of layers that cualex
fuses are summed; PyTorch's update has a separate line, cualex's is part of the backward steps.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from cualex.benchmark import rounds
from cualex.benchmark.problem import Problem
from cualex.profiling.table import Row
from cualex.system.environment import cores


class TorchLayers:
    """PyTorch's process, and the times of its passes."""

    def __init__(self, problem: Problem, mode: str, device: str = "cpu", precision: str = "fp32") -> None:
        """Start the process on "cpu" or "cuda", and have it choose its fastest memory layout."""
        network, batch = problem.network, len(problem.labels)
        self._second = rounds.open_torch(tuned=True)
        try:
            question = {"network": network.name, "arguments": network.arguments, "threads": cores()}
            question |= {"device": device, "precision": precision}
            opened = self._second.ask(do="open", **question, batch=batch, seed=rounds.SEED)
            layouts = self._second.ask(do="prepare", mode=mode, batch=batch, steps=1, without_lrn=False)["layouts"]
        except BaseException:
            self._second.__exit__(None, None, None)
            raise
        self.conditions = {**opened, "allocator": rounds.TUNED, "layout": layouts["with LRN"]}
        self._passes: list[dict[str, Any]] = []

    def __enter__(self) -> "TorchLayers":
        return self

    def __exit__(self, *exception: object) -> None:
        self._second.__exit__(*exception)

    def run(self, counted: bool) -> None:
        """Run a pass of PyTorch."""
        times = self._second.ask(do="layers")
        if counted:
            self._passes.append(times)

    def document(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return medians in milliseconds: a row for the layers of a step of cualex, then the sums."""
        ours: dict[tuple[str, ...], dict[str, float]] = {}
        for row in rows:
            times = ours.setdefault((row.name, *row.layers), {"forward": 0.0, "backward": 0.0})
            times[row.direction] += 1000 * row.seconds
        beside = []
        for (name, *layers), times in ours.items():
            made: dict[str, Any] = {"layers": name, **{f"{way}_milliseconds": times[way] for way in times}}
            for way in times:
                linked = name.startswith("link")
                made[f"torch_{way}_milliseconds"] = None if linked else self._median(way, layers)
            beside.append(made)
        return {
            "rows": beside,
            "torch_update_milliseconds": self._median("update", ["update"]),
            "torch_milliseconds": 1000 * statistics.median(each["seconds"] for each in self._passes),
        }

    def _median(self, way: str, layers: Sequence[str]) -> float | None:
        """Return the median of these layers' time; None if PyTorch has none of them."""
        known = [layer for layer in layers if layer in self._passes[0][way]]
        if not known:
            return None
        return 1000 * statistics.median(sum(each[way][layer] for layer in known) for each in self._passes)
