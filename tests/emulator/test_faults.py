"""Faults of kernels that the emulator must catch: each is planted in a kernel that is right without it."""

import re

import numpy as np
import pytest

from tests.emulator import EmulationError, run_text

pytestmark = pytest.mark.emulator

ENTRY = 'extern "C" __global__ void '
SEEDS = range(8)


def line_of(text):
    """Return the number of the line that a text marks with `// here`."""
    return next(number for number, line in enumerate(text.split("\n"), 1) if "// here" in line)


def fault(emulated, text, *arguments, **options):
    """Run a kernel in the checked build, and return what it says about the marked line."""
    with pytest.raises(EmulationError) as error:
        run_text(emulated(checked=True), text, *arguments, **options)
    name = re.search(r"void (\w+)\(", text).group(1)
    place = f"{name}.cu:{line_of(text)}"
    said = [line for line in str(error.value).split("\n") if line.endswith(place)]
    assert said, f"nothing about {place} in: {error.value}"
    return "\n".join(said)


TREE = (
    '#include "common/primitives.cuh"\n'
    + ENTRY
    + """tree(const float* x, float* y) {
    SHARED(float, sums);
    const int thread = threadIdx.x;
    sums[thread] = x[blockIdx.x * 128 + thread];
    __syncthreads();
    for (int half = 64; half > 0; half /= 2) {
        if (thread < half) sums[thread] += sums[thread + half];  // here
        __syncthreads();  // level
    }
    if (thread == 0) y[blockIdx.x] = sums[0];
}"""
)


def tree(runtime, text, x):
    return run_text(runtime, text, x, np.full(5, np.nan, np.float32), grid=(5,), block=128, shared=512)[1]


def test_a_missing_barrier(emulated, rng):
    x = rng.integers(-9, 10, (5, 128)).astype(np.float32)
    schedules = ["ascending", "descending", *SEEDS]
    for schedule in schedules:
        assert np.array_equal(tree(emulated(schedule=schedule), TREE, x), x.sum(1))
    assert np.array_equal(tree(emulated(checked=True, schedule=1), TREE, x), x.sum(1))

    missing = TREE.replace("__syncthreads();  // level", "")
    wrong = [not np.array_equal(tree(emulated(schedule=each), missing, x), x.sum(1)) for each in schedules]
    assert all(wrong[2:]), "a random schedule does not see it"
    said = fault(emulated, missing, x, np.zeros(5, np.float32), grid=(5,), block=128, shared=512)
    assert "race: overwrites what another thread has read since the last barrier, byte " in said
    assert "of shared memory (block 0,0,0 thread " in said


WARPS = (
    '#include "common/primitives.cuh"\n'
    + ENTRY
    + """warps(const float* x, float* y) {
    SHARED(float, tile);
    tile[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    const float neighbour = tile[threadIdx.x ^ 1];  // here
    __syncwarp();
    tile[threadIdx.x] = neighbour + 1;
    if (threadIdx.x % 32 < 16) {
        __syncwarp(0xffffu);
        y[threadIdx.x] = tile[threadIdx.x ^ 1];
    } else {
        __syncwarp(0xffff0000u);
        y[threadIdx.x] = tile[threadIdx.x ^ 2];
    }
}"""
)


def test_a_missing_syncwarp(emulated, rng):
    x = rng.standard_normal(64).astype(np.float32)
    y = np.zeros_like(x)
    thread = np.arange(64)
    wanted = np.where(thread % 32 < 16, x, x[thread ^ 3]) + np.float32(1)
    for options in ({"checked": True}, {"checked": True, "schedule": 2}, {"schedule": 5}):
        assert np.array_equal(run_text(emulated(**options), WARPS, x, y, block=64, shared=256)[1], wanted)
    missing = WARPS.replace("__syncwarp();\n    const", "const")
    wrong = [run_text(emulated(schedule=seed), missing, x, y, block=64, shared=256)[1] for seed in SEEDS]
    assert not any(np.array_equal(each, wanted) for each in wrong)
    said = fault(emulated, missing, x, y, block=64, shared=256)
    assert "race: reads what another thread has written since the last barrier" in said or "never written" in said


