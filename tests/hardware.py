"""`pytest --gpu`: the tests of the CUDA engine on this machine's GPUs, in place of the emulator.

Only tests that take a runtime, by one of the fixtures in `FIXTURES`, are run, and of these not the ones marked
`emulator`: they look at what no GPU shows (planted faults, schedules, the checked build).
"""

import pytest

FIXTURES = {"emulated", "bench", "cuda_bench", "gpus", "cupy"}
EMULATOR_ONLY = {"checked", "lint", "events"}


def keep(items):
    """Split tests into those for GPUs and the others."""
    for_gpus = [item for item in items if FIXTURES & set(item.fixturenames) and not item.get_closest_marker("emulator")]
    return for_gpus, [item for item in items if item not in set(for_gpus)]


def runtime(devices=1, **options):
    """Open CuPy's runtime where a test asks for the emulator; schedules and orders are then the GPU's own."""
    from cualex.cupy_runtime import CupyRuntime

    if any(options.get(name) for name in EMULATOR_ONLY):
        pytest.skip("this is for the emulator's checked build")
    return CupyRuntime()
