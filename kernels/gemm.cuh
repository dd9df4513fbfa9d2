// The tiled gemm of convolution and dense layers, and of all their gradients.
//
//     y[row][column] = SUM over depth of a[row][depth] * b[column][depth]
//
// A block computes TILE_ROWS x TILE_COLUMNS of y, a warp WARP_ROWS x WARP_COLUMNS of these, in registers. Tiles of
// both operands, TILE_DEPTH deep, are prefetched STAGES - 1 steps ahead by asynchronous copies into a ring of STAGES in
// shared memory; one barrier per step says both that a stage has arrived and that the oldest may be refilled.
// Before sm_80 a step's values are loaded to registers before the sums are added, and stored to the ring after.
// The order of a sum depends on nothing but the depth and TILE_DEPTH.
//
// expects: GROUPS SPLITS STAGES TILE_ROWS TILE_COLUMNS TILE_DEPTH WHOLE_A WHOLE_B
#pragma once
#include "gemm_tile.cuh"
#include "gemm_ffma.cuh"
#include "gemm_tensor_cores.cuh"

// Main loop: accumulate steps first .. last - 1 of the depth. `on_tile(tile, step)` reads each of a's tiles while it is
// in shared memory. a and b are iterators (gemm_tile.cuh). WHOLE_A and WHOLE_B: the operand's chunks of 16 bytes are
// contiguous and aligned.
template <bool a_along, bool b_along, class IteratorA, class IteratorB, class OnTile>
__device__ __forceinline__ void main_loop(Accumulators<a_along, b_along>& accumulators, const IteratorA& a,
                                          const IteratorB& b, int first, int last, const OnTile& on_tile) {
    typedef Tile<TILE_ROWS, a_along> TileA;
    typedef Tile<TILE_COLUMNS, b_along> TileB;
    SHARED(Value, ring);
    Fetched<TileA::loads> fetched_a;
    Fetched<TileB::loads> fetched_b;
    auto fetch = [&](int step, int stage) {
        Value* tile = ring + stage * (TileA::size + TileB::size);
        const bool wanted = step < last;
        if (wanted || !ASYNC_COPIES) {
            TileA::fetch(tile, fetched_a, a, step * TILE_DEPTH, WHOLE_A, wanted);
            TileB::fetch(tile + TileA::size, fetched_b, b, step * TILE_DEPTH, WHOLE_B, wanted);
        }
        copy_commit();
    };
    auto settle = [&](int stage) {
        Value* tile = ring + stage * (TileA::size + TileB::size);
        TileA::settle(tile, fetched_a, WHOLE_A);
        TileB::settle(tile + TileA::size, fetched_b, WHOLE_B);
    };
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        fetch(first + stage, stage);
        settle(stage);
    }
    int full = 0, empty = STAGES - 1;
    for (int step = first; step < last; ++step) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        fetch(step + STAGES - 1, empty);
        const Value* tile = ring + full * (TileA::size + TileB::size);
        accumulators.add(tile, tile + TileA::size);
        on_tile(tile, step);
        settle(empty);
        full = full + 1 == STAGES ? 0 : full + 1;
        empty = empty + 1 == STAGES ? 0 : empty + 1;
    }
}

template <bool a_along, bool b_along, class IteratorA, class IteratorB>
__device__ __forceinline__ void main_loop(Accumulators<a_along, b_along>& accumulators, const IteratorA& a,
                                          const IteratorB& b, int first, int last) {
    main_loop(accumulators, a, b, first, last, [](const Value*, int) {});
}

// The tile, tower, group and split of this block. The grid's x counts tiles of the result, row-major, and its z the
// splits of a group, the groups of a tower, the towers; `columns` are those of the result.
struct Block {
    int tiles, tile;  // per row of tiles, and the index of this one
    int first_row, first_column, tower, group, split;

    __device__ __forceinline__ Block(int columns)
        : tiles((columns + TILE_COLUMNS - 1) / TILE_COLUMNS),
          tile(blockIdx.x % tiles),
          first_row(blockIdx.x / tiles * TILE_ROWS),
          first_column(tile * TILE_COLUMNS),
          tower(blockIdx.z / SPLITS / GROUPS),
          group(blockIdx.z / SPLITS % GROUPS),
          split(blockIdx.z % SPLITS) {}

    static __device__ __forceinline__ int towers() { return gridDim.z / (GROUPS * SPLITS); }
};

// Split-K: the steps of the depth that a block sums, one of SPLITS ranges, as even as whole steps allow.
struct DepthRange {
    int first, last;

    __device__ __forceinline__ DepthRange(int split, int depth) {
        int steps = (depth + TILE_DEPTH - 1) / TILE_DEPTH;
        first = split * steps / SPLITS;
        last = (split + 1) * steps / SPLITS;
    }
};
