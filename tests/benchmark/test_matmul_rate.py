"""The yardsticks of both engines, and our side of a benchmark on a GPU, which the emulator stands for."""

import numpy as np
import pytest

from cualex.benchmark import problem
from cualex.benchmark.matmul_rate import Yardstick, yardstick
from cualex.benchmark.our_side import Ours
from cualex.devices import placement
from cualex.devices.cuda import CudaDevice
from cualex.devices.workers import Workers
from tests.support import small_alexnet

UNIT = 2.0**-24
NETWORK = small_alexnet.network(classes=7, dropout=0, width=1 / 16)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_yardstick_computes_the_whole_product(count):
    yardstick = Yardstick(Workers(count), side=50)
    yardstick.product[...] = np.nan
    assert yardstick.rate() > 0
    np.testing.assert_allclose(yardstick.product, yardstick.left @ yardstick.right, atol=50 * UNIT * 100)


@pytest.mark.emulator  # of a GPU the hardware is the yardstick
def test_the_yardstick_of_a_gpu_multiplies_in_its_precision(emulated):
    device = CudaDevice("cuda:0", emulated(), 0, "bf16")
    made = yardstick(device, side=64)
    launch = made.multiply.args[0][0]
    y = next(array for array in launch.arguments[::-1] if array is not None and array.shape[-2:] == (64, 64))
    assert made.rate() > 0
    x, weight = (device.download(array) for array in launch.arguments[:3:2])
    found = device.download(y).reshape(64, 64)
    np.testing.assert_allclose(found, x.reshape(64, 64) @ weight.reshape(64, 64).T, rtol=2**-8, atol=64 * UNIT * 100)


@pytest.mark.slow
def test_a_turn_on_a_gpu_ends_when_its_work_is_done(emulated, monkeypatch):
    monkeypatch.setattr(placement, "CupyRuntime", lambda: emulated(streams="late"))
    ours = Ours(problem.make(NETWORK, 3), "train", "cuda:0", "tf32")
    before = ours.loss()
    assert ours.turn(2) > 0
    assert ours.device.stream.done
    assert ours.control.step == 3
    assert ours.loss() != before
    ours.restart()
    assert ours.loss() == before


def test_pytorch_computes_in_the_precision_that_is_asked_for():
    """On the CPU here: bfloat16 by autocast is near to float32, and is not the same."""
    pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to compare with")
    from cualex.benchmark.torch_side import Contender

    given = problem.make(NETWORK, 4)
    losses = [Contender(given, "train", True, precision=precision).loss() for precision in ("fp32", "bf16")]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
