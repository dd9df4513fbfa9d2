"""A plan without a GPU: its launches, the code of its kernels, and the table of what they do."""

from collections.abc import Callable, Sequence
from typing import cast

from cualex.devices.dry_runtime import DryRuntime
from cualex.devices.placement import placement
from cualex.devices.runtime import Runtime
from cualex.errors import UsageError
from cualex.kernel_model import counts, estimate, sass
from cualex.kernel_model.estimate import L2
from cualex.kernel_model.sass import Sass
from cualex.kernel_model.table import Row, Table
from cualex.kernels import Launch
from cualex.kernels.architectures import precisions
from cualex.kernels.binaries import Binaries, compile_ptx
from cualex.kernels.disassembly import check_tools, disassemble
from cualex.networks import Network
from cualex.plan import Plan
from cualex.system import environment
from cualex.system.cache import place
from cualex.weights.parameters import Parameters


class Planned:
    """A plan without a GPU: its steps, and the launches of each; nothing is compiled or allocated."""

    def __init__(
        self,
        network: Network,
        batch: int = 128,
        mode: str = "train",
        *,
        precision: str | None = None,
        architecture: int = 90,
        device: str = "cuda:0",
    ) -> None:
        """Plan a step of a network in "train" or "infer".

        precision: the GPU's best where none is given.  architecture: 90 for sm_90. Raise UsageError for an architecture
        or a precision that does not exist.
        """
        self.limits, self.gpu = estimate.limits(architecture), estimate.gpu(architecture)
        if precision is not None and precision not in precisions(architecture):
            raise UsageError(f"--precision {precision}: sm_{architecture} has {', '.join(precisions(architecture))}")
        if not placement(device, network.towers).cuda:
            raise UsageError(f"--device {device}: kernels run on GPUs; expected cuda:0, or cuda:0,cuda:1")
        made = Parameters(network, device, precision=precision, runtime=cast(Runtime, DryRuntime(architecture)))
        self._plan = Plan(made, batch, mode)  # keeps the arrays, whose addresses tell them apart
        self.steps = tuple(self._plan.steps)
        self.launches = [(step, launch) for step in self.steps for launch in step.launches]
        self.architecture, self.devices = architecture, len(made.devices)
        self.conditions = {
            "network": {"name": network.name, **network.arguments},
            "mode": mode,
            "batch_size": batch,
            "precision": made.devices[0].precision,
            "architecture": architecture,
            "device": str(made.placement),
            "gpu": self.gpu and self.gpu["gpu"],
        }

    def find(self, name: str) -> Launch:
        """Return the launch of a kernel: conv_forward, or conv2:conv_forward, or conv2+relu2:conv_forward.

        Raise UsageError where there is none, or where those of several steps differ.
        """
        layer, _, kernel = name.rpartition(":")
        found = [(step, each) for step, each in self.launches if each.kernel.name == kernel]
        if not found:
            names = sorted({each.kernel.name for _, each in self.launches})
            raise UsageError(f"no kernel {kernel!r} in this plan; there are {', '.join(names)}")
        fitting = [(step, each) for step, each in found if not layer or layer in (step.name, *step.layers)]
        if not fitting:
            own = [each.kernel.name for step, each in self.launches if layer in (step.name, *step.layers)]
            if own:
                raise UsageError(f"{name}: {layer} has no {kernel} in this plan; it has {', '.join(sorted({*own}))}")
        if not fitting or (
            len({each.defines for _, each in fitting}) > 1 and len({step.name for step, _ in fitting}) > 1
        ):
            names = list(dict.fromkeys(f"{step.name}:{kernel}" for step, _ in found))
            raise UsageError(f"{name}: {kernel} is compiled for several layers, name one of them: {', '.join(names)}")
        return fitting[0][1]

    def sass(self, name: str) -> str:
        """Return the SASS of a kernel; see `find`. Raise DeviceError where it cannot be compiled or disassembled."""
        launch = self.find(name)
        check_tools()
        return disassemble(_binaries(), launch.kernel, launch.defines, self.architecture)

    def ptx(self, name: str) -> str:
        """Return the PTX of a kernel; see `find`. Raise DeviceError where it cannot be compiled."""
        launch = self.find(name)
        check_tools()
        return compile_ptx(launch.kernel, launch.defines, self.architecture)

    def table(self, compiling: Callable[[int, int], None] | None = None) -> Table:
        """Compile the kernels, and count and model each launch.

        compiling: hears how many kernels are compiled, of how many. Raise DeviceError where the compiler or the
        disassembler is missing.
        """
        check_tools()
        code = _compile([launch for _, launch in self.launches], self.architecture, compiling)
        caches = [L2(self.gpu["l2_bytes"]) for _ in range(self.devices)] if self.gpu else []
        multiprocessors = self.gpu["multiprocessors"] if self.gpu else None
        rows = []
        for step, launch in self.launches:
            own = code[launch.kernel.name, launch.defines]
            counted = counts.count(launch, own, self.limits)
            missed = caches[step.place].missed(counted) if self.gpu else None
            modelled = estimate.estimate(counted, missed, self.gpu) if self.gpu and missed is not None else None
            total = None if missed is None else sum(missed)
            rows.append(Row(step, launch, own, counted, self.limits["warps"], multiprocessors, total, modelled))
        return Table(tuple(rows), self.steps, self.conditions, self._assumptions())

    def _assumptions(self) -> tuple[str, ...]:
        """Say what the counts and the model take for granted."""
        said = [
            "Bytes: each array once, twice where it is updated; slabs of split sums stay in L2.",
            "Instructions: of the SASS, both sides of every branch. Loops whose length is known run that often, others "
            "until the launch has read its bytes, or once.",
            "Shared memory: without bank conflicts.",
        ]
        if any(launch.kernel.needs for _, launch in self.launches):
            said.append(
                "wgmma: that its self-test passes on the GPU, else mma.sync runs; tensor cores at the hardware's peak."
            )
        if self.gpu:
            said.append(
                f"Time: of an {self.gpu['gpu']}, one launch after another in a graph. Constants are assumed, and "
                "fitted to an estimate by hand (cualex/kernel_model/gpus.json): none of these times was measured."
            )
        else:
            said.append(f"Time: none, as the model has no constants for sm_{self.architecture}.")
        if any(step.kind == "link" for step in self.steps):
            said.append(
                "Copies between devices: not modelled. The sum is of all devices, as if one waited for another."
            )
        return tuple(said)


def _binaries() -> Binaries:
    """Return the cache of compiled kernels, that of the programs that run them."""
    return Binaries(place() / "kernels")


def _compile(
    launches: Sequence[Launch], architecture: int, compiling: Callable[[int, int], None] | None
) -> dict[tuple[str, tuple[str, ...]], Sass]:
    """Compile and read each kernel once, in a thread a core."""
    binaries = _binaries()
    wanted = {(launch.kernel.name, launch.defines): launch for launch in launches}

    def read(launch: Launch) -> Sass:
        return sass.read(disassemble(binaries, launch.kernel, launch.defines, architecture))

    return dict(zip(wanted, environment.in_threads(read, wanted.values(), compiling), strict=True))
