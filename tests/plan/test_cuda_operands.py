"""TF32 through whole plans: gemms read operands that are rounded, and what is stored for them has one rounding."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex import networks
from cualex.devices.stored import to_tf32
from cualex.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Exchange,
    Grey,
    Join,
    MaxPool,
    ReLU,
    Softmax,
    SpatialLRN,
)
from cualex.networks import Network
from cualex.plan import ExplainPlan, ReconstructionPlan, operands
from cualex.weights import initial
from cualex.weights.parameters import Parameters
from tests.support import every_layer, small_alexnet
from tests.support.planted_kernels import nowhere, planted

OTHERS = {
    "grey": Grey(),
    "conv1": Conv(5, size=3, std=0.3),
    "tanh1": Activation("tanh"),
    "pool1": AveragePool(size=2, stride=2),
    "conv2": Conv(4, size=3, pad=1, std=0.3),
    "batchnorm2": BatchNorm(),
    "relu2": ReLU(),
    "norm2": SpatialLRN(n=3, k=1.0, alpha=1.0, beta=0.75),
    "fc3": Dense(3, std=0.3),
    "softmax": Softmax(),
}
MEETING = {  # gradients of both towers are added, and read by a gemm then
    "conv1": Conv(4, size=3, std=0.3),
    "relu1": ReLU(),
    "exchange2": Exchange(),
    "conv2": Conv(4, size=3, pad=1, std=0.3),
    "relu2": ReLU(),
    "exchange3": Exchange(),
    "fc3": Dense(8, std=0.3),
    "drop3": Dropout(0.5),
    "join4": Join(),
    "fc4": Dense(3, std=0.3),
    "softmax": Softmax(),
}
NETWORKS = {
    "every layer": every_layer.NETWORK,
    "others": Network("others", OTHERS, 1, 3, 9, stored=12, scale=1 / 16),
    "meeting": Network("meeting", MEETING, 2, 3, 9, stored=12, scale=1 / 16),
}
CODER = Network(
    "coder",
    {"conv1": Conv(4, size=3, pad=1, std=0.3), "pool1": MaxPool(2, 2), "decoder": Conv(4, size=3, pad=1, std=0.3)},
    1, 1, 6, stored=8, scale=1 / 64,
)  # fmt: skip
MAPS = ("x0", "x1", "dy")


def parameters(emulated, net, device="cuda:0"):
    net = NETWORKS[net] if isinstance(net, str) else net
    runtime = emulated()
    small_alexnet.enough(device, runtime)
    return Parameters(net, device, precision="tf32", runtime=runtime, tensors=initial.draw(net, 1))


def watch(made, steps, look):
    """Let `look(device, launch)` run each launch of the steps."""
    for step in steps:
        if step.launches:
            device, launches = made.devices[step.place], step.launches
            step.run = lambda device=device, launches=launches: [look(device, each) for each in launches]


def run(device, launch):
    device.runtime.launch(device.stream, launch)
    device.runtime.synchronize()


def given(device, launch, wanted):
    """Return what the arguments of these names hold."""
    device.runtime.synchronize()
    pairs = zip(launch.kernel.arguments, launch.arguments, strict=True)
    return {each.name: device.download(array) for each, array in pairs if array is not None and wanted(each)}


def rounded(values):
    return not (np.ascontiguousarray(values).view(np.uint32) & 0x1FFF).any()


def check_operands(device, launch):
    """Run a launch whose operands are rounded, if it is a gemm."""
    if launch.kernel.gemm:
        names = MAPS if launch.constants["ROUND_B"] else (*MAPS, "weight")
        for name, values in given(device, launch, lambda each: each.constant and each.name in names).items():
            assert rounded(values), f"{launch.kernel.name} reads {name} unrounded"
    run(device, launch)


def check_once(device, launch):
    """Run a launch; what it stores as TF32 is what it would have stored as float32, rounded."""
    if launch.constants.get("PRECISION") != "TF32":
        run(device, launch)
        return
    outputs = [array for each, array in zip(launch.kernel.arguments, launch.arguments, strict=True)
               if each.pointer and not each.constant and array is not None]  # fmt: skip
    before = [device.download(array) for array in outputs]
    run(device, replace(launch, constants={**launch.constants, "PRECISION": "FP32"}))
    exact = given(device, launch, lambda each: each.pointer and not each.constant)
    for array, values in zip(outputs, before, strict=True):
        device.upload(array, values)
    run(device, launch)
    types = {each.name: each.type for each in launch.kernel.arguments}
    found = given(device, launch, lambda each: each.pointer and not each.constant)
    if "copy" in found:
        exact["copy"] = exact["weight"]
    for name, values in found.items():
        stored = types[name] == "Value" and (launch.kernel.name, name) != ("softmax", "y")
        assert_array_equal(values, to_tf32(exact[name]) if stored else exact[name], f"{launch.kernel.name} {name}")


def train(made, look=None, updates=2, **settings):
    plan = small_alexnet.plan(made, batch=3, graph=False, **settings)
    if look:
        watch(made, plan.steps, look)
    for step in range(updates):
        plan.control.step = step
        plan.run()
    assert plan.result.finite
    return plan


DEVICES = [("every layer", "cuda:0"), ("others", "cuda:0"), ("meeting", "cuda:0"), ("meeting", "cuda:0,cuda:1")]


@pytest.mark.parametrize(("name", "device"), DEVICES)
def test_gemms_read_rounded_operands(emulated, name, device):
    train(parameters(emulated, name, device), check_operands)
    train(parameters(emulated, name, device), check_operands, mode="infer")
    train(parameters(emulated, name, device), check_operands, fuse=False)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_stored_has_one_rounding(emulated, name):
    train(parameters(emulated, name), check_once, updates=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "cifar-relu", "lenet5", "alexnet-batchnorm", "caffenet", "alexnet-tanh"])
def test_gemms_of_named_networks_read_rounded_operands(emulated, name):
    small = {"width": 1 / 16, "crop": {"alexnet-tanh": 195, "alexnet-batchnorm": 215}.get(name, 67), "classes": 10}
    net = networks.build(name, **small if name.startswith(("alexnet", "caffenet")) else {})
    made = parameters(emulated, net)
    train(made, check_operands, updates=1)
    train(made, check_once, updates=1)


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["momentum", "adam", "lars"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_filters_have_a_copy_that_every_update_rounds(emulated, sink, accumulate):
    made = parameters(emulated, "meeting")
    assert {name for name, _ in made.copies} == {"conv1.weight", "conv2.weight"}
    before = made.unload()
    train(made, check_operands, sink=sink, accumulate=accumulate)
    check_copies(made)
    assert all((value != before[name]).any() for name, value in made.unload().items())


def check_copies(made):
    for (name, place), copy in made.copies.items():
        master = made.devices[place].download(made.arrays[name, place])
        assert not rounded(master)
        assert_array_equal(made.devices[place].download(copy), to_tf32(master))


@pytest.mark.slow
@pytest.mark.parametrize("fuse", [True, False])
def test_placements_and_plans_give_the_same_bits(emulated, fuse):
    """Where the gradients of two towers are added, only the sum is rounded: as on two devices."""
    alone, apart = (parameters(emulated, "meeting", device) for device in ("cuda:0", "cuda:0,cuda:1"))
    train(alone)
    train(apart, fuse=fuse)
    assert small_alexnet.digest(alone) == small_alexnet.digest(apart)


@pytest.mark.slow
def test_what_no_gemm_reads_is_not_rounded(emulated):
    """Normalisation and the choices of pooling have the whole of conv1's output, and people that of the network."""
    plan = train(parameters(emulated, "every layer"), updates=1, outputs=("relu1", "pool1", "fc4", "softmax"))
    assert {name: rounded(plan.output(name)) for name in ("relu1", "pool1", "fc4", "softmax")} == {
        "relu1": False,
        "pool1": True,
        "fc4": False,
        "softmax": False,
    }