def test_a_syncwarp_of_other_lanes_does_not_help(emulated):
    text = (
        '#include "common/primitives.cuh"\n'
        + ENTRY
        + """lanes(float* y) {
    SHARED(float, tile);
    tile[threadIdx.x] = threadIdx.x;
    if (threadIdx.x < 16) {
        __syncwarp(0xffffu);
        y[threadIdx.x] = tile[threadIdx.x + 16];  // here
    }
}"""
    )
    y = np.zeros(32, np.float32)
    with pytest.raises(EmulationError, match=rf"race: .*at lanes.cu:{line_of(text)}"):
        run_text(emulated(checked=True, schedule="descending"), text, y, shared=128)


RING = (
    '#include "common/primitives.cuh"\n'
    + ENTRY
    + """ring(const float* x, float* y) {
    SHARED(float, stages);
    const int thread = threadIdx.x, other = (thread + 17) % 64;
    float sum = 0;
    for (int stage = 0; stage < 2; ++stage) {
        copy_async_4(stages + stage * 64 + thread, x + stage * 64 + thread, true);
        copy_commit();
    }
    for (int step = 0; step < 7; ++step) {
        copy_wait<1>();
        __syncthreads();
        sum += stages[step % 3 * 64 + other];  // here
        if (step + 2 < 7) copy_async_4(stages + (step + 2) % 3 * 64 + thread, x + (step + 2) * 64 + thread, true);
        copy_commit();
    }
    copy_wait<0>();
    y[thread] = sum;
}"""
)


def test_a_lax_wait(emulated, rng):
    x = rng.integers(-9, 10, (7, 64)).astype(np.float32)
    y = np.zeros(64, np.float32)
    wanted = np.roll(x.sum(0), -17)
    for options in ({"checked": True}, {"checked": True, "schedule": 3}, {"schedule": 4}):
        assert np.array_equal(run_text(emulated(**options), RING, x, y, block=64, shared=768)[1], wanted)
    lax = RING.replace("copy_wait<1>", "copy_wait<2>")
    for schedule in ("ascending", "descending", 1):
        assert np.isnan(run_text(emulated(schedule=schedule), lax, x, y, block=64, shared=768)[1]).any()
    said = fault(emulated, lax, x, y, block=64, shared=768)
    assert "reads the target of an asynchronous copy that has not arrived" in said
    # A ring of two stages is filled again while others still read it.
    small = RING.replace("% 3", "% 2")
    with pytest.raises(EmulationError, match=r"race: .* of shared memory"):
        run_text(emulated(checked=True), small, x, y, block=64, shared=768)


def test_a_thread_must_wait_for_its_copies(emulated):
    text = (
        RING.replace("    copy_wait<0>();\n    y", "    y")
        .replace("if (step + 2 < 7) ", "")
        .replace("+ 2) * 64", "+ 0) * 64")
    )
    with pytest.raises(
        EmulationError, match=r"^ring: a thread ends with asynchronous copies that it has not waited for"
    ):
        run_text(emulated(), text, np.zeros((7, 64), np.float32), np.zeros(64, np.float32), block=64, shared=768)


SHIFTED = (
    '#include "common/primitives.cuh"\n'
    + ENTRY
    + """shifted(const float* x, float* y, int from, int to, int inside) {
    SHARED(float, tile);
    tile[threadIdx.x + inside] = 1;  // shared
    __syncthreads();
    y[threadIdx.x + to] = x[(int)threadIdx.x + from] + tile[threadIdx.x];  // here
}"""
)


