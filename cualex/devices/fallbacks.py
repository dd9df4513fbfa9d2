"""What a GPU uses in place of what failed its self-test there: FFMA for tensor cores, the host for copies of peers.

The self-test itself is imported only where there is a GPU, and $CUALEX_SELF_TEST is not 0.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cualex import kernels
from cualex.devices.runtime import Array, Runtime
from cualex.kernels import Launch

if TYPE_CHECKING:
    from cualex.devices.self_test import SelfTest

VARIABLE = "CUALEX_SELF_TEST"


class Fallbacks:
    """What failed on one device, and what took its place.

    used: gemms that run on FFMA where tensor cores would be faster, as "conv_forward 387200x48x432": the kernel, then
    rows, columns and depth. Their bits are not those of tensor cores.
    """

    def __init__(self) -> None:
        """Nothing has failed yet."""
        self._failed: set[tuple[str, tuple[str, ...]]] = set()
        self.used: set[str] = set()

    def avoid(self, launch: Launch) -> None:
        """Note that the kernel of a launch failed with these constants."""
        self._failed.add((launch.kernel.name, launch.defines))

    def avoids(self, name: str, constants: Mapping[str, Any]) -> bool:
        """Return whether a kernel failed with these constants."""
        return bool(self._failed) and (name, kernels.defines(kernels.find(name), constants)) in self._failed


def self_test(runtime: Runtime) -> "SelfTest | None":
    """Return the self-test of a runtime, which keeps it; None for one that stands in for a GPU, or where it is off."""
    if not hasattr(runtime, "self_test"):
        wanted = runtime.name == "cupy" and os.environ.get(VARIABLE, "1") != "0"
        vars(runtime)["self_test"] = _make(runtime) if wanted else None
    found: SelfTest | None = vars(runtime)["self_test"]
    return found


def _make(runtime: Runtime) -> "SelfTest":
    from cualex.devices.self_test import SelfTest, conditions
    from cualex.system.cache import place

    return SelfTest(runtime, place() / "self-test", lambda index: conditions(runtime, index))


class SelfTested:
    """The part of a device that tests its kernels at their first use."""

    runtime: Runtime
    index: int
    fallbacks: Fallbacks
    _scratch: dict[tuple[Any, ...], Array]

    def self_test(self, launches: Sequence[Launch], disposable: Sequence[Array]) -> bool:
        """Test kernels that have not run on this type of GPU; return False where some have to be replaced.

        The functions that described these launches then describe others. disposable: arrays of which nothing is read
        before it is written. All others are left as they were.
        """
        test = self_test(self.runtime)
        failed = test.kernels(self, launches, [*disposable, *self._scratch.values()]) if test else []
        for launch in failed:
            self.fallbacks.avoid(launch)
        return not failed
