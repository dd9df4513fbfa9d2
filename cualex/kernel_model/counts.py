"""What a launch does, counted: blocks and waves, instructions of a warp, accesses of shared memory, bytes.

Instructions come from the SASS, each as often as the loops around it run (`_trips`). Bytes are those of the arrays in
the launch's arguments, each once: a `const` array is read, another is written, and read first where the kernel updates
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from cualex.devices.runtime import address
from cualex.kernel_model.sass import Loop, Sass, by_kind
from cualex.kernels import Launch

REGISTERS = 65536  # of an SM
RESERVED = 1024  # bytes of shared memory that CUDA takes of each block, from sm_80 on
SLOTTED = ("pictures", "views", "colours", "labels")  # inputs with an axis of slots, of which a launch reads one
UPDATED = {  # arrays that are read before they are written
    "add": ("y",),
    "adam": ("weight", "first", "second"),
    "momentum": ("weight", "velocity"),
    "batchnorm_average": ("mean", "variance"),
}
SUNK = ("weight", "velocity", "bias", "bias_velocity")  # that a gradient sink updates
UNSPLIT = {  # what a gemm leaves to the launch that adds up its slabs
    "conv_forward": ("bias", "y"),
    "conv_input_gradient": ("relu0", "relu1", "dx0", "dx1"),
    "conv_weight_gradient": ("weight", "velocity", "copy", "bias", "bias_velocity"),
}
FEW = {"batchnorm_statistics": ("x",)}  # arrays of which some values are read
SCRATCH = ("slabs", "bias_slabs")
UNROLLED = 8  # slabs that a pass of the loop over splits reads (gemm_splits.cu)
ASSUMED = {
    "loads": "repeats until the launch has read its bytes once",
    "values": "copies the values of a chunk one by one",
    "barrier": "is a reduction: repeats log2(threads) times",
    "once": "runs once",
}


@dataclass(frozen=True)
class Access:
    """An array that a launch reads or writes: where it begins, its bytes.

    scratch: slabs, which one launch hands the next.  prefetched: read by asynchronous copies of a main loop.
    """

    start: int
    bytes: int
    written: bool
    scratch: bool = False
    prefetched: bool = False


@dataclass(frozen=True)
class Counts:
    """What a launch does.

    resident: blocks that an SM holds at once, by `limit`.  steps: of the main loop, in the longest block.  main: its
    instructions by kind, a warp and step.  instructions, tensor, special: of a warp; tensor without wgmma.
    wgmma_columns: N of each wgmma, m64nNk16, added up.  wavefronts: clocks of an SM's shared memory, a warp.  tiles:
    bytes that a block's main loop copies from L2.  loads: how often a warp waits for memory, one load after another.
    assumed: what is assumed of each other loop, by its address.
    """

    blocks: int
    warps: int
    resident: int
    limit: str
    steps: int
    main: Mapping[str, int]
    instructions: float
    tensor: float
    wgmma_columns: float
    special: float
    wavefronts: float
    tiles: int
    loads: float
    accesses: tuple[Access, ...]
    assumed: Mapping[str, str]

    @property
    def bytes(self) -> int:
        """Return what is read and written."""
        return sum(each.bytes for each in self.accesses)


def count(launch: Launch, sass: Sass, limits: Mapping[str, int]) -> Counts:
    """Count what a launch does; limits: an SM's warps, blocks and bytes of shared memory."""
    warps, (resident, limit) = ceil(launch.block / 32), occupancy(launch, sass, limits)
    accesses = tuple(_accesses(launch))
    main, steps = (sass.main_loop, _steps(launch)) if launch.kernel.gemm else (None, 1)
    trips, assumed = _trips(launch, sass, main, steps, sum(each.bytes for each in accesses if not each.written))
    often = [_product(trips, each.address) for each in sass.instructions]
    total = {"instructions": 0.0, "tensor": 0.0, "wgmma_columns": 0.0, "special": 0.0, "wavefronts": 0.0}
    for instruction, times in zip(sass.instructions, often, strict=True):
        total["instructions"] += times
        total["wavefronts"] += times * instruction.wavefronts
        total["wgmma_columns"] += times * instruction.wgmma_columns
        if instruction.kind in ("tensor", "special") and not instruction.wgmma_columns:
            total[instruction.kind] += times
    waiting = [trips[loop] for loop in trips if loop != main and _loaded(sass, loop)]
    return Counts(
        blocks=launch.grid[0] * launch.grid[1] * launch.grid[2],
        warps=warps,
        resident=resident,
        limit=limit,
        steps=steps if main else 0,
        main=by_kind(sass.within(main)) if main else {},
        tiles=_tile_bytes(launch) * steps if main else 0,
        loads=1 + bool(main) + max(waiting, default=0),  # what a later loop reads again is in L1
        accesses=accesses,
        assumed=assumed,
        **total,
    )


