"""Convolutions by wgmma, in the emulator: exact on integers, whatever the schedule; planted faults are caught."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine.cuda import gemm_tiles, gemm_wgmma
from cualex.engine.cuda.gemm_tiles import Tiles
from tests.emulator import EmulationError
from tests.support import reference
from tests.support.conv_cases import Case, draw
from tests.support.cuda_arrays import UNITS, Convolution, in_precision, open_bench, small, wanted
from tests.support.planted_kernels import nowhere, planted

FIRST = ("tails everywhere", "two towers, as conv2")  # the rest under -m slow
CASES = {
    # Tails in rows, columns and depth; a step of the depth crosses taps; the maps' border.
    "tails everywhere": Case(channels=24, filters=40, size=3, pad=1, height=6, width=7, pictures=4),
    "less than a step": Case(channels=8, filters=8, size=1, height=3, width=5, pictures=1),
    "whole steps": Case(channels=64, filters=128, size=2, height=5, width=5, pictures=4),
    "two sources for two towers": Case(
        channels=16, filters=24, towers=2, sources=2, shared=True, pad=1, height=5, width=9
    ),
    "two towers, as conv2": Case(channels=48, filters=16, size=5, pad=2, towers=2, sources=2, height=4, width=5),
    "two groups, stride 2": Case(channels=32, filters=48, groups=2, stride=2, size=3, pad=1, height=9, width=8),
    "more rows and columns than a tile": Case(channels=8, filters=200, size=3, pad=1, height=15, width=9, pictures=3),
}
KINDS = {f"{rows}x{columns}": (rows, columns, stages) for rows, columns, stages in gemm_wgmma.KINDS}


@contextmanager
def by_wgmma(monkeypatch, rows=128, columns=128, stages=4):
    """Let all convolutions be computed by wgmma on these tiles."""
    with monkeypatch.context() as patch:
        tiles = Tiles(rows, columns, gemm_wgmma.WARP_ROWS, columns, gemm_wgmma.DEPTH, stages)
        patch.setattr(gemm_wgmma, "choose", lambda *_: tiles)
        yield


def launched(bench, work):
    """Return the names of the kernels that some work launches."""
    return [launch.kernel.name for launch in bench.device.prepare(work)[1]]


@pytest.mark.parametrize(
    "name", [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_equals_the_formula_on_integers(emulated, monkeypatch, name):
    case, bench = CASES[name], open_bench(emulated, "bf16")
    with by_wgmma(monkeypatch):
        run = Convolution(bench, case, small(case))
        assert launched(bench, run.forward) == ["conv_forward_wgmma"]
        found = run.forward()
    assert_array_equal(np.asarray(found), np.asarray(wanted(case)[0]))


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("name", CASES)
def test_the_checked_build_finds_nothing(emulated, monkeypatch, name):
    case = CASES[name]
    with by_wgmma(monkeypatch, stages=3):
        found = Convolution(open_bench(emulated, "bf16", checked=True, schedule=3), case, small(case)).forward(
            relu=True
        )
    assert_array_equal(np.asarray(found), np.maximum(wanted(case)[0], 0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tile(emulated, monkeypatch, kind):
    case = CASES["more rows and columns than a tile"]
    with by_wgmma(monkeypatch, *KINDS[kind]):
        found = Convolution(open_bench(emulated, "bf16"), case, small(case)).forward()
    (x,), arrays = small(case).x, small(case)
    assert_array_equal(found[0], reference.conv(x, arrays.weight, arrays.bias, pad=1))


@pytest.mark.slow
def test_any_schedule_gives_the_same_bits(emulated, monkeypatch):
    """Under some a wgmma reads its operands when it is issued, under others when it is waited for."""
    case = CASES["tails everywhere"]
    with by_wgmma(monkeypatch):
        first, *others = (
            Convolution(open_bench(emulated, "bf16", schedule=schedule), case, draw(case, False)).forward()
            for schedule in ("ascending", "descending", 1, 2)
        )
    for other in others:
        assert_array_equal(first, other)


@pytest.mark.slow
def test_towers_together_and_apart_give_the_same_bits(emulated, monkeypatch):
    case = CASES["two towers, as conv2"]
    arrays, bench = draw(case, False), open_bench(emulated, "bf16")
    with by_wgmma(monkeypatch):
        together = Convolution(bench, case, arrays).forward()
        for tower in range(2):
            own = slice(tower * case.filters, (tower + 1) * case.filters)
            part = type(arrays)(
                arrays.x[tower : tower + 1], arrays.weight[own], arrays.bias[own], arrays.dy[tower : tower + 1]
            )
            alone = Convolution(bench, replace(case, towers=1, sources=1), part).forward()
            assert_array_equal(alone[0], together[tower])


@pytest.mark.slow
def test_real_numbers_within_the_bound(emulated, monkeypatch):
    """What is wrong is the rounding of the sums and of the results."""
    case, bench = CASES["tails everywhere"], open_bench(emulated, "bf16")
    drawn = draw(case, False)
    arrays = type(drawn)(*(in_precision(getattr(drawn, name), "bf16") for name in ("x", "weight", "bias", "dy")))
    with by_wgmma(monkeypatch):
        (found,) = Convolution(bench, case, arrays).forward()
    right = reference.conv(arrays.x[0], arrays.weight, arrays.bias, pad=case.pad)
    magnitude = reference.conv(*(np.abs(each) for each in (arrays.x[0], arrays.weight, arrays.bias)), pad=case.pad)
    unit = UNITS["bf16"]
    allowed = reference.bound(case.depth * case.size**2 + 1, magnitude, right, tensor=True)
    assert (np.abs(found - right) <= allowed * (1 + unit) + unit * np.abs(right)).all()


# --- where it is launched


def test_the_tiles_of_alexnet():
    """Of one tower at batch 128, of which two fill 132 multiprocessors; where the depth is split there is none."""

    def tiles(rows, columns, depth, batch=128):
        chosen = gemm_wgmma.choose(rows * batch, columns, depth, 1)
        return chosen and (chosen.rows, chosen.columns)

    assert tiles(729, 128, 1200) == (256, 128)
    assert tiles(169, 192, 2304) == tiles(169, 192, 1728) == (192, 192)
    assert tiles(169, 128, 1728) == (192, 128)
    assert tiles(3025, 48, 432) is None  # more than half of a tile would be useless
    assert tiles(1, 2048, 9216) is None
    assert tiles(729, 128, 1200, batch=1) is None
    for rows, columns, stages in gemm_wgmma.KINDS:
        made = Tiles(rows, columns, gemm_wgmma.WARP_ROWS, columns, gemm_wgmma.DEPTH, stages)
        assert made.threads == 2 * rows
        assert made.shared(True, True, gemm_wgmma.CHUNK) + gemm_wgmma.ALIGNMENT <= 227 * 1024


@pytest.mark.parametrize(
    ("precision", "architecture", "case", "kernel"),
    [
        ("bf16", 90, "tails everywhere", "conv_forward_wgmma"),
        ("bf16", 89, "tails everywhere", "conv_forward"),
        ("bf16", 100, "tails everywhere", "conv_forward"),
        ("tf32", 90, "tails everywhere", "conv_forward"),
        ("bf16", 90, "12 channels", "conv_forward"),
        ("bf16", 90, "12 filters", "conv_forward"),
    ],
)
def test_only_on_sm_90_in_bfloat16_and_with_whole_chunks(emulated, monkeypatch, precision, architecture, case, kernel):
    bench = open_bench(emulated, precision)
    bench.device.runtime.architecture = lambda device: architecture
    odd = {"12 channels": Case(channels=12, filters=8), "12 filters": Case(channels=8, filters=12)}
    shape = {**CASES, **odd}[case]
    with by_wgmma(monkeypatch):
        assert launched(bench, Convolution(bench, shape, small(shape)).forward)[0] == kernel


def test_split_depths_stay_with_mma(emulated):
    assert gemm_tiles.choose(169 * 32, 192, 2304, 1, "bf16").splits == 3
    assert gemm_wgmma.choose(169 * 32, 192, 2304, 1) is None


# --- planted faults, each in a kernel that is right without it

SYNC = "fence_async_proxy();\n        __syncthreads();"
ISSUED = "wgmma_commit();\n        wgmma_wait<1>();"
FAULTS = {  # a text of the kernel, what takes its place, and what the checked build says; "" where numbers are wrong
    "no proxy fence": (SYNC, "__syncthreads();", "a wgmma reads what no fence.proxy.async of its writer has passed on"),
    "proxy fence behind the barrier": (
        SYNC,
        "__syncthreads();\n        fence_async_proxy();",
        "a wgmma reads what no fence.proxy.async of its writer has passed on",
    ),
    "no barrier": (SYNC, "fence_async_proxy();", "race: reads what another thread has written since the last barrier"),
    "no wgmma.fence": ("wgmma_fence();\n#", "#", "a wgmma whose accumulators were written has no wgmma.fence before"),
    "stride of groups": ("stride = 8 * 128", "stride = 4 * 128", ""),
    "another swizzle": ("1ull << 62", "2ull << 62", ""),
    "no swizzle": ("return 1ull << 62 | stride", "return stride", ""),
    "a tile that is not aligned": ("memory + (0u - shared_address(memory)) % SWIZZLED", "memory", ""),
    "a step within the swizzle": (
        "tile + TileA::size + depth)",
        "tile + TileA::size + depth * 2)",
        "reads what this block has never written",
    ),
    "lines of another warpgroup": ("tile + line * TILE_DEPTH", "tile + 0 * TILE_DEPTH", ""),
    "sums read before the wait": (
        "    wgmma_wait<0>();\n",
        "",
        "a thread ends with wgmmas that it has not waited for",
    ),
    "sums touched in flight": (ISSUED, "wgmma_commit();\n sums[3] = 1;", "accumulators of a wgmma are touched before"),
    "no commit": (ISSUED, "wgmma_wait<1>();", "a thread ends with wgmmas that it has not waited for"),
    "a stage overwritten too early": (
        ISSUED,
        "wgmma_commit();\n        wgmma_wait<2>();",
        "overwrites what a wgmma in",
    ),
    "read before its copy arrives": (
        "copy_wait<STAGES - 3>();",
        "copy_wait<STAGES - 2>();",
        "reads the target of an asynchronous copy that has not arrived",
    ),
    "words of a row": ("upper ? words[i] : words[i + 2], 2)", "upper ? words[i + 2] : words[i], 2)", ""),
    "beyond the filters": ("|| filter >= filters", "", "out of bounds: writes"),
    "beyond the pixels": ("pixel >= PIXELS ||", "", "out of bounds: writes"),
}
FAST = {"no proxy fence", "another swizzle"}  # each fault is a g++ build
DEEP = Case(channels=32, filters=16, size=3, pad=1, height=6, width=12, pictures=2)  # five steps


def test_every_fault_has_its_place_in_the_sources():
    assert nowhere(before for before, *_ in FAULTS.values()) == []


@pytest.mark.emulator
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST else [pytest.mark.slow]) for n in FAULTS])
def test_planted_faults_are_caught(emulated, monkeypatch, name):
    before, after, said = FAULTS[name]
    runtime = planted(emulated, after, into=before)
    bench = open_bench(lambda: runtime(checked=True), "bf16")
    with by_wgmma(monkeypatch):
        run = Convolution(bench, DEEP, small(DEEP))
        if said:
            with pytest.raises(EmulationError, match=said):
                run.forward()
        else:
            assert (np.asarray(run.forward()) != np.asarray(wanted(DEEP)[0])).any()
    assert bench.device.runtime.found
