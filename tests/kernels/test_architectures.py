"""Every kernel of alexnet's plans, compiled for every architecture in its row of the table: no GPU is needed.

The launches are those of real plans at batch 128 and 1, in every precision. What differs in its choices is compiled for
every architecture; of other networks' kernels and of bf16 without tensor cores only some architectures are tried.
NVRTC and cuobjdump come as wheels: the extra `kernels`.
"""

import re
import struct
import subprocess
import sysconfig
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from cualex import kernels, networks
from cualex.devices.dry_runtime import DryRuntime
from cualex.engine.activations import ACTIVATIONS
from cualex.engine.cuda import statistics
from cualex.errors import DeviceError
from cualex.kernels.architectures import ARCHITECTURES, PRECISIONS, TENSOR_CORES, WGMMA, precisions, row
from cualex.kernels.binaries import compile_kernel, compiler_version
from cualex.plan import ExplainPlan, Plan
from cualex.plan.update_rule import Rule
from cualex.system.environment import cores
from cualex.weights.parameters import Parameters

# Device, batch, mode, fused; the last for the kernels that only plain plans, two GPUs and kept gradients launch.
PLANS = (
    ("cuda:0", 128, "train", True),
    ("cuda:0", 128, "infer", True),
    ("cuda:0", 1, "infer", True),
    ("cuda:0", 32, "explain", True),
    ("cuda:0,cuda:1", 2, "train", False),
)
OTHERS = (  # networks with layers that alexnet has not, and their arguments
    ("alexnet-batchnorm", {}),
    ("alexnet-2012", {}),
    *(("lenet5", {"function": function}) for function in ACTIVATIONS if function != "relu"),
)
USED = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
WIDE = {8: "STG.E.64", 16: "STG.E.128"}  # the store of so many bytes: NVRTC cuts some into pieces
FAST = 90  # the architecture of the fast part
PRODUCTS_READ = {75, FAST}  # whose instructions are read, with and without asynchronous copies
FEW = {75, 90, 120}  # the oldest, the usual and the newest, for kernels beside those of alexnet: it takes minutes


@cache
def launches():
    """Return the launches of all plans, one for each kernel and set of constants."""
    found = {}
    for precision in PRECISIONS:
        for plan in PLANS:
            found |= {(launch.kernel.name, launch.defines): launch for launch in planned(precision, *plan)}
    for precision in ("bf16", "tf32"):
        plain = planned(precision, *PLANS[0], plain=True)
        found |= {(launch.kernel.name, launch.defines): launch for launch in plain}
    return [*found.values(), *others({launch.kernel.name for launch in found.values()})]


def planned(precision, device, batch, mode, fuse, plain=False):
    """Return the launches of a plan of alexnet, and of what stands beside one that trains.

    plain: as where all tensor cores have failed their self-test.
    """
    runtime = DryRuntime()
    made = Parameters(networks.build("alexnet"), device, precision=precision, runtime=runtime)
    if plain:
        made.devices[0].fallbacks.avoids = lambda name, constants: True
    if mode == "explain":
        ExplainPlan(made, batch, "fc8", guided=True, fuse=fuse)
        return runtime.launches
    plan = Plan(made, batch, mode, fuse=fuse)
    if mode == "train":
        for beside in (update, watch, weigh, arrange):
            made.devices[0].compile(made.devices[0].prepare(partial(beside, made, plan), rounds=True)[1])
    return runtime.launches


def others(known):
    """Return the launches of other networks' kernels, those that alexnet has none of."""
    found = {}
    for precision in PRECISIONS:
        for network, arguments in OTHERS:
            for mode in ("train", "infer", "explain"):
                runtime, net = DryRuntime(), networks.build(network, **arguments)
                made = Parameters(net, "cuda:0", precision=precision, runtime=runtime)
                if mode == "explain":
                    ExplainPlan(made, 32, [name for name in net.layers if name != "softmax"][-1])
                else:
                    Plan(made, 32, mode)
                new = (launch for launch in runtime.launches if launch.kernel.name not in known)
                found |= {(launch.kernel.name, launch.defines): launch for launch in new}
    return list(found.values())


def update(made, plan):
    """Launch the updates by a gradient that was kept."""
    weight = made.arrays["conv1.weight", 0]
    for sink in ("momentum", "adam", "lars"):
        mover = Rule(sink).mover(made, "conv1.weight", 0, plan.control)
        made.engine.update.apply(made.devices[0], weight, mover)


def watch(made, plan):
    """Launch the sums and counts of the watch on training."""
    device = made.devices[0]
    sums, counts = device.allocate((8,), np.float64), device.allocate((8, 1, 9), np.uint32)
    statistics.absolute_sums(device, made.arrays["conv1.weight", 0], sums)
    statistics.count_positive(device, device.allocate((1, 2, 3, 3, 9), device.dtype), counts)


def arrange(made, plan):
    """Launch the changes of layout of layers that are called."""
    device, layout = made.devices[0], made.engine.layout
    plain, maps = device.allocate((2, 9, 3, 3), np.float32), device.allocate((1, 2, 3, 3, 9), device.dtype)
    layout.from_plain(device, plain, maps)
    layout.to_plain(device, maps, plain)


