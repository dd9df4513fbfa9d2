"""Launches counted: blocks that fit, instructions by loops, bytes."""

from functools import cache

import pytest

from cualex import networks
from cualex.devices.stored import CONTROL_WORDS
from cualex.kernel_model import counts, estimate, sass
from cualex.kernel_model.planned import Planned
from tests.support.cuda_arrays import by_mma
from tests.support.written_sass import GEMM, PLAIN, listing


@cache
def planned(network="alexnet", batch=128, mode="train", precision="bf16", architecture=90):
    """Plan without wgmma."""
    with by_mma():
        return Planned(networks.build(network), batch, mode, precision=precision, architecture=architecture)


def launch(kernel, step=0, **given):
    """Return the launch of a kernel, the `step`-th of the plan."""
    return [each for _, each in planned(**given).launches if each.kernel.name == kernel][step]


def count(made, text=GEMM, architecture=90):
    return counts.count(made, sass.read(text), estimate.limits(architecture))


@pytest.mark.parametrize(
    ("registers", "architecture", "expected"),
    [
        (227, 90, (2, "registers")),  # 29,696 of 65,536 a block of 128 threads
        (168, 90, (3, "registers")),
        (96, 90, (4, "shared memory")),  # 49,152 and 1,024 bytes a block
        (96, 86, (2, "shared memory")),
        (96, 75, (1, "shared memory")),
    ],
)
def test_blocks_that_an_sm_holds(registers, architecture, expected):
    made = launch("conv_forward", 1)
    assert (made.block, made.shared) == (128, 49152)
    found = sass.read(listing("EXIT", registers=registers))
    assert counts.occupancy(made, found, estimate.limits(architecture)) == expected


def test_threads_limit_small_kernels():
    assert counts.occupancy(launch("crop"), sass.read(PLAIN), estimate.limits(90)) == (6, "registers")
    few = sass.read(listing("EXIT", registers=24))
    assert counts.occupancy(launch("crop"), few, estimate.limits(90)) == (8, "threads")


@pytest.mark.parametrize(
    ("kernel", "step", "precision", "steps"),
    [
        ("conv_forward", 1, "bf16", 38),  # conv2: 5 * 5 * 48 of depth, 32 a step
        ("conv_forward", 1, "tf32", 75),
        ("conv_forward", 2, "bf16", 72),  # conv3 reads both towers
        ("conv_input_gradient", -1, "bf16", 100),  # conv2: 5 * 5 * 128
        ("conv_weight_gradient", -2, "bf16", 225),  # conv2: 128 * 27 * 27 pixels in 13 splits
        ("conv_weight_gradient", 0, "bf16", 4),  # fc8: the batch
    ],
)
def test_steps_of_the_main_loop(kernel, step, precision, steps):
    found = count(launch(kernel, step, precision=precision))
    assert found.steps == steps
    assert found.main == {"tensor": 2, "async_copy": 1, "shared": 1, "branch": 1, "integer": 1}
    assert (found.instructions, found.tensor, found.wavefronts) == (3 + 6 * steps, 2 * steps, 8 * steps)


def test_a_wgmma_counts_its_columns_and_what_it_reads():
    made = next(
        each for _, each in Planned(networks.build("alexnet"), 128, precision="bf16").launches if each.kernel.needs
    )
    loop = listing("HGMMA.64x128x16.F32.BF16 R24, gdesc[UR16], R24", "@P0 BRA 0x0", "EXIT")
    found = count(made, loop)
    assert made.kernel.name == "conv_forward_wgmma"
    assert found.steps == 19  # conv2: 5 * 5 * 48 of depth, 64 a step
    assert (found.tensor, found.wgmma_columns, found.main["tensor"]) == (0, 19 * 128, 1)
    assert found.wavefronts == 19 * 12  # a quarter of 64 + 128 lines of 32 bytes
    assert found.tiles == 19 * (256 + 128) * 64 * 2


def test_bytes_of_tiles():
    found = count(launch("conv_forward", 1))
    assert found.tiles == 38 * (128 + 128) * 32 * 2
    assert count(launch("conv_forward", 1, precision="tf32")).tiles == 75 * (128 + 128) * 16 * 4


def sides(found):
    return {written: sum(each.bytes for each in found.accesses if each.written == written) for written in (False, True)}