def occupancy(launch: Launch, sass: Sass, limits: Mapping[str, int]) -> tuple[int, str]:
    """Return how many blocks of a launch an SM holds at once, and what keeps it from more."""
    warps = ceil(launch.block / 32)
    own = -(-sass.registers * 32 // 256) * 256 * warps  # registers come in units of 256 a warp
    shared = launch.shared + max(sass.shared, RESERVED)
    most = {
        "registers": REGISTERS // own,
        "shared memory": limits["shared_bytes"] // shared,
        "threads": limits["warps"] // warps,
        "blocks": limits["blocks"],
    }
    limit = min(most, key=lambda each: most[each])
    return most[limit], limit


def _steps(launch: Launch) -> int:
    """Return the steps of a gemm's main loop in the block with most of them (DepthRange in kernels/gemm.cuh)."""
    n = launch.constants
    window = int(n["FILTER_SIZE"]) ** 2
    forward = int(n["SOURCES"]) * window * int(n["CHANNELS"]) // int(n["GROUPS"])
    depth = {
        "conv_forward": forward,
        "conv_forward_wgmma": forward,
        "conv_input_gradient": window * int(n["FILTERS"]) // int(n["GROUPS"]),
        "conv_weight_gradient": int(n["BATCH"]) * int(n["OUT_ROWS"]) * int(n["OUT_COLUMNS"]),
    }[launch.kernel.name]
    return ceil(ceil(depth / int(n["TILE_DEPTH"])) / int(n["SPLITS"]))


def _chunk(launch: Launch) -> int:
    """Return the values of 16 bytes."""
    return 8 if launch.constants["PRECISION"] == "BF16" else 4


def _tile_bytes(launch: Launch) -> int:
    """Return the bytes of both tiles of a step."""
    n = launch.constants
    return (int(n["TILE_ROWS"]) + int(n["TILE_COLUMNS"])) * int(n["TILE_DEPTH"]) * 16 // _chunk(launch)


def _trips(
    launch: Launch, sass: Sass, main: Loop | None, steps: int, read: int
) -> tuple[dict[Loop, float], dict[str, str]]:
    """Return how often each loop runs, in each pass of the loop around it, and what of that is assumed."""
    trips: dict[Loop, float] = {}
    assumed: dict[str, str] = {}
    listed = _listed(launch)
    if len(listed) == len(sass.loops):
        return dict(zip(sass.loops, listed, strict=True)), {}
    threads = launch.grid[0] * launch.grid[1] * launch.grid[2] * launch.block
    for loop in sass.loops:
        if loop == main:
            trips[loop] = steps
            continue
        loaded = _loaded(sass, loop)
        if launch.kernel.gemm and any(each.name.startswith(("LDG.", "LDGSTS")) for each in sass.within(loop)):
            trips[loop], how = _chunk(launch), "values"
        elif (
            not launch.kernel.gemm
            and loaded
            and not any(_loaded(sass, other) for other in sass.loops if other.within(loop))
        ):
            trips[loop], how = max(1.0, read / threads / loaded), "loads"
        elif not launch.kernel.gemm and any(each.name.startswith("BAR") for each in sass.within(loop)):
            trips[loop], how = max(1.0, (launch.block - 1).bit_length()), "barrier"
        else:
            trips[loop], how = 1.0, "once"
        assumed[f"{loop.first:#06x}"] = ASSUMED[how]
    return trips, assumed


def _listed(launch: Launch) -> tuple[float, ...]:
    """Return how often the loops of a kernel run, in the order of their addresses, where its constants say it.

    The loops over a window are two: of whole windows, and of those at the maps' ends, which count as none.
    """
    n: Mapping[str, Any] = launch.constants
    if launch.kernel.name == "lrn_maxpool_forward":
        vectors, width = n["CHUNK"] // n["VECTOR"], (n["SEGMENT"] - 1) * n["STRIDE"] + n["SIZE"]
        rows = (n["BAND"] - 1) * n["STRIDE"] + n["SIZE"]  # of x, in a band
        items = rows * width * vectors / launch.block / n["BAND"]
        return n["BAND"], items, n["SEGMENT"] * vectors / launch.block, n["SIZE"], 0
    if launch.kernel.name in ("sum_splits", "weight_update"):
        return (n["SPLITS"] // UNROLLED,) if n["SPLITS"] >= 2 * UNROLLED else ()
    return (n["SIZE"], 0) if launch.kernel.name == "maxpool_forward" else ()


def _loaded(sass: Sass, loop: Loop) -> int:
    """Return the bytes that a thread loads from global memory in a pass of a loop."""
    return sum(each.bytes for each in sass.within(loop) if each.name.startswith("LDG."))


def _product(trips: Mapping[Loop, float], at: int) -> float:
    """Return how often an instruction runs."""
    times = 1.0
    for loop, often in trips.items():
        if loop.holds(at):
            times *= often
    return times


def _accesses(launch: Launch) -> list[Access]:
    """List what a launch reads, then what it writes."""
    split = launch.kernel.gemm and launch.constants["SPLITS"] != 1
    spared = UNSPLIT[launch.kernel.name] if split else FEW.get(launch.kernel.name, ())
    updated = UPDATED.get(launch.kernel.name, ())
    if launch.constants.get("SINK", 0) != 0 and not split:
        updated += SUNK
    if launch.constants.get("ADD"):
        updated += ("dx0", "dx1", "y0", "y1")
    read, written = [], []
    for argument, array in zip(launch.kernel.arguments, launch.arguments, strict=True):
        if not argument.pointer or array is None or argument.name in spared:
            continue
        slots = array.shape[0] if argument.name in SLOTTED and argument.constant else 1
        start, size = address(array), array.nbytes // slots
        scratch = argument.name in SCRATCH
        if argument.constant or argument.name in updated:
            read.append(Access(start, size, False, scratch, launch.kernel.gemm and argument.constant))
        if not argument.constant:
            written.append(Access(start, size, True, scratch))
    return read + written