@pytest.mark.slow
@pytest.mark.parametrize("start", ["conv1", "fc3"])
def test_images_and_gradients_that_are_put_in_are_rounded(emulated, start):
    made = parameters(emulated, "meeting")
    plan, rng = ExplainPlan(made, 2, start, graph=False), np.random.default_rng(3)
    watch(made, plan.steps, check_operands)
    plan.put(rng.normal(0, 50, (2, 3, 9, 9)).astype(np.float32))
    plan.put_gradient(rng.normal(size=(2, 8, 7, 7) if start == "conv1" else (2, 16, 1, 1)).astype(np.float32))
    plan.run()
    assert np.abs(plan.image_gradient()).max() > 0


@pytest.mark.slow
def test_errors_that_are_put_in_are_rounded(emulated):
    made = parameters(emulated, CODER)
    plan = ReconstructionPlan(made, 2, outputs=("pool1",))
    watch(made, plan.steps, check_operands)
    rng = np.random.default_rng(2)
    plan.put(rng.integers(0, 256, (2, 8, 8, 3), np.uint8))
    plan.forward()
    assert plan.step(rng.normal(size=plan.output("decoder").shape).astype(np.float32)) > 0


@pytest.mark.slow
def test_a_resumed_training_has_the_same_bits(emulated):
    """A checkpoint holds the weights in float32; their copies come from these."""
    whole, first, second = (parameters(emulated, "meeting") for _ in range(3))
    train(whole, updates=4)
    plan = train(first, updates=2)
    second.load(first.unload())
    again = small_alexnet.plan(second, batch=3, graph=False)
    second.load_velocities(first.unload_velocities())
    for step in (2, 3):
        again.control.step = step
        again.run()
    assert plan.steps[0].launches[0].constants == again.steps[0].launches[0].constants
    assert small_alexnet.digest(second) == small_alexnet.digest(whole)