def test_a_convolution_reads_maps_and_weights_and_writes_maps():
    maps, weights = 128 * 48 * 27 * 27 * 2 * 2, 256 * 48 * 25 * 2
    assert sides(count(launch("conv_forward", 1))) == {False: maps + weights + 256 * 4, True: 128 * 256 * 27 * 27 * 2}


def test_the_update_reads_what_it_writes():
    """fc6: velocity and weight both ways, and the copy of bfloat16."""
    found = count(launch("conv_weight_gradient", 2))
    weights, biases = 4096 * 9216, 4096
    own = 2 * weights * 4 + 2 * biases * 4
    assert sides(found)[True] == own + weights * 2
    assert sides(found)[False] == own + 128 * 9216 * 2 + 128 * 4096 * 2 + CONTROL_WORDS * 4


def test_a_split_sum_writes_slabs_and_nothing_else():
    made = launch("conv_weight_gradient", -2)
    written = [each for each in count(made).accesses if each.written]
    assert all(each.scratch for each in written)
    assert sum(each.bytes for each in written) == 13 * 256 * 1200 * 4 + 13 * 10 * 256 * 4


def test_one_slot_of_the_inputs_is_read():
    read = 128 * (256 * 256 * 3 + 3 * 4 + 3 * 4) + 256 * 256 * 3 * 4 + CONTROL_WORDS * 4
    assert sides(count(launch("crop"), PLAIN))[False] == read


def test_a_loop_that_loads_runs_until_all_is_read():
    loop = listing("LDG.E R4, [R2]", "FADD R4, R4, R5", "@P0 BRA 0x0", "EXIT")
    found = count(launch("softmax"), loop)
    read = sides(found)[False]
    assert found.instructions == pytest.approx(1 + 3 * read / (128 * 256) / 4)
    assert found.assumed == {"0x0000": "repeats until the launch has read its bytes once"}


def test_a_loop_with_a_barrier_is_a_reduction():
    loop = listing("LDS R4, [R2]", "BAR.SYNC 0x0", "@P0 BRA 0x0", "EXIT")
    assert count(launch("softmax"), loop).instructions == 1 + 3 * 8  # 256 threads


def test_slabs_are_added_eight_in_a_pass():
    loop = listing("LDG.E.128 R4, [R2]", "@P0 BRA 0x0", "EXIT")
    made = launch("weight_update", -1)
    assert made.constants["SPLITS"] == 132
    found = count(made, loop)
    assert (found.instructions, found.loads, found.assumed) == (1 + 2 * 16, 17, {})


def test_values_of_a_chunk_are_copied_one_by_one():
    loops = listing("HMMA.16816 R0", "LDG.E.U16 R4, [R2]", "@P0 BRA 0x10", "@P1 BRA 0x0", "EXIT")
    found = count(launch("conv_forward", 1), loops)
    assert found.instructions == 38 * (2 * 8 + 2) + 1
    tf32 = count(launch("conv_forward", 1, precision="tf32"), loops)
    assert tf32.instructions == 75 * (2 * 4 + 2) + 1


def test_a_gemm_of_one_step_copies_values_one_by_one_too():
    """Its main loop is gone, and what is left are loops over the values of a chunk."""
    found = count(launch("conv_forward", 1), listing("LDG.E.U16 R4, [R2]", "@P0 BRA 0x0", "HMMA.16816 R0", "EXIT"))
    assert (found.main, found.instructions, found.loads) == ({}, 2 * 8 + 2, 9)


def test_statistics_read_few_values_of_the_maps():
    found = count(launch("batchnorm_statistics", network="alexnet-batchnorm", batch=8), PLAIN)
    slabs = sides(found)[False]
    assert slabs % (2 * 8 * 96) == 0  # splits, two sums of a channel in float64


def test_every_kernel_whose_sums_are_split_is_known():
    """What a gemm leaves to its slabs are arguments that it has; so are those that are updated."""
    from cualex.kernels import find

    for known in (counts.UNSPLIT, counts.UPDATED, counts.FEW):
        for kernel, names in known.items():
            assert set(names) <= {argument.name for argument in find(kernel).arguments}, kernel
    assert set(counts.SUNK) <= {argument.name for argument in find("conv_weight_gradient").arguments}
