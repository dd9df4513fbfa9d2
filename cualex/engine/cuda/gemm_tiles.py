"""How a product is cut into blocks: tiles of its result, and splits of its depth.

The choice depends on the product's shape and the precision alone, not on the GPU, nor on how many towers share a
launch: splits decide in which order sums are added, and the bits must not depend on the machine.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

BLOCKS = 132  # at least so many of one tower: two towers then fill a large GPU (132 multiprocessors) twice
SHORTEST = 4  # steps of the depth that a split is worth
SLAB = 40  # writing and reading one sum of a split takes as long as so many steps of its depth
MIDDLE = 32  # uses of a value, in a warp or a block, at which half of the time goes to multiplications
STAGES = 3
LINE = 64  # bytes of depth that one step takes; 128 where a thin product streams its weights


@dataclass(frozen=True)
class Tiles:
    """Cut a product: tiles of `rows` x `columns`, warps of those, steps of `depth` values, a ring of `stages`."""

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
        """Return the constants of the kernels that make products."""
        return {
            "TILE_ROWS": self.rows,
            "TILE_COLUMNS": self.columns,
            "TILE_DEPTH": self.depth,
            "WARP_ROWS": self.warp_rows,
            "WARP_COLUMNS": self.warp_columns,
            "STAGES": self.stages,
            "SPLITS": self.splits,
        }


def choose(rows: int, columns: int, depth: int, groups: int, precision: str) -> Tiles:
    """Choose tiles and splits for `groups` products of these shapes in each tower.

    The score of a candidate is the share of its time that is likely to be of use: how often a value is used once it
    is in shared memory, or in registers; how much of the tiles lies within the result; how full the last round of
    blocks is; what the sums of splits cost. Figures are estimates, to be corrected where a GPU says otherwise.
    """
    return max(_candidates(rows, columns, depth, groups, precision), key=lambda each: each[0])[1]


def _candidates(rows, columns, depth, groups, precision) -> Iterable[tuple[float, Tiles]]:
    """Yield scores and tiles: for each kind as many splits as fill the GPU, or about so many."""
    chunk = 8 if precision == "bf16" else 4
    for kind in PLAIN if precision == "fp32" else TENSOR:
        thin = kind[0] == 16
        step = (2 * LINE if thin else LINE) // 16 * chunk
        whole = Tiles(*kind, step, STAGES + thin)
        blocks = whole.count(rows, columns) * groups
        most = max(1, -(-depth // step) // SHORTEST)
        wanted = -(-BLOCKS // blocks)
        useful = rows * columns * groups / (blocks * kind[0] * kind[1])
        reuse = _reuse(whole.rows, whole.columns) * _reuse(whole.warp_rows, whole.warp_columns)
        for splits in {min(most, each) for each in range(-(-wanted // 2), wanted + 3)} if wanted > 1 else {1}:
            rounds = -(-blocks * splits // BLOCKS)
            full = blocks * splits / (rounds * BLOCKS)
            added = 1 + (splits > 1) * splits * SLAB / depth
            yield reuse * useful * full / added, replace(whole, splits=splits)


def _reuse(rows: int, columns: int) -> float:
    """Return what share of the time may go to multiplications, from how often a value is used once it is there."""
    uses = rows * columns / (rows + columns)
    return uses / (uses + MIDDLE)


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
