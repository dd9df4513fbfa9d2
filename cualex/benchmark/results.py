"""Results of a benchmark: medians over the rounds of images per second, ratios and shares."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cualex.benchmark.memory import Peak


@dataclass(frozen=True)
class Part:
    """One measurement of a benchmark: mode "train" or "infer", and batch size."""

    name: str
    mode: str
    batch: int


@dataclass(frozen=True)
class Round:
    """Images per second of one round, in which all sides take turns.

    product_operations_per_s: the machine's matmul rate at that moment.  share_of_product_rate: cualex's part of it.
    """

    part: Part
    number: int
    images_per_s: float
    product_operations_per_s: float
    share_of_product_rate: float
    torch_images_per_s: float | None = None
    torch_without_lrn_images_per_s: float | None = None

    @property
    def ratio(self) -> float | None:
        """Speed relative to PyTorch: above 1 cualex was faster."""
        return self.torch_images_per_s and self.images_per_s / self.torch_images_per_s

    @property
    def ratio_without_lrn(self) -> float | None:
        """Speed relative to PyTorch without LRN, which cualex had."""
        return self.torch_without_lrn_images_per_s and self.images_per_s / self.torch_without_lrn_images_per_s


RATES = (
    "images_per_s",
    "product_operations_per_s",
    "share_of_product_rate",
    "torch_images_per_s",
    "torch_without_lrn_images_per_s",
)
RATIOS = ("ratio", "ratio_without_lrn")


@dataclass(frozen=True)
class Result:
    """All figures, the peak memory, and the conditions of the measurement."""

    figures: dict[str, dict[str, Any]]
    peak: Peak
    conditions: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """Return plain values, a key a part."""
        return {
            **self.figures,
            "peak_memory_bytes": self.peak.resident,
            "planned_memory_bytes": self.peak.planned,
            "interpreter_memory_bytes": self.peak.interpreter,
            "conditions": self.conditions,
        }


def medians(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the medians of a part's rounds; None for what was not measured.

    The median of the ratios is not the ratio of the medians: the two speeds of a ratio were measured with the machine
    in the same state. Milliseconds are of a step.
    """
    batch = rounds[0].part.batch
    table: dict[str, Any] = {name: _median(rounds, name) for name in (*RATES, *RATIOS)}
    for name in RATIOS:
        each = [getattr(one, name) for one in rounds]
        table[f"{name}_range"] = None if None in each else [min(each), max(each)]
    for name in ("", "torch_", "torch_without_lrn_"):
        rate = table[f"{name}images_per_s"]
        table[f"{name}milliseconds"] = rate and 1000 * batch / rate
    each = [{name: getattr(one, name) for name in (*RATES, *RATIOS)} for one in rounds]
    return {**table, "batch_size": batch, "rounds": each}


def _median(rounds: Sequence[Round], name: str) -> float | None:
    each = [getattr(one, name) for one in rounds]
    return None if None in each else statistics.median(each)
