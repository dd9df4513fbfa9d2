"""What a GPU uses in place of what failed its self-test there: mma.sync for wgmma, FFMA for tensor cores, the host for
copies of peers.

The self-test itself is imported only where there is a GPU, and $CUALEX_SELF_TEST is not 0.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cualex import kernels
from cualex.devices.runtime import Array, Runtime, Stream
from cualex.kernels import Launch

if TYPE_CHECKING:
    from cualex.devices.self_test import SelfTest

VARIABLE = "CUALEX_SELF_TEST"
FOLDER = "self-test"  # of the cache


class Fallbacks:
    """What failed on one device, and what took its place.

    used: gemms that run on FFMA where tensor cores would be faster, as "conv_forward 387200x48x432": the kernel, then
    rows, columns and depth. Their bits are not those of tensor cores.
    by_wgmma: gemms that run by wgmma, named likewise, but with the rows of one image: a resumed run may have another
    batch size. Whether their bits are those of mma.sync is not known.
    through_host: indices of GPUs from which copies to this one go through the host.
    """

    def __init__(self) -> None:
        """Nothing has failed yet."""
        self._failed: set[tuple[str, tuple[str, ...]]] = set()
        self.used: set[str] = set()
        self.by_wgmma: set[str] = set()
        self.through_host: set[int] = set()
        self._copied: set[int] = set()  # the GPUs from which a copy has been tested
        self._staging: dict[int, np.ndarray] = {}  # by size

    def avoid(self, launch: Launch) -> None:
        """Note that the kernel of a launch failed with these constants."""
        self._failed.add((launch.kernel.name, launch.defines))

    def avoids(self, name: str, constants: Mapping[str, Any]) -> bool:
        """Return whether a kernel failed with these constants."""
        return bool(self._failed) and (name, kernels.defines(kernels.find(name), constants)) in self._failed

    def begin_copies(self, index: int) -> bool:
        """Return whether a copy from that GPU is the first."""
        first = index not in self._copied
        self._copied.add(index)
        return first

    def staging(self, runtime: Runtime, index: int, source: Array) -> np.ndarray:
        """Return pinned memory for a copy of an array; copies to one device follow one another, and share it."""
        if source.nbytes not in self._staging:
            self._staging[source.nbytes] = runtime.staging(index, source.shape, source.dtype)
        return self._staging[source.nbytes].view(source.dtype).reshape(source.shape)


def needs_proof(launch: Launch) -> bool:
    """Return whether a kernel may only be used where its self-test has passed: one made for a single architecture."""
    return launch.kernel.needs is not None


def self_test(runtime: Runtime) -> "SelfTest | None":
    """Return the self-test of a runtime, which keeps it; None for one that stands in for a GPU, or where it is off."""
    held: dict[str, SelfTest | None] = vars(runtime)
    if "self_test" not in held:
        wanted = runtime.name == "cupy" and os.environ.get(VARIABLE, "1") != "0"
        held["self_test"] = _make(runtime) if wanted else None
    return held["self_test"]


def _make(runtime: Runtime) -> "SelfTest":
    from cualex.devices.self_test import SelfTest, conditions
    from cualex.system.cache import place

    return SelfTest(runtime, place() / FOLDER, lambda index: conditions(runtime, index))


@dataclass(frozen=True)
class Touched:
    """The arrays that some work touches, each with the index of its device: for a comparison of two ways to run it.

    what: names the work.  kept: its state from run to run.  fresh: written before they are read.  results: those of
    `fresh` that are read afterwards.  told: indices of the devices that a link tells whether the loss was finite.
    """

    what: str
    kept: Sequence[tuple[int, Array]]
    fresh: Sequence[tuple[int, Array]]
    results: Sequence[tuple[int, Array]]
    told: Sequence[int]


class SelfTested:
    """The part of a device that tests its kernels at their first use."""

    runtime: Runtime
    index: int
    stream: Stream
    fallbacks: Fallbacks
    _scratch: dict[tuple[Any, ...], Array]

    def self_test(self, launches: Sequence[Launch], disposable: Sequence[Array]) -> bool:
        """Test kernels that have not run on this type of GPU; return False where some have to be replaced.

        The functions that described these launches then describe others. disposable: arrays of which nothing is read
        before it is written. All others are left as they were.
        """
        test = self_test(self.runtime)
        if test:
            failed = test.kernels(self, launches, [*disposable, *self.scratch_arrays])
        else:  # a GPU has not tested them; what stands in for one need not
            failed = [launch for launch in launches if needs_proof(launch) and self.runtime.name == "cupy"]
        for launch in failed:
            self.fallbacks.avoid(launch)
        return not failed

    @property
    def scratch_arrays(self) -> list[Array]:
        """Return the engine's own work arrays."""
        return list(self._scratch.values())

    def compared(
        self,
        devices: Sequence["SelfTested"],
        work: Callable[[], None],
        graph: Callable[[], None],
        touched: Callable[[], Touched] | None,
    ) -> Callable[[], None] | None:
        """Return a captured graph, compared once with the work that it was captured from; None where they differ.

        Where they have just been compared, the graph has run: the first call of what is returned does nothing.
        """
        test = self_test(self.runtime) if touched else None
        return test.graph(devices, work, graph, touched()) if test and touched else graph

    def copy_from(self, home: "SelfTested", source: Array, target: Array, stream: Stream) -> None:
        """Queue a copy from another device on a stream of this one; through the host where it must.

        The first from each GPU is tested, in the sizes of the link that makes it.
        """
        runtime, fallbacks = self.runtime, self.fallbacks
        if home.index != self.index and fallbacks.begin_copies(home.index):
            test = self_test(runtime)
            if test and not test.copy(home, self, source, target):
                fallbacks.through_host.add(home.index)
        if home.index not in fallbacks.through_host:
            runtime.copy(stream, source, target)
            return
        staging = fallbacks.staging(runtime, self.index, source)
        runtime.wait(home.stream, runtime.record(stream))  # the last copy has left the memory
        runtime.copy(home.stream, source, staging)
        runtime.wait(stream, runtime.record(home.stream))
        runtime.copy(stream, staging, target)