def weigh(made, plan):
    """Launch the loss of a recipe with class weights."""
    (step,) = [step for step in plan.steps if step.function == "softmax.forward"]
    class_weights = made.devices[0].allocate((made.network.classes,), np.float32)
    arrays = {**step.arrays(), "class_weights": class_weights}
    made.engine.softmax.forward(made.devices[0], **arrays, **step.numbers)


@cache
def variants():
    """Return one launch for each kernel and set of choices, and for each activation."""
    found = {}
    for launch in launches():
        choices = (
            *(launch.constants[name] for name in launch.kernel.choices),
            launch.constants.get("FUNCTION"),
        )
        found.setdefault((launch.kernel.name, choices), launch)
    return list(found.values())


@pytest.fixture(scope="module")
def cuobjdump():
    """Find the disassembler, and NVRTC; skip where either is missing."""
    pytest.importorskip("cupy", reason="CuPy is not installed, the door to NVRTC")
    try:
        compiler_version()
    except DeviceError as error:
        pytest.skip(str(error))
    found = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/**/bin/cuobjdump"))
    if not found:
        pytest.skip("cuobjdump is not here: pip install 'cualex[kernels]'")
    return found[0]


@pytest.fixture
def compiled(cuobjdump, tmp_path):
    """Return a function that compiles launches, and gives each with its figures and its instructions, where read."""

    def one(launch, architecture):
        path = tmp_path / f"{launch.kernel.name}-{abs(hash(launch.defines))}-{architecture}.cubin"
        cubin = compile_kernel(launch.kernel, launch.defines, architecture)
        path.write_bytes(cubin)
        words = [cuobjdump, "-res-usage", path]
        found = USED.search(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        figures = dict(zip(("registers", "stack", "shared", "local"), map(int, found.groups()[1:]), strict=True))
        return figures, code(cubin, launch.kernel.name)

    def all_of(wanted, architecture):
        with ThreadPoolExecutor(cores()) as threads:
            made = list(threads.map(lambda launch: one(launch, architecture), wanted))
        read = [is_read(launch, architecture) for launch in wanted]
        codes = [own for (_, own), chosen in zip(made, read, strict=True) if chosen]
        texts = iter(disassemble(cuobjdump.with_name("nvdisasm"), codes, architecture, tmp_path / "code"))
        return [
            (launch, figures, next(texts) if chosen else "")
            for launch, (figures, _), chosen in zip(wanted, made, read, strict=True)
        ]

    return all_of


def code(cubin, kernel):
    """Return the machine code of a kernel: a section of an ELF file of 64 bits."""
    (table,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", cubin, table + number * size) for number in range(count)]
    place = sections[names][4]
    wanted = f".text.{kernel}\0".encode()
    return next(
        cubin[start : start + length] for name, *_, start, length in sections if cubin.startswith(wanted, place + name)
    )


def disassemble(nvdisasm, codes, architecture, path):
    """Return the instructions of kernels, a text each. All at once: to start, nvdisasm takes half a second."""
    path.write_bytes(b"".join(codes))
    words = [nvdisasm, "--binary", f"SM{architecture}{'a' * (architecture == WGMMA)}", path]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines() if codes else []
    ends, texts = list(accumulate(map(len, codes))), [[] for _ in codes]
    for line in lines:
        if found := re.match(r" +/\*([0-9a-f]+)\*/", line):
            texts[bisect_right(ends, int(found[1], 16))].append(line)
    return ["\n".join(text) for text in texts]


def is_read(launch, architecture):
    """Return whether a kernel's instructions are looked at."""
    if "TILE_DEPTH" in launch.kernel.constants:
        return architecture in PRODUCTS_READ
    return architecture == FAST and store(launch) in WIDE


def store(launch):
    """Return how many bytes a thread writes at once."""
    return launch.constants.get("VECTOR", 1) * (2 if launch.constants.get("PRECISION") == "BF16" else 4)


def check(launch, figures, sass, architecture):
    """See that a kernel keeps to its registers, and has the instructions that the plan of it names."""
    what = f"{launch.kernel.name} {launch.defines} sm_{architecture}: {figures}"
    assert figures["stack"] == figures["local"] == 0, what
    assert figures["registers"] * launch.block <= 65536, what
    if not is_read(launch, architecture):
        return
    assert not re.search(r"\b(LDL|STL)\b", sass), what
    if wide := WIDE.get(store(launch)):
        assert wide in sass, f"{what}: maps are not written {wide}"
    if "TILE_DEPTH" not in launch.kernel.constants:
        return
    tensor = bool(launch.constants["TENSOR_CORES"])
    by_wgmma = launch.kernel.needs is not None
    assert bool(re.search(r"\bHMMA\.", sass)) == (tensor and not by_wgmma), what
    assert bool(re.search(r"\bHGMMA\.64x", sass)) == by_wgmma, what
    assert tensor or "FFMA" in sass, what
    if architecture >= TENSOR_CORES:
        assert re.search(r"\bLDGSTS\.E\.BYPASS\.(LTC128B\.)?128\b", sass), what
    if tensor and not by_wgmma and launch.constants["PRECISION"] == "BF16":
        assert "LDSM" in sass, what


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_without_spills(compiled, architecture):
    wanted = [launch for launch in variants() if architecture in row(launch.kernel, launch.constants)]
    if architecture not in FEW:
        wanted = [launch for launch in wanted if not beside_alexnet(launch)]
    for launch, figures, sass in compiled(wanted, architecture):
        check(launch, figures, sass, architecture)


@pytest.mark.slow
def test_gemms_of_a_small_network_do_not_spill(compiled):
    """Where values are copied one by one: on sm_75 the gradient of ten outputs' weights had too few registers."""
    runtime = DryRuntime()
    Plan(Parameters(networks.build("cifar-relu"), "cuda:0", precision="fp32", runtime=runtime), 32, "train")
    gemms = [launch for launch in runtime.launches if launch.kernel.gemm]
    assert any(launch.constants["TILE_ROWS"] == 16 and not launch.constants["WHOLE_A"] for launch in gemms)
    for launch, figures, sass in compiled(gemms, 75):
        check(launch, figures, sass, 75)


def beside_alexnet(launch):
    """Return whether a launch is another network's, or what takes the place of tensor cores that fail."""
    constants, others = launch.constants, ("averagepool", "batchnorm", "spatial_lrn")
    plain = constants.get("PRECISION") != "FP32" and not constants.get("TENSOR_CORES", True)
    return plain or "FUNCTION" in constants or launch.kernel.name.startswith(others)


def test_one_kernel_of_each_precision_compiles(compiled):
    """The fast part: a kernel that has all a product can have."""
    tiles = {
        precision: launch
        for precision in PRECISIONS
        for launch in planned(precision, *PLANS[0])
        if launch.kernel.name == "conv_weight_gradient"
    }
    assert {launch.constants["PRECISION"] for launch in tiles.values()} == {"FP32", "TF32", "BF16"}
    for launch, figures, sass in compiled([*tiles.values()], FAST):
        check(launch, figures, sass, FAST)


def test_wgmma_compiles_without_spills(compiled):
    tiles = [launch for launch in planned("bf16", *PLANS[0]) if launch.kernel.needs]
    assert {launch.kernel.name for launch in tiles} == {"conv_forward_wgmma"}
    assert {row(launch.kernel, launch.constants) for launch in tiles} == {(WGMMA,)}
    for launch, figures, sass in compiled(tiles, WGMMA):
        check(launch, figures, sass, WGMMA)


def test_before_sm_80_sums_are_added_while_values_are_loaded(compiled):
    """A load is stored to shared memory only behind the sums of the step before, whose time it takes."""
    tiled = [launch for launch in planned("fp32", *PLANS[0]) if "TILE_DEPTH" in launch.kernel.constants]
    whole = {
        launch.kernel.name: launch for launch in tiled if launch.constants["WHOLE_A"] and launch.constants["WHOLE_B"]
    }
    assert len(whole) == 3
    for launch, figures, sass in compiled([*whole.values()], 75):
        check(launch, figures, sass, 75)
        names = re.findall(r"/\*[0-9a-f]{4,5}\*/ +(?:@!?U?P\d+ )?([A-Z]+)", sass)
        loop = names[names.index("BAR") : len(names) - names[::-1].index("FFMA")]
        last_load, first_store = len(loop) - loop[::-1].index("LDG"), loop.index("STS")
        assert loop[last_load:first_store].count("FFMA") > 90, launch.kernel.name


# --- the table itself


@pytest.mark.slow
def test_the_plans_use_every_kernel():
    """So that every .cu is compiled above."""
    assert {launch.kernel.name for launch in launches()} == set(kernels.names())


@pytest.mark.slow
def test_the_loss_is_compiled_with_class_weights_and_without():
    found = [launch for launch in variants() if launch.kernel.name == "softmax"]
    chosen = {(launch.constants["PRECISION"], launch.constants["WEIGHTED"]) for launch in found}
    assert chosen == {(precision, weighted) for precision in ("FP32", "TF32", "BF16") for weighted in (True, False)}


@pytest.mark.slow
def test_every_architecture_has_a_kernel_for_every_precision_promised_there():
    for architecture in ARCHITECTURES:
        for precision in precisions(architecture):
            words = {"FP32"} if precision == "fp32" else {precision.upper()}
            there = {
                launch.kernel.name
                for launch in launches()
                if launch.constants.get("PRECISION") in words and architecture in row(launch.kernel, launch.constants)
            }
            assert {"conv_forward", "conv_input_gradient", "conv_weight_gradient"} <= there, (
                architecture,
                precision,
            )


@pytest.mark.parametrize(
    ("architecture", "has"),
    [(75, ("fp32",)), (80, ("tf32", "fp32", "bf16")), (120, ("tf32", "fp32", "bf16"))],
)
def test_the_precisions_of_a_gpu(architecture, has):
    assert precisions(architecture) == has


def test_a_gpu_that_is_too_old_is_said():
    with pytest.raises(DeviceError, match=r"the GPU is sm_70, and the kernels need sm_75 or newer\. Use --device cpu"):
        precisions(70)
