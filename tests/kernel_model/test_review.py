"""The model against the review of the GPU path, kernel by kernel: both are models, and neither was measured.

Six of the constants in gpus.json are fitted to this table, so that it holds the model together and does not prove it;
inference of one image was not fitted.
"""

from functools import cache
from pathlib import Path

import pytest

from cualex import networks
from cualex.errors import DeviceError
from cualex.kernel_model.planned import Planned
from cualex.kernels.binaries import compiler_version
from cualex.kernels.disassembly import check_tools
from tests.support.cuda_arrays import by_mma

PRECISIONS = ("bf16", "tf32")
# Kernels further from the review than 15 %, with its microseconds over the model's, and the reason.
DIFFER = {
    # The review gave this gemm the rate of the large tiles. Its warps multiply 32 x 64, not 64 x 64: 430 instructions
    # for 32 HMMA, where the large ones have 502 for 64, so that issue alone takes as long as the review has in all.
    ("conv1 dw", "tf32"): 0.25,
}


@cache
def review():
    """Return microseconds by row and precision."""
    found = {}
    for line in Path(__file__).with_name("review.txt").read_text().splitlines():
        if not line.startswith("#"):
            *name, bf16, tf32 = line.split()
            found |= {(" ".join(name), "bf16"): float(bf16), (" ".join(name), "tf32"): float(tf32)}
    return found


def row(step, kernel):
    """Return the review's row of a launch."""
    layer, function = step.name[:5], step.function
    if function == "crop.forward":
        return "crop"
    if kernel == "weight_update":
        return kernel
    if function.startswith("lrn."):
        return f"{layer} {'forward' if 'forward' in function else 'backward'}"
    kind = layer if function.startswith("conv.") else "dense" if function.startswith("dense.") else None
    if kind is None:
        return "small"
    if "forward" in function:
        return f"{kind} forward"
    return f"{kind} {'dw' if kernel == 'conv_weight_gradient' else 'dx'}"


def table(precision, batch=128, mode="train"):
    pytest.importorskip("cupy", reason="CuPy is not installed, the door to NVRTC")
    try:
        check_tools()
    except DeviceError as error:
        pytest.skip(str(error))
    with by_mma():  # which the review is of
        return Planned(networks.build("alexnet"), batch, mode, precision=precision).table()


@cache
def modelled(precision):
    """Return the table of a training step, and its microseconds by row."""
    made, found = table(precision), {}
    for each in made.rows:
        name = row(each.step, each.launch.kernel.name)
        found[name] = found.get(name, 0.0) + 1e6 * each.estimate.seconds
    return made, found


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_model_reproduces_the_review(precision):
    made, found = modelled(precision)
    assert set(found) == {name for name, _ in review()}
    ratios = {name: found[name] / review()[name, precision] for name in found}
    far = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > DIFFER.get((name, precision), 0.15)}
    assert far == {}
    total = sum(us for (_, own), us in review().items() if own == precision)
    assert 1e6 * made.seconds == pytest.approx(total, rel=0.05)
    assert 1000 * made.seconds == pytest.approx({"bf16": 2.6, "tf32": 4.7}[precision], rel=0.05)


@pytest.mark.slow
def test_a_kernel_that_differs_does():
    for (name, precision), far in DIFFER.items():
        ratio = modelled(precision)[1][name] / review()[name, precision]
        assert 0.15 < abs(ratio - 1) < far


@pytest.mark.slow
def test_instructions_of_the_main_loops_are_those_of_the_review():
    if compiler_version() != (13, 5):
        pytest.skip("the review counted the code of NVRTC 13.5")
    counted = {
        (precision, kernel): next(
            sum(each.counts.main.values())
            for each in modelled(precision)[0].rows
            if each.launch.kernel.name == kernel and each.step.name.startswith("conv2")
        )
        for precision in PRECISIONS
        for kernel in ("conv_forward", "conv_weight_gradient")
    }
    assert counted == {
        ("bf16", "conv_forward"): 223,
        ("bf16", "conv_weight_gradient"): 329,
        ("tf32", "conv_forward"): 352,
        ("tf32", "conv_weight_gradient"): 502,
    }


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_registers_are_spilled_and_products_have_two_blocks_an_sm(precision):
    made, _ = modelled(precision)
    assert made.spilled == 0
    resident = {each.name: each.counts.resident for each in made.rows if each.launch.kernel.gemm}
    assert resident.pop("conv1+relu1:conv_weight_gradient") == 3
    assert set(resident.values()) == {2}


@pytest.mark.slow
def test_one_image_was_not_fitted_and_agrees():
    """The review: 24 launches, as a graph about 120 us in bf16."""
    made = table("bf16", 1, "infer")
    assert len(made.rows) == 24
    assert 1e6 * made.seconds == pytest.approx(120, rel=0.15)
