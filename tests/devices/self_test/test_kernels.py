"""The self-test of kernels: right ones pass, a fault in any primitive is seen, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from cualex import kernels
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.devices.fallbacks import Fallbacks
from cualex.devices.self_test import REFERENCES, SelfTest, maps, records
from cualex.engine import activations, cuda
from cualex.errors import DeviceError
from cualex.plan import ExplainPlan, Plan
from cualex.weights.parameters import Parameters
from tests.support import small_alexnet, tiny_runs
from tests.support.conv_cases import Case, draw
from tests.support.cuda_arrays import Convolution, open_bench
from tests.support.planted_kernels import nowhere, planted
from tests.support.self_tested import CONDITIONS, self_tested

CASE = Case(channels=8, filters=24, pad=1, pictures=2)
NARROW = Case(channels=3, filters=5, pad=1)  # its values are copied one by one
BESIDE = {"absolute_sums", "count_positive"}  # of the watch on training, which no plan has


def test_every_kernel_of_a_plan_has_a_reference():
    assert set(kernels.names()) - set(REFERENCES) == BESIDE


def kept(parameters):
    return parameters.devices[0].runtime.self_test


def passed(folder):
    """Say whether there are results, and all of them are good."""
    ((_, results),) = records.every(folder)
    return all(record.passed for record in results.values())


def speck(runtime, precision="fp32", device="cuda:0", batch=3, updates=2):
    """Train the smallest network for some updates; return its parameters and their digest."""
    made = small_alexnet.parameters(device, tiny_runs.speck(), precision=precision, runtime=runtime)
    small_alexnet.train(made, updates=updates, batch=batch)
    return made, small_alexnet.digest(made)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_right_kernels_pass_and_no_bit_of_a_training_changes(emulated, tmp_path, precision):
    made, digest = speck(self_tested(emulated(), tmp_path), precision)
    assert {launch.kernel.name for launch in kept(made).tried} > {"conv_forward", "lrn_maxpool_backward", "dropout"}
    assert passed(tmp_path)
    assert digest == speck(emulated(), precision)[1]


NETWORKS = {
    "alexnet": small_alexnet.network,
    "all layers of 2012": lambda: small_alexnet.networks.build("alexnet-caffe", classes=10, crop=67, width=1 / 8),
    "spatial": lambda: small_alexnet.networks.build("cifar-relu"),
    "tanh": lambda: small_alexnet.networks.build("cifar-tanh"),
    "grey": lambda: small_alexnet.networks.build("lenet5"),
    "batch normalisation": tiny_runs.mote,
}


@pytest.mark.slow
@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_kernels_of_every_network_pass(emulated, tmp_path, network, precision, fuse):
    net = NETWORKS[network]()
    made = Parameters(net, "cuda:0", precision=precision, runtime=self_tested(emulated(), tmp_path))
    for settings in ({"sink": "momentum"}, {"sink": "adam"}, {"sink": "lars"}, {"accumulate": 2}):
        Plan(made, 4, fuse=fuse, **settings)
    Plan(made, 3, "infer", fuse=fuse)
    ExplainPlan(made, 3, [name for name in net.layers if name != "softmax"][-1], guided=True, fuse=fuse)
    assert passed(tmp_path)


def test_every_activation_has_a_reference():
    """One that is added to the engines, and not to self_test/maps.py, would not be tested on a GPU."""
    named = {f"{name.upper().replace('-', '_')}_FUNCTION" for name in activations.ACTIVATIONS}
    assert named - set(maps.ACTIVATIONS) == {"RELU_FUNCTION"}  # which has kernels of its own


@pytest.mark.parametrize("function", ["tanh", "sigmoid", "softplus", "linear", "leaky-relu:0.2", "elu", "gelu"])
def test_activations_pass(emulated, tmp_path, function):
    bench = open_bench(lambda: self_tested(emulated(), tmp_path), "fp32")
    x, y = bench.empty((1, 2, 50)), bench.empty((1, 2, 50))
    for work in (
        lambda: cuda.activation.forward(bench.device, x, y, function=function),
        lambda: cuda.activation.backward(bench.device, x, y, y, function=function),
    ):
        assert bench.device.self_test(bench.device.prepare(work)[1], [])
    assert len(bench.device.runtime.self_test.tried) == 2


def test_arrays_are_left_as_they_were_but_the_disposable(emulated, tmp_path):
    bench = open_bench(lambda: self_tested(emulated(), tmp_path), "fp32")
    x, y, z = (bench.put(np.random.default_rng(i).normal(size=(1, 2, 4000))) for i in range(3))
    control = bench.get(bench.device.control)
    launches = [
        *bench.device.prepare(lambda: cuda.relu.forward(bench.device, x, y))[1],
        *bench.device.prepare(lambda: cuda.exchange.add(bench.device, x, z))[1],
    ]
    with bench.untouched(x, z):
        before = bench.get(y)
        assert bench.device.self_test(launches, [y])
        assert (bench.get(y) != before).any()
    np.testing.assert_array_equal(bench.get(bench.device.control), control)


def test_the_real_cupy_tests_what_it_runs(stand_in, tmp_path, monkeypatch):
    """By itself, on two GPUs; at the next start nothing is left to test but the copies."""
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path))
    monkeypatch.setenv("CUALEX_SELF_TEST", "1")
    found = []
    for _ in range(2):
        made, digest = speck(CupyRuntime(), "tf32", "cuda:0,cuda:1", updates=4)
        (conditions, results), *more = records.every(tmp_path / "self-test")
        assert all(each.passed for each in results.values())
        assert not more
        found.append((digest, len(results), kept(made).spent > 0))
    assert set(conditions) == {"gpu", "architecture", "driver", "cupy", "nvrtc"}
    assert found[0] == found[1]
    assert {"conv_forward tf32 tensor cores", "copy from cuda:0 to cuda:1"} < {each.what for each in results.values()}
    assert any(each.what.startswith("graph of") for each in results.values())
    monkeypatch.setenv("CUALEX_SELF_TEST", "0")
    assert speck(CupyRuntime(), "tf32", "cuda:0,cuda:1", updates=4)[1] == digest


# --- planted faults: a wrong layout of a fragment, or another fault, in each primitive

SWAPPED = "{{ unsigned s[4] = {{a[i][0], a[i][2], a[i][1], a[i][3]}}; {0}(sums[i][2 * j + half], s, column); }}"
ACROSS = "{{ unsigned s[2] = {{column[1], column[0]}}; {0}(sums[i][2 * j + half], a[i], s); }}"
MMA = "{0}(sums[i][2 * j + half], a[i], column);"
HALF = "inside && !((unsigned long)shared & {0}))"
FAULTS = {
    "mma_tf32 a": ("tf32", MMA.format("mma_tf32"), SWAPPED.format("mma_tf32"), True),
    "mma_tf32 b": ("tf32", MMA.format("mma_tf32"), ACROSS.format("mma_tf32"), True),
    "mma_tf32 d": ("tf32", "(d, &sum, sizeof sum)", "(d, (const char*)&sum + 8, 8)", True),
    "mma_bf16 a": ("bf16", MMA.format("mma_bf16"), SWAPPED.format("mma_bf16"), True),
    "mma_bf16 b": ("bf16", MMA.format("mma_bf16"), ACROSS.format("mma_bf16"), True),
    "mma_bf16 d": ("bf16", "(d, &sum, sizeof sum)", "(d, (const char*)&sum + 8, 8)", True),
    "load_matrix_x4": ("bf16", "load_matrix(row, false)", "load_matrix(row, true)", True),
    "load_matrix_x4_transposed": ("bf16", "load_matrix(row, true)", "load_matrix(row, false)", True),
    "round_tf32": ("tf32", "& 0xffffe000u;", "& 0xffc00000u << 2;", True),
    "swap of halves": ("tf32", "quads[j][2] = odd ? s[2] : first", "quads[j][2] = odd ? first : s[2]", True),
    "copy_async_16": ("tf32", "16, inside)", "16, " + HALF.format(16), False),
    "copy_async_4": ("fp32", "4, inside)", "4, " + HALF.format(4), False),
    "copy_wait": ("fp32", "emulator::copy_wait(in_flight)", "emulator::copy_wait(in_flight + 1)", False),
    "store_global_8": ("bf16", "*(uint2*)global = words;", "*(uint2*)global = make_uint2(words.y, words.x);", False),
    "store_global_16": ("fp32", "*(uint4*)global = words;", "((uint4*)global)->x = words.w;", False),
    "round_bf16_pair": (
        "bf16",
        "to_bf16(low) | (unsigned)to_bf16(high)",
        "to_bf16(high) | (unsigned)to_bf16(low)",
        False,
    ),
    "reciprocal_root": ("fp32", "return rsqrtf(", "return 1.0001f * rsqrtf(", False),
}


def some_of_each(bench, case):
    """Return what describes the launches of a convolution and its gradients, of a dense layer, of LRN and of ReLU."""
    device, arrays = bench.device, Convolution(bench, case, draw(case, True))
    dweight, dbias = (bench.empty(each.shape, np.float32) for each in (arrays.weight, arrays.bias))
    y, dx = bench.empty(arrays.dy.shape), [bench.empty(maps.shape) for maps in arrays.x]
    x, z, numbers = bench.empty((1, 2, 8, 8, 8)), bench.empty((1, 2, 8, 8, 8)), arrays.numbers
    flat, weight, bias = [bench.empty((2, 64))], bench.empty((1, 8, 64)), bench.empty((1, 8), np.float32)
    scores = bench.empty((1, 2, 8))

    def work():
        conv = cuda.conv
        conv.forward(device, arrays.x, arrays.weight, arrays.bias, y, **numbers)
        conv.input_gradient(device, arrays.dy, arrays.weight, dx, **numbers)
        conv.weight_gradient(device, arrays.x, arrays.dy, cuda.update.Keep(dweight), cuda.update.Keep(dbias), **numbers)
        cuda.dense.forward(device, flat, weight, bias, scores)
        cuda.lrn.forward(device, x, z, n=5, k=2.0, alpha=1e-4, beta=0.75)
        cuda.relu.forward(device, x, z)

    return work


def settle(device, work):
    """Let a device describe work, and test it, until all kernels are right."""
    while not device.self_test(device.prepare(work)[1], []):
        pass


FAST = {"mma_bf16 a", "reciprocal_root"}  # each fault is a g++ build of all kernels


def test_every_fault_has_its_place_in_the_sources():
    """Else it is planted nowhere, and only the slow tests would say so."""
    assert nowhere(before for _, before, *_ in FAULTS.values()) == []


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in FAULTS]
)
def test_a_fault_in_each_primitive_is_seen(emulated, tmp_path, fault):
    """Gemms then run on FFMA, right; what nothing can replace is an error."""
    precision, before, after, replaced = FAULTS[fault]
    runtime = self_tested(planted(emulated, after, into=before)(), tmp_path)
    bench = open_bench(lambda: runtime, precision)
    work = some_of_each(bench, NARROW if fault == "copy_async_4" else CASE)
    if replaced:
        assert not bench.device.self_test(bench.device.prepare(work)[1], [])
        assert bench.device.self_test(bench.device.prepare(work)[1], [])
        assert bench.device.fallbacks.used
    else:
        with pytest.raises(DeviceError, match=r"gives wrong results on emulated \(cuda:0\): (\d+ of|Emul)"):
            settle(bench.device, work)
    assert runtime.found


@pytest.mark.slow
@pytest.mark.emulator
def test_a_training_on_tensor_cores_that_fail_is_one_on_ffma(emulated, tmp_path, caplog, monkeypatch):
    """It stores maps in TF32, as on tensor cores, and multiplies in float32."""
    runtime = self_tested(planted(emulated, SWAPPED.format("mma_tf32"), into=MMA.format("mma_tf32"))(), tmp_path)
    made, digest = speck(runtime, "tf32", batch=9)  # with three images fc3 has no products in the other half
    with monkeypatch.context() as patch:
        patch.setattr(Fallbacks, "avoids", lambda device, name, constants: bool(constants.get("TENSOR_CORES")))
        assert digest == speck(emulated(), "tf32", batch=9)[1]
    lines = [record.message for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith("Self-test on emulated (cuda:0): ")
    assert "wrong results on tensor cores and run on FFMA, slower and with other bits: conv_forward, " in lines[0]
    assert "conv_forward 729x4x27" in made.devices[0].fallbacks.used


# What ReLU made of a gradient stays where it was: a value more or less changes nothing. tanh has no parameter, filters
# over single pixels no size.
EQUIVALENT = {
    ("activation_backward", "COUNT"),
    ("activation_backward", "OFFSET"),
    ("conv_weight_gradient", "SIZE"),
    ("lars_rates", "SMALLEST"),
    ("relu_backward", "COUNT"),
    ("scale", "COUNT"),
}


class Mutants(SelfTest):
    """Try each launch with each of its constants changed a little, and note the pairs of kernel and constant."""

    seen: set
    unseen: set

    def trial(self, device, launch, disposable):
        for name in (*launch.kernel.dimensions, *launch.kernel.reals):
            value, pair = launch.constants[name], (launch.kernel.name, name)
            changed = (value + 1, value - 1) if name in launch.kernel.dimensions else (value * 1.01 + 1e-6,)
            for new in changed if pair not in self.seen else ():
                mutant = replace(launch, constants={**launch.constants, name: new})
                self.seen.add(pair) if self.caught(device, launch, mutant, disposable) else self.unseen.add(pair)
        return ""

    def caught(self, device, launch, mutant, disposable):
        run = self.runtime.launch
        self.runtime.launch = lambda stream, _: run(stream, mutant)
        try:
            return super().trial(device, launch, disposable)
        finally:
            self.runtime.launch = run


@pytest.mark.slow
@pytest.mark.emulator
def test_a_change_of_any_constant_of_any_kernel_is_seen(emulated, tmp_path):
    """In one of the launches at least: not all constants matter in all shapes."""
    seen, unseen = set(), set()
    affine = small_alexnet.networks.build("lenet5", function="linear:2,0.5")
    for number, net in enumerate((tiny_runs.speck(), tiny_runs.mote(), affine)):
        runtime = emulated()
        runtime.self_test = Mutants(runtime, tmp_path / f"{number}", lambda index: CONDITIONS, 1e9)
        runtime.self_test.seen, runtime.self_test.unseen = seen, unseen
        made = Parameters(net, "cuda:0", precision="fp32", runtime=runtime)
        for fuse in (True, False):
            for settings in ({"sink": "momentum"}, {"sink": "adam"}, {"sink": "lars"}, {"accumulate": 2}):
                Plan(made, 4, fuse=fuse, **settings)
            Plan(made, 3, "infer", fuse=fuse)
    assert unseen - seen == EQUIVALENT
    assert len(seen) > 190
