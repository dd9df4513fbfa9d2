"""How much memory a step takes, buffer by buffer."""

from dataclasses import dataclass

from cualex.layers.maps import Buffer
from cualex.networks import Network
from cualex.plan import Plan
from cualex.weights.parameters import Parameters


@dataclass(frozen=True)
class Held:
    """One buffer of a plan: (towers, images, rows, columns, channels) for maps.

    It lives from the step `first` to the step `last`; a `lasting` one has its memory for itself, the others may
    lie where one that never lives at the same time lies.
    """

    name: str
    place: int
    shape: tuple[int, ...]
    bytes: int
    first: str
    last: str
    lasting: bool


@dataclass(frozen=True)
class Memory:
    """The memory that one step needs, in bytes.

    `buffers` are the plan's, `gradients` those of them that keep gradients for the update: none with SGD with
    momentum, which is fused with the gradients; all with Adam and LARS. `side_by_side` is what they would take if none
    shared memory, and `shared` what they do take. `parameters` counts weights, biases and, in training,
    velocities or moments; `work` what the engine's operations use on the way.
    """

    buffers: tuple[Held, ...]
    side_by_side: int
    shared: int
    parameters: int
    work: int
    gradients: int = 0

    @property
    def total(self) -> int:
        """Add up what is held at once; the interpreter and its libraries come on top."""
        return self.shared + self.parameters + self.work


def measure(
    network: Network,
    batch: int,
    mode: str = "train",
    device: str = "cpu",
    precision: str | None = None,
    optimizer: str = "momentum",
) -> Memory:
    """Make a plan, run one step on empty images, and return its memory.

    The step is needed for the engine's work memory, which grows when an operation first runs.
    """
    parameters = Parameters(network, device, precision=precision)
    plan = Plan(parameters, batch, mode, sink=optimizer)
    plan.run()
    steps = [f"{step.name} {step.kind}" if step.name != step.kind else step.name for step in plan.steps]
    return Memory(
        buffers=tuple(_held(buffer, steps) for buffer in plan.buffers),
        side_by_side=sum(buffer.bytes for buffer in plan.buffers),
        shared=plan.bytes,
        parameters=parameters.bytes,
        work=sum(place.scratch_bytes for place in parameters.devices),
        gradients=sum(gradient.nbytes for gradient in plan._gradients.values()),
    )


def _held(buffer: Buffer, steps: list[str]) -> Held:
    first, last = steps[buffer.first], steps[buffer.last]
    return Held(buffer.name, buffer.place, buffer.shape, buffer.bytes, first, last, buffer.lasting)
