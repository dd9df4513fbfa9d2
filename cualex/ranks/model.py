"""What ranks send in an update, and how long it takes: the model of `cualex summary --ranks`.

Bytes that leave a rank in an update, of N ranks in machines of g, for P parameters, D of them in dense layers with I
inputs and O outputs in all, C = P - D, and b images a rank:

    sum      2 * 4 P (N - 1) / N                          gradients: all-to-all, then all-gather
             of these 2 * 4 P / g (M - 1) / M between machines, M = N / g
    split    2 b (G - 1) (O + I / G) a * 4                inputs, outputs and their gradients, in groups of G ranks
             + 2 * 4 C (N - 1) / N                        gradients of the convolutions
             + 2 * 4 D / G (N / G - 1) / (N / G)          of the own dense weights, between groups

G: the largest power of two up to 8 that divides g. a: with bfloat16 maps, inputs and the gradients
of outputs have half of these bytes. Krizhevsky (2014), "One weird trick", scheme (a) of section 4.

    sum      compute + kept + max(0, traffic - hidden) + 3 latencies
    split    compute - spared (G - 1) / G + deals + 12 latencies within a machine
             + max(0, traffic of the other sums - hidden) + latencies

traffic: bytes by the rate of their link; within machines and between them they move at once, so that the slower counts,
but for the sums beside a split, which count one after the other. hidden: the convolutions' backward pass, which the
sums of dense gradients run beside. kept, spared: where the rate of memory is given, the time to write and read dense
gradients that are no longer fused with their update, and of the dense weights that a rank no longer has. Latencies: 2
of a machine's link, and 2 of that between machines, each a microsecond longer for every machine.

An estimate: of a cluster nothing here is measured.
"""

from dataclasses import dataclass

FLOAT = 4  # bytes
LARGEST_GROUP = 8
HIDDEN = 0.52  # of the compute time: the convolutions' backward pass, estimated for an H200 and near it on CPUs (0.55)
FOR_EACH_MACHINE = 1e-6  # seconds
SPARED = 18  # bytes of memory traffic a dense weight: read, and updated with its velocity
LATENCIES, DEALS = 3, 12


@dataclass(frozen=True)
class Sizes:
    """The numbers of a network that the model needs; dense inputs and outputs are summed over the dense layers."""

    parameters: int
    dense_parameters: int
    dense_inputs: int
    dense_outputs: int

    @property
    def others(self) -> int:
        """Return the parameters outside of dense layers."""
        return self.parameters - self.dense_parameters


@dataclass(frozen=True)
class Link:
    """A link: bytes a second that leave a rank, and seconds before the first of them arrive."""

    rate: float
    latency: float


@dataclass(frozen=True)
class Machines:
    """What the ranks run on.

    near: the link within a machine.  far: that between machines, None where all ranks share one link.
    per_machine: ranks of a machine, where `far` is given.  compute: seconds that a rank computes for its images, None
    if not known.  memory: bytes a second of a device's memory, None to neglect it.  halved: bfloat16 maps.
    """

    near: Link
    far: Link | None = None
    per_machine: int = 8
    compute: float | None = None
    memory: float | None = None
    halved: bool = False


@dataclass(frozen=True)
class Update:
    """What a rank sends in an update: bytes in all, those between machines, and the estimated seconds, if known."""

    bytes: int
    bytes_between: int
    seconds: float | None


@dataclass(frozen=True)
class Estimate:
    """The model of so many ranks.  group: ranks that share the dense layers of `split`."""

    ranks: int
    machines: int
    images: int
    group: int
    sum: Update
    split: Update


def estimate(sizes: Sizes, ranks: int, images: int, on: Machines) -> Estimate:
    """Return what ranks send, and how long an update takes; images: of a rank.

    Raise ValueError where the ranks do not fill their machines.
    """
    inside = min(ranks, on.per_machine) if on.far else ranks
    if ranks % inside:
        raise ValueError(f"{ranks} ranks do not fill machines of {inside}")
    machines, group = ranks // inside, group_of(inside)
    return Estimate(
        ranks,
        machines,
        images,
        group,
        _sum(sizes, inside, machines, on),
        _split(sizes, ranks, images, group, inside, machines, on),
    )


def group_of(inside: int) -> int:
    """Return the size of the groups that share dense layers: a power of two that divides the ranks of a machine."""
    return max(size for size in (1, 2, 4, LARGEST_GROUP) if inside % size == 0)


def _two_levels(count: float, inside: int, machines: int) -> tuple[float, float]:
    """Return the bytes of a sum of so many numbers: within a machine, and between machines."""
    whole = 2 * FLOAT * count
    return whole * (inside - 1) / inside, whole / inside * (machines - 1) / machines


def _sum(sizes: Sizes, inside: int, machines: int, on: Machines) -> Update:
    near, far = _two_levels(sizes.parameters, inside, machines)
    seconds = on.compute
    if seconds is not None and inside * machines > 1:
        kept = 2 * FLOAT * sizes.dense_parameters / on.memory if on.memory else 0.0
        traffic = max(_time(near, on.near), _time(far, on.far))
        seconds += kept + max(0.0, traffic - HIDDEN * seconds) + LATENCIES * _latency(machines, on)
    return Update(round(near + far), round(far), seconds)


def _split(sizes: Sizes, ranks: int, images: int, group: int, inside: int, machines: int, on: Machines) -> Update:
    inputs = FLOAT * images * (group - 1) / group * sizes.dense_inputs
    outputs = FLOAT * images * (group - 1) * sizes.dense_outputs
    deals = (inputs + outputs) * (1.5 if on.halved else 2)
    shares = _two_levels(sizes.dense_parameters / group, inside // group, machines)
    near, far = _two_levels(sizes.others, inside, machines)
    seconds = on.compute
    if seconds is not None and ranks > 1:
        spared = SPARED * sizes.dense_parameters / on.memory * (group - 1) / group if on.memory else 0.0
        sums = _time(near + shares[0], on.near) + _time(far + shares[1], on.far)
        last = _latency(machines, on) if machines > 1 else on.near.latency
        hidden = HIDDEN * seconds
        seconds += -spared + _time(deals, on.near) + DEALS * on.near.latency + max(0.0, sums - hidden) + last
    return Update(round(deals + near + far + sum(shares)), round(far + shares[1]), seconds)


def _time(count: float, link: Link | None) -> float:
    return count / link.rate if link else 0.0


def _latency(machines: int, on: Machines) -> float:
    far = 2 * (on.far.latency + FOR_EACH_MACHINE * machines) if on.far and machines > 1 else 0.0
    return 2 * on.near.latency + far
