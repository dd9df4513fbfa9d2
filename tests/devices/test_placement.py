"""Placements: which tower goes where, and the devices that are opened for them."""

import pytest

from cualex.devices import placement as module
from cualex.devices.dry_runtime import DryRuntime
from cualex.devices.placement import open_devices, placement
from cualex.errors import DeviceError, GpuNotUsed, OutOfMemory, UsageError


@pytest.mark.parametrize(
    ("text", "names", "towers"),
    [
        ("cpu", ("cpu",), ((0, 1),)),
        ("cpu,cpu", ("cpu", "cpu"), ((0,), (1,))),
        ("cuda", ("cuda:0",), ((0, 1),)),
        ("cuda:3", ("cuda:3",), ((0, 1),)),
        ("cuda:0, cuda:1", ("cuda:0", "cuda:1"), ((0,), (1,))),
        ("cuda:0,cuda:0", ("cuda:0", "cuda:0"), ((0,), (1,))),
    ],
)
def test_a_placement_is_read(text, names, towers):
    placed = placement(text, 2)
    assert (placed.names, placed.towers, str(placed)) == (names, towers, ",".join(names))
    assert placed.cuda == names[0].startswith("cuda")


class Machine(DryRuntime):
    """GPUs, of which the first fails in some way."""

    def __init__(self, architecture=90, free=80 << 30, fails=None, count=2):
        super().__init__(architecture)
        self.free, self.count, self._fails = lambda device: free, lambda: count, fails

    def try_out(self, device):
        if self._fails:
            raise self._fails


def test_auto_is_the_first_gpu_where_there_is_one(monkeypatch, recwarn):
    monkeypatch.setattr(module, "CupyRuntime", Machine)
    assert placement("auto", 2).names == ("cuda:0",)
    monkeypatch.setattr(module, "CupyRuntime", lambda: Machine(count=0))
    assert placement("auto", 2).names == ("cpu",)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ({"fails": DeviceError("cuda:0 is busy.", "Wait.")}, r"cuda:0 is busy\."),
        ({"fails": OutOfMemory("cuda:0 is full.", "Wait.")}, r"cuda:0 is full\."),
        ({"fails": RuntimeError("cudaErrorX: a text")}, r"cuda:0 does not work: cudaErrorX: a text\."),
        ({"architecture": 70}, r"the GPU is sm_70, and the kernels need sm_75 or newer\."),
        ({"free": 100_000_000}, r"cuda:0 has only 100 MB of memory free\."),
    ],
)
def test_auto_says_why_it_does_not_use_a_gpu(monkeypatch, machine, said):
    monkeypatch.setattr(module, "CupyRuntime", lambda: Machine(**machine))
    with pytest.warns(GpuNotUsed, match=rf"^computing on the CPU: {said}$"):
        assert placement("auto", 2).names == ("cpu",)


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cuda:-1", "", "cpu:0"])
def test_a_device_that_cannot_be_is_refused(text):
    with pytest.raises(UsageError, match=r"expected cpu, cuda:0, cuda:1, \.\.\. or auto"):
        placement(text, 2)


@pytest.mark.parametrize("text", ["cpu,cuda:0", "cuda:1,cpu"])
def test_towers_are_all_on_the_cpu_or_all_on_gpus(text):
    with pytest.raises(UsageError, match="expected only CPUs, or only GPUs"):
        placement(text, 2)


def test_each_tower_has_a_place():
    with pytest.raises(UsageError, match="names 3 devices; this network has 2 towers"):
        placement("cuda:0,cuda:1,cuda:2", 2)
    with pytest.raises(UsageError, match="names 2 devices; this network has 1 tower"):
        placement("cuda:0,cuda:1", 1)


def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(DeviceError, match=r"device 'cuda:2' not found: the number of GPUs is 2\. `cualex doctor`"):
        open_devices(placement("cuda:0,cuda:2", 2), runtime=DryRuntime())


@pytest.mark.parametrize(("architecture", "precision"), [(75, "fp32"), (80, "tf32"), (90, "tf32")])
def test_the_precision_is_the_best_that_the_gpu_has(architecture, precision):
    (device,) = open_devices(placement("cuda:1", 2), runtime=DryRuntime(architecture))
    assert (device.index, device.precision) == (1, precision)


def test_one_precision_for_all_gpus_of_a_placement():
    """Each would take its own best otherwise, and two towers would compute differently."""
    runtime = DryRuntime()
    runtime.architecture = lambda device: [90, 75][device]
    for text in ("cuda:0,cuda:1", "cuda:1,cuda:0"):
        assert [device.precision for device in open_devices(placement(text, 2), runtime=runtime)] == ["fp32", "fp32"]
    with pytest.raises(UsageError, match="precision 'tf32': cuda:1 supports fp32"):
        open_devices(placement("cuda:0,cuda:1", 2), "tf32", runtime=runtime)


def test_a_precision_that_the_gpu_lacks_is_refused():
    with pytest.raises(UsageError, match="precision 'bf16': cuda:0 supports fp32"):
        open_devices(placement("cuda:0", 2), "bf16", runtime=DryRuntime(75))
    with pytest.raises(UsageError, match="precision 'fp64': cuda:0 supports tf32, fp32, bf16"):
        open_devices(placement("cuda:0", 2), "fp64", runtime=DryRuntime(90))
    with pytest.raises(UsageError, match="precision 'tf32': the CPU supports fp32, fp64"):
        open_devices(placement("cpu", 2), "tf32")


def test_both_towers_on_one_gpu_have_streams_of_their_own():
    one, other = open_devices(placement("cuda:0,cuda:0", 2), runtime=DryRuntime())
    assert one.index == other.index == 0
    assert one is not other