def shifted(runtime, source=0, target=0, inside=0, text=SHIFTED):
    x = np.arange(33, dtype=np.float32)
    numbers = (np.int32(each) for each in (source, target, inside))
    return run_text(runtime, text, x, np.zeros(33, np.float32), *numbers, block=33, shared=132)[1]


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (
            {"source": 1},
            "out of bounds: reads 0 bytes past the end of x (float32 (33,) of device 0) (block 0,0,0 thread 32)",
        ),
        (
            {"source": -1},
            "out of bounds: reads 4 bytes before x (float32 (33,) of device 0) (block 0,0,0 thread 0)",
        ),
        (
            {"target": 2},
            "out of bounds: writes 0 bytes past the end of y (float32 (33,) of device 0)"
            " (block 0,0,0 thread 31), 2 times",
        ),
    ],
)
def test_a_bounds_slip(emulated, slip, said):
    assert np.array_equal(shifted(emulated(checked=True)), np.arange(33) + 1)
    with pytest.raises(EmulationError) as error:
        shifted(emulated(checked=True), **slip)
    assert str(error.value) == f"shifted: {said} at shifted.cu:{line_of(SHIFTED)}"


def test_a_bounds_slip_in_shared_memory(emulated):
    with pytest.raises(EmulationError, match=r"writes 0 bytes past the end of shared memory .* at shifted.cu:4"):
        shifted(emulated(checked=True), inside=1)
    with pytest.raises(EmulationError, match="a thread has written past the end of shared memory"):
        shifted(emulated(), inside=1)


def test_a_fault_in_the_fast_build_becomes_an_exception(emulated):
    runtime = emulated()
    with pytest.raises(EmulationError) as error:
        shifted(runtime, source=100)
    assert re.fullmatch(
        r"shifted: touches \d+ bytes past the end of x \(float32 \(33,\) of device 0\) \(block 0,0,0 thread \d+\)"
        rf" at shifted.cu:{line_of(SHIFTED)}",
        str(error.value),
    )
    assert np.array_equal(shifted(runtime), np.arange(33) + 1)  # the next launch knows nothing of it


def test_reads_of_shared_memory_that_nobody_has_written(emulated):
    text = SHIFTED.replace("tile[threadIdx.x + inside] = 1;", "if (threadIdx.x != 7) tile[threadIdx.x] = 1;")
    for _ in range(2):  # what an earlier block or launch has left there does not count
        with pytest.raises(EmulationError) as error:
            shifted(emulated(checked=True), text=text)
        assert str(error.value) == (
            "shifted: reads what this block has never written, byte 28 of shared memory (block 0,0,0 thread 7)"
            f" at shifted.cu:{line_of(text)}"
        )
    assert list(np.flatnonzero(np.isnan(shifted(emulated(), text=text)))) == [7]


def test_a_misaligned_vector(emulated):
    text = (
        ENTRY
        + """vector(const float* x, float* y, int from) {
    const float4 v = *reinterpret_cast<const float4*>(x + from);  // here
    y[0] = v.x + v.w;
}"""
    )
    arguments = np.arange(9, dtype=np.float32), np.zeros(1, np.float32)
    assert run_text(emulated(checked=True), text, *arguments, np.int32(4), block=1)[1] == [4 + 7]
    said = fault(emulated, text, *arguments, np.int32(2), block=1)
    assert "misaligned address: byte 8 of x" in said


def test_an_index_outside_of_a_local_array(emulated):
    text = (
        ENTRY
        + """local(float* y, int place) {
    float values[4] = {1, 2, 3, 4};
    y[0] = values[place];  // here
}"""
    )
    assert run_text(emulated(checked=True), text, np.zeros(1, np.float32), np.int32(3), block=1)[0] == [4]
    said = fault(emulated, text, np.zeros(1, np.float32), np.int32(4), block=1)
    assert "index out of bounds of an array: 4" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("y[threadIdx.x] = blockIdx.x;  // here", "overwrites what another block of this launch has written"),
        (
            "y[blockIdx.x * 32 + threadIdx.x] = y[threadIdx.x];  // here",
            "reads what another block of this launch has written",
        ),
        (
            "if (blockIdx.x == 0) y[32] = y[threadIdx.x + 32];\nelse y[threadIdx.x + 32] = 1;  // here",
            "overwrites what another block of this launch has",
        ),
        (
            "y[blockIdx.x] = threadIdx.x;  // here",
            "overwrites what another thread has written since the last barrier",
        ),
    ],
)
def test_races_in_global_memory(emulated, body, said):
    text = f"{ENTRY}blocks(float* y) {{\n{body}\n}}"
    assert said in fault(emulated, text, np.zeros(96, np.float32), grid=(3,))


