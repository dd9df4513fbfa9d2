"""`pytest --gpu`: the tests of the CUDA engine on this machine's GPUs, in place of the emulator.

Only tests that take a runtime, by one of the fixtures in `FIXTURES`, are run, and of these not the ones marked
`emulator`: they look at what no GPU shows (planted faults, schedules, the checked build).

`pytest --gpu=cpu`: the same with the real CuPy on a CUDA that runs on this CPU (tests/cudart), each test in every
order that streams may run in; operations by themselves, which queue on one stream, only in the one in which nothing
has run until somebody waits for it. Accesses that nothing brings into order are found in any.
"""

from pathlib import Path

import pytest

FIXTURES = {"emulated", "bench", "cuda_bench", "gpus", "stand_in", "cupy"}
ONE_STREAM = Path(__file__).parents[1] / "engine"
ONCE = {"cuda_child"}  # what these start has processes of its own, in an order that they choose
EMULATOR_ONLY = {"checked", "lint", "events"}


def is_for_gpus(fixtures):
    """Say whether a test with these fixtures takes a runtime in its own process."""
    return bool(FIXTURES & set(fixtures))


def keep(items, on_cpu=False):
    """Split tests into those for GPUs and the others; skip what the CUDA on this CPU lacks, where that is used."""
    wanted = FIXTURES | ONCE
    for item in items:
        if on_cpu and (lacking := item.get_closest_marker("lacking")):
            item.add_marker(pytest.mark.skip(reason=f"the CUDA on this CPU lacks {lacking.args[0]}"))
    for_gpus = [item for item in items if wanted & set(item.fixturenames) and not item.get_closest_marker("emulator")]
    return for_gpus, [item for item in items if item not in set(for_gpus)]


def stand_in():
    """Bring the CUDA that runs on this CPU into this process; end pytest with what is missing where it cannot be."""
    from tests import cudart

    try:
        cudart.activate()
    except cudart.Missing as missing:
        raise pytest.UsageError(f"--gpu=cpu: {missing}") from None


def orders(path):
    """Return the names of the orders that its streams run in, for the tests of a file."""
    from tests import cudart

    return ["late"] if path.is_relative_to(ONE_STREAM) else cudart.ORDERS


def runtime(devices=1, **options):
    """Open CuPy's runtime where a test asks for the emulator; schedules and orders are then the GPU's own."""
    from cualex.devices.cupy_runtime import CupyRuntime

    if any(options.get(name) for name in EMULATOR_ONLY):
        pytest.skip("this is for the emulator's checked build")
    return CupyRuntime()
