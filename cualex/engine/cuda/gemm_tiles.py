"""The tiling of gemms: tiles of the result, and splits of the depth (split-K).

AlexNet's gemms are listed, each with the reason; `estimate` is the rule for all others. The choice depends on the shape
and the precision alone, not on the GPU, nor on how many towers share a launch: splits decide in which order sums are
added, and the bits must not depend on the machine.
"""

import re
from dataclasses import dataclass, replace

BLOCKS = 132  # at least so many of one tower: two towers then fill a large GPU (132 multiprocessors) twice
SHORTEST = 4  # steps of the depth that a split is worth
SLAB = 40  # writing and reading one sum of a split takes as long as so many steps of its depth
MIDDLE = 32  # uses of a value, in a warp or a block, at which half of the time goes to multiplications
STAGES = 3
LINE = 64  # bytes of depth that one step takes; 128 where a thin tile streams its weights
THIN = 16  # rows of that tile


@dataclass(frozen=True)
class Tiles:
    """Tiles of `rows` x `columns`, warps of those, steps of `depth` values, a ring of `stages`, splits of the depth."""

    rows: int
    columns: int
    warp_rows: int
    warp_columns: int
    depth: int
    stages: int = STAGES
    splits: int = 1

    @property
    def threads(self) -> int:
        """Return the threads of a block."""
        return self.rows // self.warp_rows * (self.columns // self.warp_columns) * 32

    def count(self, rows: int, columns: int) -> int:
        """Return how many tiles cover a result."""
        return -(-rows // self.rows) * -(-columns // self.columns)

    def shared(self, a_along: bool, b_along: bool, chunk: int) -> int:
        """Return the bytes of the ring; `chunk` is the number of values in 16 bytes (kernels/gemm_tile.cuh)."""
        return 16 * self.stages * (self._chunks(self.rows, a_along, chunk) + self._chunks(self.columns, b_along, chunk))

    def _chunks(self, outer: int, along: bool, chunk: int) -> int:
        """Return the chunks of one operand's tile, lines padded to 2, 4 or a multiple of 8 of them."""
        lines, across = (outer, self.depth) if along else (self.depth, outer)
        chunks = across // chunk
        return lines * (2 if chunks <= 2 else 4 if chunks <= 4 else -(-chunks // 8) * 8)

    @property
    def constants(self) -> dict[str, int]:
        """Return the constants of the kernels that are gemms."""
        return {
            "TILE_ROWS": self.rows,
            "TILE_COLUMNS": self.columns,
            "TILE_DEPTH": self.depth,
            "WARP_ROWS": self.warp_rows,
            "WARP_COLUMNS": self.warp_columns,
            "STAGES": self.stages,
            "SPLITS": self.splits,
        }


# Tiles and warps of them: rows, columns, the warp's rows, the warp's columns.
TENSOR = (
    (128, 128, 64, 64),
    (128, 96, 64, 48),
    (96, 128, 48, 64),
    (128, 64, 64, 32),
    (64, 128, 32, 64),
    (256, 48, 64, 48),
    (64, 64, 32, 32),
    (16, 64, 16, 32),
)
PLAIN = (
    (128, 128, 32, 64),
    (128, 64, 64, 32),
    (64, 128, 32, 64),
    (128, 48, 32, 48),
    (64, 64, 32, 32),
    (16, 64, 16, 32),
)

# The gemms of one tower of AlexNet at its usual batches of n images: rows, columns and depth, then tiles and, behind a
# slash, splits. "Tensor" is tf32 and bf16; one image leaves so few steps that bf16, with twice the depth in a step, may
# be split otherwise. The input gradient of conv4 has the shape of its forward pass.
ALEXNET = """
                                     | n = 128               | n = 32                | n = 1
                rows columns depth   | fp32       tensor     | fp32       tensor     | fp32      tf32      bf16

# 48 filters, or channels: tiles of 48 columns compute nothing in vain, and are tall, to use each weight more often. One
# image has 24 tiles of 128 rows or fewer, so that the depth is split until there are about 132 blocks.
conv1 forward  3025n   48      432   | 128x48     256x48     | 128x48     256x48     | 128x48/5  128x64/5  64x64/2
conv2 input     729n   48     3200   | 128x48     256x48     | 128x48     256x48/4   | 128x48/22 256x48/44 128x64/22

# 128 and 256 columns: the largest tiles, which read least, where there are several waves of blocks; else those whose
# last wave is fullest, and 3 splits where even that is not one wave.
conv2 forward   729n  128     1200   | 128x128    128x128    | 128x64     96x128     | 128x64/11 96x128/16 128x64/9
conv3 input     169n  256     1728   | 128x128    128x128    | 128x128/3  128x128/3  | 64x128/22 64x128/22 64x64/11
conv5 forward   169n  128     1728   | 128x64     96x128     | 128x128/3  128x128/3  | 64x64/22  64x64/22  64x64/13

# 192 columns are two tiles of 96 on tensor cores, three of 64 in fp32; tiles of 128 would be a quarter empty.
conv3 forward   169n  192     2304   | 128x64     128x96     | 128x64     128x96/3   | 64x64/14  128x96/33 64x64/14
conv4 forward   169n  192     1728   | 128x64     128x96     | 128x64     128x96/3   | 64x64/14  64x64/14  64x64/13
conv5 input     169n  192     1152   | 128x64     128x96     | 128x64     128x96/3   | 64x64/14  64x64/14  64x64/9

# A batch of 128 is one tile of rows, so that each weight is read once; splits make 128 blocks or more of the columns.
# At 32, tiles of 64 rows are half empty, but read each weight once still. One image is a matrix-vector product, bound
# by the weights: thin tiles with longer steps stream them. (Of fc6 input's 144 thin tiles 12 would be a wave alone.)
fc6 forward        n 2048     9216   | 128x128/8  128x128/8  | 64x128/8   64x128/8   | 16x64/4   16x64/4   16x64/4
fc7 forward        n 2048     4096   | 128x128/8  128x128/8  | 64x128/8   64x128/8   | 16x64/4   16x64/4   16x64/4
fc8 forward        n 1000     4096   | 128x128/16 128x128/16 | 64x128/16  64x128/16  | 16x64/8   16x64/8   16x64/8
fc6 input          n 9216     2048   | 128x128/3  128x96/4   | 64x128/3   64x128/3   | 64x128/3  64x128/3  64x128/3
fc7 input          n 4096     2048   | 128x128/4  128x128/4  | 64x128/4   64x128/4   | 16x64/2   16x64/2   16x64/2
fc8 input          n 4096     1000   | 128x128/4  128x128/4  | 64x128/4   64x128/4   | 16x64/2   16x64/2   16x64/2

# The weights of a convolution are few tiles, its pixels many: the depth is split until there are about 132 blocks, or
# fewer where one split more would begin a second wave. 192 rows are two tiles of 96, or three of 64.
conv1 weight      48  432    3025n   | 64x128/33  64x128/33  | 64x128/33  64x128/33  | 64x128/33 64x128/33 64x64/18
conv2 weight     128 1200     729n   | 128x128/13 128x128/13 | 128x128/13 128x128/13 | 128x64/6  128x96/10 128x64/5
conv3 weight     192 2304     169n   | 64x128/2   96x128/3   | 64x128/2   96x128/3   | 64x64     64x64     64x64
conv4 weight     192 1728     169n   | 64x128/3   96x128/4   | 64x128/3   96x128/4   | 64x64     64x64     64x64
conv5 weight     128 1728     169n   | 128x128/9  128x128/9  | 128x128/9  128x128/9  | 64x64/2   64x64/2   64x64

# The weights of a dense layer are many tiles, and the depth is the batch: the largest tiles, no splits.
fc6 weight      2048 9216        n   | 128x128    128x128    | 128x128    128x128    | 128x128   128x128   128x128
fc7 weight      2048 4096        n   | 128x128    128x128    | 128x128    128x128    | 128x128   128x128   128x128
fc8 weight      1000 4096        n   | 128x128    128x128    | 128x128    128x128    | 128x128   128x128   128x128
"""
BATCHES = {128: ("fp32", "tensor"), 32: ("fp32", "tensor"), 1: ("fp32", "tf32", "bf16")}  # the columns of the table


def choose(rows: int, columns: int, depth: int, groups: int, precision: str) -> Tiles:
    """Choose tiles and splits for `groups` gemms of this shape in each tower."""
    listed = LISTED.get((rows, columns, depth, precision)) if groups == 1 else None
    if listed is None:
        return estimate(rows, columns, depth, groups, precision)
    outer, splits = listed
    return replace(_whole(next(kind for kind in _kinds(precision) if kind[:2] == outer), precision), splits=splits)


def estimate(rows: int, columns: int, depth: int, groups: int, precision: str) -> Tiles:
    """Choose by a rule: of all tiles, each with about as many splits as fill the GPU, those of the highest efficiency.

    The efficiency is the fraction of time that is likely to be spent on useful multiply-adds, a product of four:

        reuse      of a value in shared memory, and in registers
        useful     fraction of the tiles that lies within the result
        full       occupancy of the last wave of blocks
        1 / added  cost of summing the splits

    Figures are estimates, to be corrected where a GPU says otherwise.
    """
    found: list[tuple[float, Tiles]] = []
    for kind in _kinds(precision):
        whole = _whole(kind, precision)
        blocks = whole.count(rows, columns) * groups
        reuse = reuse_of(whole.rows, whole.columns) * reuse_of(whole.warp_rows, whole.warp_columns)
        useful = rows * columns * groups / (blocks * whole.rows * whole.columns)
        for splits in _splits(blocks, -(-depth // whole.depth)):
            waves = -(-blocks * splits // BLOCKS)
            full = blocks * splits / (waves * BLOCKS)
            added = 1 + (splits > 1) * splits * SLAB / depth
            found.append((reuse * useful * full / added, replace(whole, splits=splits)))
    return max(found, key=lambda each: each[0])[1]


def _splits(blocks: int, steps: int) -> set[int]:
    """Return the numbers of splits to try: from half of those that fill the GPU to two more, if the depth has them."""
    filling, most = -(-BLOCKS // blocks), max(1, steps // SHORTEST)
    return {min(most, each) for each in range(-(-filling // 2), filling + 3)} if filling > 1 else {1}


def reuse_of(rows: int, columns: int) -> float:
    """Return the fraction of time that may be spent on multiply-adds, by the reuse of a loaded value."""
    uses = rows * columns / (rows + columns)
    return uses / (uses + MIDDLE)


def _kinds(precision: str) -> tuple[tuple[int, int, int, int], ...]:
    return PLAIN if precision == "fp32" else TENSOR


def _whole(kind: tuple[int, int, int, int], precision: str) -> Tiles:
    """Return tiles of a kind without splits: a thin tile takes longer steps, and one more ahead."""
    thin = kind[0] == THIN
    return Tiles(*kind, LINE * (1 + thin) // (2 if precision == "bf16" else 4), STAGES + thin)


def _listed() -> dict[tuple[int, int, int, str], tuple[tuple[int, int], int]]:
    """Read the table: by rows, columns, depth and precision, the tile's rows and columns, and the splits."""
    found: dict[tuple[int, int, int, str], tuple[tuple[int, int], int]] = {}
    for line in re.findall(r"^\w+ \w+ .*$", ALEXNET, re.MULTILINE):
        gemm, *cells = line.split("|")
        for (batch, precisions), cell in zip(BATCHES.items(), cells, strict=True):
            rows, columns, depth = (
                int(size.rstrip("n") or 1) * (batch if size.endswith("n") else 1) for size in gemm.split()[2:]
            )
            for column, cut in zip(precisions, cell.split(), strict=True):
                outer, _, splits = cut.partition("/")
                for precision in ("tf32", "bf16") if column == "tensor" else (column,):
                    high, wide = map(int, outer.split("x"))
                    found[rows, columns, depth, precision] = (high, wide), int(splits or 1)
    return found


LISTED = _listed()