def test_small_types_are_told_apart(emulated):
    """Neighbours in one word are no race; the words were whole at first."""
    text = (
        '#include "common/primitives.cuh"\n'
        + ENTRY
        + """bytes(unsigned char* y) {
    SHARED(unsigned char, tile);
    unsigned short* pairs = reinterpret_cast<unsigned short*>(tile + 64);
    reinterpret_cast<unsigned*>(tile)[threadIdx.x] = 0x01020304u;
    __syncthreads();
    tile[32 + threadIdx.x] = tile[threadIdx.x];
    pairs[threadIdx.x] = threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = tile[63 - threadIdx.x] + pairs[31 - threadIdx.x];  // here
}"""
    )
    thread = np.arange(32)
    wanted = [(4, 3, 2, 1)[(31 - each) % 4] + 31 - each for each in thread]
    y = np.zeros(32, np.uint8)
    assert list(run_text(emulated(checked=True, schedule=1), text, y, shared=128)[0]) == wanted
    missing = "__syncthreads();".join(text.rsplit("__syncthreads();", 1)).replace(
        "= threadIdx.x;\n    __syncthreads();", "= threadIdx.x;"
    )
    with pytest.raises(EmulationError, match=rf"race: .*at bytes.cu:{line_of(missing)}"):
        run_text(emulated(checked=True, schedule="descending"), missing, y, shared=128)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "if (thread < 40) __syncthreads();\nelse\n__syncthreads();",
            "divergent barriers: threads of a block wait at line 2",
        ),
        ("while (thread == 3) __shfl_sync(3u << 3, 1, 3);", "deadlock: 63 threads wait at the barrier"),
        ("if (thread == 3) __syncwarp(); else __shfl_sync(~0u, 1, 3);", "lanes of a warp disagree"),
        ("__shfl_sync(1u, 1, 0);", "a lane is not in the mask of its own warp operation"),
        ("y[0] = 7 / zero;", "integer division by zero"),
        ("__trap();", "__trap() was called"),
        ("none[thread] = 1;", "touches a null pointer"),
        ("y[1 << 28] = 1;", "touches memory that nobody has allocated"),
    ],
)
def test_threads_that_go_astray(emulated, body, said):
    start = f"{ENTRY}astray(float* y, float* none, int zero) {{ const int thread = threadIdx.x;"
    text = f"{start}\n{body}\n__syncthreads();\n}}"
    with pytest.raises(EmulationError) as error:
        run_text(emulated(), text, np.zeros(64, np.float32), None, np.int32(0), block=64)
    assert str(error.value).startswith("astray: ")
    assert said in str(error.value)


LINT = (
    '#include "common/primitives.cuh"\n'
    + ENTRY
    + """counted(const float* x, float* y) {
    SHARED(float, tile);
    const int lane = threadIdx.x;
    tile[lane * 2] = x[lane];
    __syncwarp();
    y[lane] = tile[lane / 2 * 2] + x[lane * 8];
    const float4 v = reinterpret_cast<const float4*>(x)[lane];
    __syncwarp();
    reinterpret_cast<float4*>(tile)[lane] = v;
}"""
)


def test_bank_conflicts_and_sectors(emulated):
    runtime = emulated(lint=True)
    run_text(runtime, LINT, np.zeros(256, np.float32), np.zeros(32, np.float32), shared=512)
    counted = {key: (each.requests, each.cost, each.ideal) for key, each in runtime.requests.items()}
    assert counted == {
        ("counted.cu:5", "global", "read"): (1, 4, 4),
        ("counted.cu:5", "shared", "write"): (1, 2, 1),  # every second bank: two turns
        ("counted.cu:7", "shared", "read"): (1, 1, 1),  # two lanes ask for one word
        ("counted.cu:7", "global", "read"): (1, 32, 4),  # a sector for every lane
        ("counted.cu:7", "global", "write"): (1, 4, 4),
        ("counted.cu:8", "global", "read"): (1, 16, 16),
        ("counted.cu:10", "shared", "write"): (1, 4, 4),
    }
