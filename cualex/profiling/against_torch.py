"""PyTorch's time for each layer beside ours: the same network in a second process, which sleeps between its passes.

On a GPU each of its layers is waited for, so that what its launches cost is in its times.

Where one of our steps does several layers, theirs are added up; PyTorch's update has a line of its own, ours is part
of each layer's backward steps.
"""

import statistics
from collections.abc import Sequence

from cualex.benchmark import rounds
from cualex.benchmark.problem import Problem
from cualex.profiling.table import Row
from cualex.system.environment import cores


class TorchLayers:
    """Hold PyTorch's process, and what each of its passes took."""

    def __init__(self, problem: Problem, mode: str, device: str = "cpu", precision: str = "fp32"):
        """Start the process on "cpu" or "cuda" and let it choose its faster way; its weights are drawn anew."""
        network, batch = problem.network, len(problem.labels)
        self._second = rounds.open_torch(tuned=True)
        try:
            question = {"network": network.name, "arguments": network.arguments, "threads": cores()}
            question |= {"device": device, "precision": precision}
            said = self._second.ask(do="open", **question, batch=batch, seed=rounds.SEED)
            layouts = self._second.ask(do="prepare", mode=mode, batch=batch, steps=1, without_lrn=False)["layouts"]
        except BaseException:
            self._second.__exit__(None, None, None)
            raise
        self.conditions = {**said, "allocator": rounds.TUNED, "layout": layouts["with LRN"]}
        self._passes: list[dict] = []

    def __enter__(self) -> "TorchLayers":
        return self

    def __exit__(self, *exception: object) -> None:
        self._second.__exit__(*exception)

    def run(self, counted: bool) -> None:
        """Run a pass of PyTorch's."""
        found = self._second.ask(do="layers")
        if counted:
            self._passes.append(found)

    def document(self, rows: Sequence[Row]) -> dict:
        """Return medians in milliseconds: a row for each group of layers that we run in one step, then the sums."""
        ours: dict[tuple[str, ...], dict[str, float]] = {}
        for row in rows:
            found = ours.setdefault((row.name, *row.layers), {"forward": 0.0, "backward": 0.0})
            found[row.direction] += 1000 * row.seconds
        beside = []
        for (name, *layers), found in ours.items():
            made = {"layers": name, **{f"{way}_milliseconds": found[way] for way in found}}
            for way in found:
                linked = name.startswith("link")
                made[f"torch_{way}_milliseconds"] = None if linked else self._median(way, layers)
            beside.append(made)
        return {
            "rows": beside,
            "torch_update_milliseconds": self._median("update", ["update"]),
            "torch_milliseconds": 1000 * statistics.median(each["seconds"] for each in self._passes),
        }

    def _median(self, way: str, layers: Sequence[str]) -> float | None:
        """Return the median of these layers' time; None where PyTorch has none of them."""
        known = [layer for layer in layers if layer in self._passes[0][way]]
        if not known:
            return None
        return 1000 * statistics.median(sum(each[way][layer] for layer in known) for each in self._passes)
