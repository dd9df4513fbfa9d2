"""From rounds to figures: medians over the rounds, of images a second, of ratios and of shares."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cualex.benchmark.memory import Peak


@dataclass(frozen=True)
class Part:
    """Name something that is measured: its mode, "train" or "infer", and how many images a step has."""

    name: str
    mode: str
    batch: int


@dataclass(frozen=True)
class Round:
    """Hold what one round gave, one turn after the other: images a second of each that had a turn.

    `product_operations_per_s` is the machine's own rate at that moment, `share_of_product_rate` our part of it.
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
        """Say how many times as fast as PyTorch we were: above 1 we were faster."""
        return self.torch_images_per_s and self.images_per_s / self.torch_images_per_s

    @property
    def ratio_without_lrn(self) -> float | None:
        """Say the same against PyTorch without LRN, while we had it."""
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
    """Hold all figures, the peak of memory, and the conditions without which they say nothing."""

    figures: dict[str, dict]
    peak: Peak
    conditions: dict

    def document(self) -> dict:
        """Return plain values, a key for each part."""
        return {
            **self.figures,
            "peak_memory_bytes": self.peak.resident,
            "planned_memory_bytes": self.peak.planned,
            "interpreter_memory_bytes": self.peak.interpreter,
            "conditions": self.conditions,
        }


def medians(rounds: Sequence[Round]) -> dict:
    """Return the medians of a part's rounds; None where nothing was measured.

    The median of the ratios is not the ratio of the medians: the two of one ratio met the machine in the same
    state. Milliseconds are those of a step.
    """
    batch = rounds[0].part.batch
    found: dict = {name: _median(rounds, name) for name in (*RATES, *RATIOS)}
    for name in RATIOS:
        each = [getattr(one, name) for one in rounds]
        found[f"{name}_range"] = None if None in each else [min(each), max(each)]
    for name in ("", "torch_", "torch_without_lrn_"):
        rate = found[f"{name}images_per_s"]
        found[f"{name}milliseconds"] = rate and 1000 * batch / rate
    each = [{name: getattr(one, name) for name in (*RATES, *RATIOS)} for one in rounds]
    return {**found, "batch_size": batch, "rounds": each}


def _median(rounds: Sequence[Round], name: str) -> float | None:
    each = [getattr(one, name) for one in rounds]
    return None if None in each else statistics.median(each)
