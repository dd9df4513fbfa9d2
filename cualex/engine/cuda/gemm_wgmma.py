"""Forward gemms by wgmma, on Hopper in bfloat16: of which layers, on which tiles.

They take the place of mma.sync (gemm.py) on sm_90 alone, where the depth need not be split and little of the tiles lies
outside of the result (convolutions, and dense layers of large batches), and where their self-test has passed on the GPU
(devices/fallbacks.py).
"""

from collections.abc import Mapping

from cualex.engine.cuda import gemm_tiles
from cualex.engine.cuda.gemm_shape import Shape
from cualex.engine.cuda.gemm_tiles import Tiles
from cualex.kernels.architectures import WGMMA

DEPTH, ROWS, WARP_ROWS = 64, 64, 16  # of a step; of a warpgroup and of a warp (kernels/gemm_wgmma.cuh)
ALIGNMENT = 1024  # bytes: where the swizzle begins anew
CHUNK = 8  # values in 16 bytes
BLOCKS = gemm_tiles.BLOCKS // 2  # of one tower: the two fill a large GPU once, as an SM has one block at a time
USEFUL = 0.75  # least fraction of the tiles that lies within the result
KINDS = ((256, 128, 4), (192, 192, 4), (192, 128, 4), (128, 192, 4), (128, 128, 4))  # rows, columns, stages


def choose(rows: int, columns: int, depth: int, groups: int) -> Tiles | None:
    """Choose tiles of the highest efficiency (gemm_tiles.estimate), or None where too little of them is useful.

    The choice depends on the shape alone, as that of gemm_tiles does. Shared memory holds one block, so that only the
    reuse of what a block loads counts, and the occupancy of the last wave.
    """
    if gemm_tiles.choose(rows, columns, depth, groups, "bf16").splits > 1:
        return None
    found: list[tuple[float, Tiles]] = []
    for high, wide, stages in KINDS:
        tiles = Tiles(high, wide, WARP_ROWS, wide, DEPTH, stages)
        blocks = tiles.count(rows, columns) * groups
        useful = rows * columns * groups / (blocks * high * wide)
        full = blocks / (-(-blocks // BLOCKS) * BLOCKS)
        if useful >= USEFUL:
            found.append((gemm_tiles.reuse_of(high, wide) * useful * full, tiles))
    return max(found, key=lambda each: each[0])[1] if found else None


def forward(device, shape: Shape, x, weight, bias, y, relu: bool) -> bool:
    """Launch conv_forward_wgmma; return whether this device has it for this shape."""
    if device.precision != "bf16" or device.runtime.architecture(device.index) != WGMMA:
        return False
    if shape.read % CHUNK or shape.made % CHUNK:
        return False
    tiles = choose(shape.pixels, shape.made, shape.window, shape.groups)
    if tiles is None:
        return False
    constants: Mapping[str, int | str] = {
        "PRECISION": "BF16",
        "TENSOR_CORES": 1,
        "ROUND_B": 0,
        "WHOLE_A": 1,
        "WHOLE_B": 1,
        "RELU": int(relu),
        **tiles.constants,
        **shape.constants(without="towers"),
    }
    named = f"conv_forward {shape.out_rows * shape.out_columns}x{shape.made}x{shape.window}"
    if device.fallbacks.avoids("conv_forward_wgmma", constants):
        device.fallbacks.by_wgmma.discard(named)
        return False
    device.fallbacks.by_wgmma.add(named)
    device.launch(
        "conv_forward_wgmma",
        (*(*x, None)[:2], weight, bias, y),
        grid=(tiles.count(shape.pixels, shape.made), 1, shape.towers * shape.groups),
        block=tiles.threads,
        shared=tiles.shared(True, True, CHUNK) + ALIGNMENT,
        **constants,
    )
    return True
