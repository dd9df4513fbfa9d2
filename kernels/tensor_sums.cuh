// A warp's sums by the tensor cores: WARP_ROWS x WARP_COLUMNS of a product's tile, in TF32 or bfloat16.
//
// One step takes two chunks of depth: 8 values in TF32, 16 in bfloat16. A fragment is four 8x8 matrices (8x4 in TF32,
// as 16-bit halves), which load_matrix_x4 reads from tiles that lie along the depth, and transposes, in bfloat16, from
// those that lie across it.
#pragma once
#include "tile.cuh"

#if PRECISION != FP32
struct Sums {
    static constexpr int rows = WARP_ROWS / 16, columns = WARP_COLUMNS / 16;
    float sums[rows][2 * columns][4];
    int lane, first_row, first_column;

    __device__ __forceinline__ Sums() {
        int warp = threadIdx.x / 32;
        lane = threadIdx.x % 32;
        first_row = warp % (TILE_ROWS / WARP_ROWS) * WARP_ROWS;
        first_column = warp / (TILE_ROWS / WARP_ROWS) * WARP_COLUMNS;
#pragma unroll
        for (int i = 0; i < rows; ++i)
#pragma unroll
            for (int j = 0; j < 2 * columns; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[i][j][e] = 0;
    }

    // Read 16 rows (or columns, for b) of a step; a's matrices go by row first, b's by depth first.
    template <class Tile, bool along, bool of_a>
    __device__ __forceinline__ void read(unsigned (&fragment)[4], const Value* tile, int first, int step) const {
        int matrix = lane / 8, far = of_a ? matrix % 2 : matrix / 2, deep = of_a ? matrix / 2 : matrix % 2;
        if (along) {
            load_matrix_x4(fragment, tile + Tile::chunk_at(first + far * 8 + lane % 8, step * 2 + deep));
        } else {
#if PRECISION == BF16
            int line = step * 16 + deep * 8 + lane % 8;
            load_matrix_x4_transposed(fragment, tile + Tile::chunk_at(line, first / 8 + far));
#else
#pragma unroll
            for (int q = 0; q < 4; ++q) {
                int place = first + (of_a ? q % 2 : q / 2) * 8 + lane / 4;
                int depth = step * 8 + (of_a ? q / 2 : q % 2) * 4 + lane % 4;
                fragment[q] = __float_as_uint(tile[Tile::at(place, depth)]);
            }
#endif
        }
#if PRECISION == TF32
#pragma unroll
        for (int q = 0; q < 4; ++q) fragment[q] = round_tf32(__uint_as_float(fragment[q]));
#endif
    }

    // Add the product of two tiles.
    template <bool a_along, bool b_along>
    __device__ __forceinline__ void add(const Value* a_tile, const Value* b_tile) {
#pragma unroll
        for (int step = 0; step < TILE_DEPTH / CHUNK / 2; ++step) {
            unsigned a[rows][4], b[columns][4];
#pragma unroll
            for (int i = 0; i < rows; ++i)
                read<Tile<TILE_ROWS, a_along>, a_along, true>(a[i], a_tile, first_row + i * 16, step);
#pragma unroll
            for (int j = 0; j < columns; ++j)
                read<Tile<TILE_COLUMNS, b_along>, b_along, false>(b[j], b_tile, first_column + j * 16, step);
#pragma unroll
            for (int j = 0; j < columns; ++j)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    unsigned column[2] = {b[j][2 * half], b[j][2 * half + 1]};
#pragma unroll
                    for (int i = 0; i < rows; ++i) {
#if PRECISION == TF32
                        mma_tf32(sums[i][2 * j + half], a[i], column);
#else
                        mma_bf16(sums[i][2 * j + half], a[i], column);
#endif
                    }
                }
        }
    }

    // Call take(row, column, runs) for parts of rows: run j has four neighbouring columns from column + j * spread on,
    // counted within the tile. Neighbours swap halves: a lane has two columns of two rows, and gets four of one.
    static constexpr int runs = 2 * columns, spread = 8;

    template <class Take>
    __device__ __forceinline__ void each(const Take& take) const {
        bool odd = lane % 2;
        int row = first_row + lane / 4 + odd * 8, column = first_column + lane % 4 / 2 * 4;
#pragma unroll
        for (int i = 0; i < rows; ++i) {
            float own[runs][4];
#pragma unroll
            for (int j = 0; j < runs; ++j) {
                const float(&s)[4] = sums[i][j];
                float first = __shfl_xor_sync(0xffffffffu, odd ? s[0] : s[2], 1);
                float second = __shfl_xor_sync(0xffffffffu, odd ? s[1] : s[3], 1);
                own[j][0] = odd ? first : s[0], own[j][1] = odd ? second : s[1];
                own[j][2] = odd ? s[2] : first, own[j][3] = odd ? s[3] : second;
            }
            take(row + i * 16, column, own);
        }
    }
};
#endif