# --- planted faults


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("skipped", ["crop.forward", "maxpool.forward", "relu.backward", "softmax.forward", "dropout"])
def test_a_step_that_does_not_round_is_noticed(emulated, monkeypatch, skipped):
    def forgetful(steps):
        found = mark(steps)
        chosen = [step for step in steps if step.rounds and step.function.startswith(skipped)]
        assert chosen
        for step in chosen:
            step.rounds = False
        return found

    mark = operands.mark
    monkeypatch.setattr(operands, "mark", forgetful)
    name = "every layer" if skipped != "dropout" else "meeting"
    with pytest.raises(AssertionError, match=r"reads (x0|x1|dy) unrounded"):
        train(parameters(emulated, name), check_operands, fuse=skipped != "maxpool.forward", updates=1)


NEAREST = "bits + 0x1000u) & 0xffffe000u"


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("fault", ["bits) & 0xffffe000u", "bits + 0x1000u) & 0xfffffffeu"])
def test_a_wrong_rounding_is_noticed(emulated, fault):
    """Cut off; or rounded, with further bits left that gemms do not read, but sums of biases do."""
    assert not nowhere([NEAREST])
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        train(parameters(planted(emulated, fault, into=NEAREST), "meeting"), check_once, updates=1)


@pytest.mark.slow
@pytest.mark.emulator
def test_a_copy_that_is_not_refreshed_is_noticed(emulated, monkeypatch):
    made = parameters(emulated, "meeting")
    monkeypatch.setattr("cualex.plan.update_rule.Rule.mover", without_copy(made))
    train(made)
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        check_copies(made)


def without_copy(made):
    from cualex.plan.update_rule import Rule

    mover = Rule.mover
    return lambda self, *arguments: replace(mover(self, *arguments), copy=None)
