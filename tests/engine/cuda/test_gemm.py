"""What all products of the CUDA engine share: tiles, the ring, splits. In the emulator, on convolutions."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.devices.fallbacks import Fallbacks
from cualex.engine.cuda import gemm_tiles
from cualex.engine.cuda.gemm_shape import Shape
from cualex.errors import UsageError
from tests.emulator import EmulationError, programs
from tests.support import reference
from tests.support.conv_cases import CASES, Case, draw, equal
from tests.support.cuda_arrays import CUDA, PRECISIONS, Convolution, cut_into, open_bench, small, wanted

KINDS = {"fp32": gemm_tiles.PLAIN, "tf32": gemm_tiles.TENSOR, "bf16": gemm_tiles.TENSOR}
# More than one tile in every direction, tails in all; the ring wraps six times or more.
LARGE = Case(channels=40, filters=72, size=3, pad=1, height=10, width=15, pictures=1)


@pytest.fixture(params=PRECISIONS)
def bench(request, emulated):
    return open_bench(emulated, request.param)


@pytest.mark.slow
@pytest.mark.parametrize("kind", range(max(map(len, KINDS.values()))))
def test_every_kind_of_tile(bench, kind, monkeypatch):
    """Whatever the tiles, the splits and the stages of the ring: the same sums.

    Each gradient is held to a few numbers: the change along directions of whole numbers.
    """
    arrays, rng = small(LARGE), np.random.default_rng(7)
    kinds, splits, stages = KINDS[bench.device.precision], 1 + kind * 2 % 5, 2 + kind % 3
    if kind >= len(kinds):
        pytest.skip("there are not so many")
    with cut_into(monkeypatch, kinds[kind], splits=splits, stages=stages):
        y, dweight, dbias, dx = Convolution(bench, LARGE, arrays).all()
    (x,), (dy,) = arrays.x, arrays.dy
    assert_array_equal(y[0], reference.conv(x, arrays.weight, arrays.bias, pad=1))
    assert_array_equal(dbias, dy.sum((0, 2, 3)))
    for _ in range(3):
        along = rng.integers(-3, 4, arrays.weight.shape)
        assert (dweight.astype(np.float64) * along).sum() == (reference.conv(x, along, pad=1) * dy).sum()
        along = rng.integers(-3, 4, x.shape)
        assert (dx[0] * along).sum() == (reference.conv(along, arrays.weight, pad=1) * dy).sum()


@pytest.mark.slow
@pytest.mark.parametrize("splits", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_multiply_adds_take_the_place_of_tensor_cores(emulated, precision, splits, monkeypatch):
    """Where these have failed their self-test; sums of small integers are the same."""
    monkeypatch.setattr(Fallbacks, "avoids", lambda *_: True)
    with cut_into(monkeypatch, splits=splits):
        for case in CUDA.values():
            bench = open_bench(emulated, precision)
            equal(Convolution(bench, case, small(case)).all(), wanted(case))
            assert len(bench.device.fallbacks.used) == 3


@pytest.mark.parametrize("splits", [1, 3])
def test_biases_of_a_tile_with_more_rows_than_threads(emulated, splits, monkeypatch):
    case = Case(channels=4, filters=200, size=1, pictures=3)
    arrays = small(case)
    with cut_into(monkeypatch, (256, 48, 64, 48), splits=splits):
        _, dbias = Convolution(open_bench(emulated, "tf32"), case, arrays).weight_gradient()
    assert_array_equal(dbias, arrays.dy[0].sum((0, 2, 3)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["bf16", *(pytest.param(each, marks=pytest.mark.slow) for each in ("fp32", "tf32"))]
)
def test_any_schedule_gives_the_same_bits(emulated, precision, monkeypatch):
    case = CUDA["wide"]
    with cut_into(monkeypatch, (64, 64, 32, 32), splits=2):
        first, *others = (
            Convolution(open_bench(emulated, precision, schedule=schedule), case, draw(case, False)).all()
            for schedule in ("ascending", "descending", 1, 2, 3, 4, 5)
        )
    for other in others:
        equal(other, first)


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["bf16", *(pytest.param(each, marks=pytest.mark.slow) for each in ("fp32", "tf32"))]
)
@pytest.mark.parametrize(
    "case",
    [pytest.param(CASES["two towers"], id="scalar", marks=pytest.mark.slow), pytest.param(CUDA["wide"], id="whole")],
)
def test_the_checked_build_finds_nothing(emulated, precision, case, monkeypatch):
    bench = open_bench(emulated, precision, checked=True)
    with cut_into(monkeypatch, (64, 64, 32, 32), splits=2):
        equal(Convolution(bench, case, small(case)).all(), wanted(case))


FAULTS = {
    "no barrier": ("        __syncthreads();\n", ""),
    "a lax wait": ("copy_wait<STAGES - 2>", "copy_wait<STAGES - 1>"),
    "a stage refilled too early": ("fetch(step + STAGES - 1, empty)", "fetch(step + STAGES - 1, full)"),
    "no bound on the rows of maps": ("(unsigned)(pixel.top + tap.row) < (unsigned)ROWS", "true"),
    "no bound on the columns of maps": ("(unsigned)(pixel.left + tap.column) < (unsigned)COLUMNS", "true"),
    "no bound on the filters": ("filter < count && depth < WINDOW", "depth < WINDOW"),
    "no bound on the depth": ("filter < count && depth < WINDOW", "filter < count"),
}


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp32", marks=pytest.mark.slow)])
def test_planted_faults_are_caught(emulated, precision, name, monkeypatch):
    """By the numbers, or by the checked build; most by both."""
    right, wrong = FAULTS[name]
    assemble = programs._assemble

    def planted(kernel):
        text = assemble(kernel)
        assert kernel.name != "conv_forward" or right in text
        return text.replace(right, wrong)

    def check():
        found = Convolution(open_bench(emulated, precision, checked=True), case, small(case)).forward()
        assert_array_equal(np.stack(found), np.stack(wanted(case)[0]))

    case = CUDA["wide"]
    with cut_into(monkeypatch, (64, 64, 32, 32)):
        check()
        monkeypatch.setattr(programs, "_assemble", planted)
        with pytest.raises((EmulationError, AssertionError)):
            check()


# --- GPUs before sm_80, which copy through registers


def altered(monkeypatch, *changes):
    """Change the texts of kernels, every time that they are assembled."""
    assemble = programs._assemble

    def assembled(kernel):
        text = assemble(kernel)
        for right, wrong in changes:
            assert right in text or "gemm.cuh" not in text
            text = text.replace(right, wrong)
        return text

    monkeypatch.setattr(programs, "_assemble", assembled)


REGISTERS = "#define ASYNC_COPIES 1", "#define ASYNC_COPIES 0"


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize(
    ("case", "tiles"),
    [
        pytest.param(CUDA["wide"], (64, 64, 32, 32), id="wide"),
        pytest.param(CASES["two towers"], (16, 64, 16, 32), id="scalar", marks=pytest.mark.slow),
        pytest.param(LARGE, (128, 48, 32, 48), id="large", marks=pytest.mark.slow),
    ],
)
def test_copies_through_registers_give_the_same_bits(emulated, case, tiles, monkeypatch):
    """As on a T4, where only fp32 is compiled; in any schedule, and in the checked build."""
    with cut_into(monkeypatch, tiles, splits=2):
        expected = Convolution(open_bench(emulated, "fp32"), case, draw(case, False)).all()
        altered(monkeypatch, REGISTERS)
        for schedule in ("ascending", "descending", 1, 2):
            bench = open_bench(emulated, "fp32", schedule=schedule)
            equal(Convolution(bench, case, draw(case, False)).all(), expected)
        if case is CUDA["wide"]:
            bench = open_bench(emulated, "fp32", checked=True)
            equal(Convolution(bench, case, draw(case, False)).all(), expected)


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize(
    "fault",
    [
        ("        settle(empty);\n", ""),
        ("settle(empty)", "settle(full)"),
        ("int line = line_of(i), chunk = ", "int line = line_of(i) ^ 1, chunk = "),
    ],
    ids=["never stored", "stored where others read", "stored elsewhere"],
)
def test_faults_of_copies_through_registers_are_caught(emulated, fault, monkeypatch):
    case = CUDA["wide"]
    altered(monkeypatch, REGISTERS, fault)
    made = Convolution(open_bench(emulated, "fp32", checked=True), case, small(case))
    with cut_into(monkeypatch, (64, 64, 32, 32)), pytest.raises((EmulationError, AssertionError)):
        assert_array_equal(np.stack(made.forward()), np.stack(wanted(case)[0]))


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("part", ["forward", "input_gradient", "weight_gradient"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_bank_conflicts(emulated, precision, part, monkeypatch):
    """Copies into the tiles and reads of the fragments take as few turns at the banks as their bytes allow."""
    bench = open_bench(emulated, precision, lint=True)
    with cut_into(monkeypatch, KINDS[precision][0]):
        getattr(Convolution(bench, CUDA["wide"], small(CUDA["wide"])), part)()
    counted = {key: made for key, made in bench.device.runtime.requests.items() if key[1] == "shared"}
    assert {key[2] for key in counted} == {"read", "write"}
    assert all(made.cost == made.ideal for made in counted.values()), counted


def test_a_batch_beyond_32_bits_is_refused():
    class Maps:
        shape = (30_000, 227, 227, 3)

    class Output:
        shape = (2, 30_000, 55, 55, 48)

    with pytest.raises(UsageError, match="batch size 30000 overflows"):
        Shape.of([Maps], Output, True)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("rows", "columns", "depth"),
    [
        (387_200, 48, 432),
        (21_632, 192, 2304),
        (1, 2048, 9216),
        (128, 1000, 4096),
        (48, 432, 387_200),
        (1, 1, 1),
    ],
)
def test_tiles_fill_a_gpu_where_there_is_enough_to_do(rows, columns, depth, precision):
    cut = gemm_tiles.choose(rows, columns, depth, 1, precision)
    assert cut.splits == 1 or cut.splits * gemm_tiles.SHORTEST * cut.depth <= depth + cut.depth
    if rows * columns * depth > 1_000_000:
        assert cut.count(rows, columns) * cut.splits >= 0.8 * gemm_tiles.BLOCKS
