"""The time of a launch, from its counts and the constants of gpus.json.

    seconds = launch + (SUM over resources of seconds^exponent)^(1/exponent)

Each resource alone would take its seconds; the norm says that they overlap, though not fully. For a block, with
blocks = ceil(blocks of the launch / multiprocessors) on the SM that has most (this is where a last, part-filled wave
costs):

    tensor cores      blocks * warps / 4 * clocks of their instructions: of wgmma, at the hardware's peak
    issue             blocks * warps / 4 * instructions, one a clock on each of the SM's four schedulers
    special functions blocks * warps * 32 * their instructions / threads a clock
    shared memory     blocks * warps * wavefronts
    L2                tiles that all blocks copy, or else the bytes of the arrays
    memory            the bytes of the arrays that L2 does not hold from the launches before
    latency           waves of resident blocks * loads that wait for one another * latency
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import ceil
from typing import Any, NamedTuple

from cualex.errors import UsageError
from cualex.kernel_model.counts import Counts

SCHEDULERS = 4  # of an SM, each with its tensor core


@dataclass(frozen=True)
class Estimate:
    """The modelled time of a launch: seconds, with the time to launch; and of each resource alone, by its name."""

    seconds: float
    parts: Mapping[str, float]

    @property
    def limit(self) -> str:
        """Return the resource that takes longest."""
        return max(self.parts, key=lambda each: self.parts[each])


class Missed(NamedTuple):
    """Bytes that L2 does not hold: those that a main loop prefetches, and all others."""

    prefetched: int
    other: int


class L2:
    """What L2 holds: the arrays touched last, up to a number of bytes."""

    def __init__(self, size: float) -> None:
        """Begin with an empty cache."""
        self._size, self._clock = size, 0.0
        self._touched: dict[int, float] = {}  # by an array's start, what had been touched then

    def missed(self, counts: Counts) -> "Missed":
        """Return the bytes of a launch that come from memory or go there, and touch its arrays."""
        prefetched = other = 0
        for access in counts.accesses:
            if access.scratch:
                continue
            held = self._clock - self._touched.get(access.start, -2 * self._size) + access.bytes <= self._size
            if not held:
                prefetched += access.bytes if access.prefetched else 0
                other += 0 if access.prefetched else access.bytes
            self._clock += 0 if held else access.bytes
            self._touched[access.start] = self._clock
        return Missed(prefetched, other)


@cache
def constants() -> dict[str, Any]:
    """Return what is in gpus.json."""
    return json.loads(resources.files("cualex.kernel_model").joinpath("gpus.json").read_text(encoding="utf-8"))


def limits(architecture: int) -> dict[str, int]:
    """Return the limits of an SM; raise UsageError for an architecture that is not in the file."""
    known = {name: each for name, each in constants()["limits"].items() if name.isdigit()}
    if str(architecture) not in known:
        raise UsageError(f"--arch {architecture}: expected {', '.join(known)}")
    return known[str(architecture)]


def gpu(architecture: int) -> dict[str, Any] | None:
    """Return the constants of the GPU that stands for an architecture; None where the model has none."""
    found = constants().get(str(architecture))
    return found and {name: each["value"] for name, each in found.items()}


def estimate(counts: Counts, missed: Missed, gpu: Mapping[str, Any]) -> Estimate:
    """Model the time of a launch. missed: the bytes that L2 does not hold."""
    sms, clock = gpu["multiprocessors"], gpu["clock_hz"]
    blocks = ceil(counts.blocks / sms)
    a_scheduler, an_sm = blocks * counts.warps / SCHEDULERS / clock, blocks * counts.warps / clock
    parts = {
        "tensor cores": a_scheduler
        * (
            counts.tensor * gpu["clocks_per_tensor_instruction"] + counts.wgmma_columns * gpu["clocks_per_wgmma_column"]
        ),
        "issue": a_scheduler * counts.instructions,
        "special functions": an_sm * 32 * counts.special / gpu["special_per_clock"],
        "shared memory": an_sm * counts.wavefronts * 128 / gpu["shared_bytes_per_clock"],
        "L2": max(counts.tiles * blocks * sms, counts.bytes) / gpu["l2_bytes_per_s"],
        "memory": (missed.prefetched + missed.other / gpu["memory_share"]) / gpu["memory_bytes_per_s"],
        "latency": ceil(counts.blocks / (sms * counts.resident)) * counts.loads * gpu["latency_s"],
    }
    power = gpu["exponent"]
    together = sum(each**power for each in parts.values()) ** (1 / power)
    return Estimate(gpu["launch_s"] + together, {**parts, "launch": gpu["launch_s"]})
