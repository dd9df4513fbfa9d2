// A warp's accumulators by FFMA in float32: WARP_ROWS x WARP_COLUMNS of a gemm's tile. For fp32, and for tf32 and bf16
// where tensor cores failed their self-test (cualex/devices/self_test).
//
// A thread has WARP_ROWS / 4 rows and WARP_COLUMNS / 8 columns (or 8 and 4), in fragments of four neighbours each, and
// reads four values at a time from either kind of tile. Each sum adds in the order of the depth.
//
// expects: TENSOR_CORES TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS
#pragma once
#include "common/vectors.cuh"
#include "gemm_tile.cuh"

#if !TENSOR_CORES
template <bool a_along, bool b_along>
struct Accumulators {
    static constexpr int across = WARP_COLUMNS % 32 == 0 ? 8 : 4, down = 32 / across;  // the warp's lanes
    static constexpr int rows = WARP_ROWS / down, columns = WARP_COLUMNS / across;
    float sums[rows][columns];
    int first_row, first_column;

    __device__ __forceinline__ Accumulators() {
        int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        first_row = warp % (TILE_ROWS / WARP_ROWS) * WARP_ROWS + lane / across * 4;
        first_column = warp / (TILE_ROWS / WARP_ROWS) * WARP_COLUMNS + lane % across * 4;
#pragma unroll
        for (int i = 0; i < rows; ++i)
#pragma unroll
            for (int j = 0; j < columns; ++j) sums[i][j] = 0;
    }

    // Read rows (or columns) first, first + 1, .. first + 3 at four depths: values[row][depth].
    template <class Tile, bool along>
    static __device__ __forceinline__ void read(float (&values)[4][4], const Value* tile, int first, int depth) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            if (along) {
                load_vector(values[e], tile + Tile::at(first + e, depth));
            } else {
                float fragment[4];
                load_vector(fragment, tile + Tile::at(first, depth + e));
#pragma unroll
                for (int i = 0; i < 4; ++i) values[i][e] = fragment[i];
            }
        }
    }

    // Accumulate the product of two tiles. Before sm_80 registers hold the next tiles, and a longer loop spills.
    __device__ __forceinline__ void add(const Value* a_tile, const Value* b_tile) {
#pragma unroll(ASYNC_COPIES ? TILE_DEPTH / 4 : 4)
        for (int depth = 0; depth < TILE_DEPTH; depth += 4) {
            float a[rows / 4][4][4];
#pragma unroll
            for (int i = 0; i < rows / 4; ++i)
                read<Tile<TILE_ROWS, a_along>, a_along>(a[i], a_tile, first_row + i * 4 * down, depth);
#pragma unroll
            for (int j = 0; j < columns / 4; ++j) {
                float b[4][4];
                read<Tile<TILE_COLUMNS, b_along>, b_along>(b, b_tile, first_column + j * 4 * across, depth);
#pragma unroll
                for (int k = 0; k < 4; ++k)
#pragma unroll
                    for (int i = 0; i < rows; ++i)
#pragma unroll
                        for (int c = 0; c < 4; ++c)
                            sums[i][j * 4 + c] = fmaf(a[i / 4][i % 4][k], b[c][k], sums[i][j * 4 + c]);
            }
        }
    }

    // Call epilogue(row, column, fragments) for each row: fragment j has four neighbouring columns, from
    // column + j * stride on, counted within the tile.
    static constexpr int fragments = columns / 4, stride = 4 * across;

    template <class Epilogue>
    __device__ __forceinline__ void for_each(const Epilogue& epilogue) const {
#pragma unroll
        for (int i = 0; i < rows; ++i) {
            float row[fragments][4];
#pragma unroll
            for (int j = 0; j < columns; ++j) row[j / 4][j % 4] = sums[i][j];
            epilogue(first_row + i / 4 * 4 * down + i % 4, first_column, row);
        }
    }
};
#endif
