"""Compiled kernels on real GPUs: all of a plan's compiled together, each loaded once a GPU."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from cualex.kernels import STATIC_SHARED, Launch
from cualex.kernels.binaries import Binaries
from cualex.system import environment

CAPABILITY = 75, 76  # cudaDevAttrComputeCapabilityMajor and Minor


class Functions:
    """The functions that CuPy has loaded, by GPU, kernel and constants."""

    def __init__(self, cupy, binaries: Binaries, on: Callable[[int], AbstractContextManager[None]]):
        """Load with this CuPy, from these binaries; `on` makes a GPU current."""
        self._cupy, self._binaries, self._on = cupy, binaries, on
        self._loaded: dict[tuple, object] = {}

    def compile(self, launches: Iterable[Launch], progress: Callable[[int, int], None] | None = None) -> None:
        """Compile in a thread a core what is not in the cache, then load all on each GPU that it is for.

        `progress` hears how many are compiled, of how many; nothing where all are in the cache.
        """
        wanted = {self._key(launch, launch.device): launch for launch in launches}
        missing = {key: launch for key, launch in wanted.items() if key not in self._loaded}
        kinds = {(architecture(self._cupy, key[0]), *key[1:]): launch for key, launch in missing.items()}
        absent = [
            (launch.kernel, launch.defines, kind[0])  # GPUs of one kind share a binary
            for kind, launch in kinds.items()
            if self._binaries.path(launch.kernel, launch.defines, kind[0]) is None
        ]
        environment.in_threads(lambda one: self._binaries.make(*one), absent, progress)
        for key, launch in missing.items():
            self._load(key, launch)

    def find(self, launch: Launch, device: int):
        """Return the function of a launch on a GPU, compiled and loaded first where `compile` has not."""
        key = self._key(launch, device)
        return self._loaded.get(key) or self._load(key, launch)

    def _key(self, launch: Launch, device: int) -> tuple:
        return device, launch.kernel.name, launch.defines

    def _load(self, key: tuple, launch: Launch):
        """Load a kernel's binary on a GPU, and allow it the shared memory that it asks for."""
        path = self._binaries.make(launch.kernel, launch.defines, architecture(self._cupy, key[0]))
        with self._on(key[0]):
            raw = self._cupy.RawModule(path=str(path)).get_function(launch.kernel.name)
            if launch.shared >= STATIC_SHARED:  # from sm_90 on CUDA keeps 1 KiB of these for itself
                raw.max_dynamic_shared_size_bytes = launch.shared
            if launch.kernel.gemm:  # of an SM's fast memory as much as can be is for tiles, and not for a cache
                raw.preferred_shared_memory_carveout = 100
            self._loaded[key] = raw.kernel  # CuPy loads it on the GPU that is current
        return self._loaded[key]


def architecture(cupy, device: int) -> int:
    """Return a GPU's compute capability, 90 for sm_90; this does not use the GPU, which may be busy."""
    major, minor = (cupy.cuda.runtime.deviceGetAttribute(number, device) for number in CAPABILITY)
    return 10 * major + minor
