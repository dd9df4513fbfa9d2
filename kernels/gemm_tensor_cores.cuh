// A warp's sums by the tensor cores: WARP_ROWS x WARP_COLUMNS of a gemm's tile, in TF32 or bfloat16.
//
// One step takes two chunks of depth: 8 values in TF32, 16 in bfloat16. A fragment is four 8x8 matrices (8x4 in TF32,
// as 16-bit halves), which load_matrix_x4 reads from tiles that lie along the depth, and transposes, in bfloat16, from
// those that lie across it. In TF32 nothing transposes, and the lanes read value by value.
//
// expects: PRECISION TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS
#pragma once
#include "gemm_tile.cuh"

#if PRECISION != FP32

// Where a lane finds its part of the fragments of one operand, 16 rows (or columns) each. The matrices of a's fragments
// go by row first, those of b's by depth first. Within 128 bytes chunks are permuted, so that a few offsets are kept;
// all others differ from them by constants.
template <int outer, bool along, bool of_a>
struct Fragments {
    typedef Tile<outer, along> Tiles;
    static constexpr bool single = PRECISION == TF32 && !along;  // value by value
    static constexpr int deep = CHUNK * 2, line = Tiles::pitch * CHUNK;
    static constexpr bool narrow = Tiles::pitch < 8;                            // the permutation goes on over lines
    static constexpr int steps = along || narrow ? TILE_DEPTH / deep : 1;      // with offsets of their own
    static constexpr int parts = along ? 1 : 8 * CHUNK / 16;                   // fragments side by side in 128 bytes
    static constexpr int fars = single ? 2 : 1, deeps = single && narrow ? 2 : 1;
    static_assert(!along || Tiles::pitch >= 4, "a step further down the rows must leave the permutation as it is");
    int offsets[steps][parts][fars][deeps];

    __device__ __forceinline__ Fragments(int first) {
        const int lane = threadIdx.x % 32, matrix = lane / 8;
        const int far = of_a ? matrix % 2 : matrix / 2, below = of_a ? matrix / 2 : matrix % 2;
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int part = 0; part < parts; ++part)
#pragma unroll
                for (int f = 0; f < fars; ++f)
#pragma unroll
                    for (int d = 0; d < deeps; ++d) {
                        const int place = first + part * 16;
                        offsets[step][part][f][d] =
                            single  ? Tiles::at(place + f * 8 + lane / 4, step * deep + d * 4 + lane % 4)
                            : along ? Tiles::chunk_at(place + far * 8 + lane % 8, step * 2 + below)
                                    : Tiles::chunk_at(step * deep + below * 8 + lane % 8, place / 8 + far);
                    }
    }

    // Read the i-th fragment of a step.
    __device__ __forceinline__ void read(unsigned (&fragment)[4], const Value* tile, int i, int step) const {
        const int(&own)[fars][deeps] = offsets[steps > 1 ? step : 0][i % parts];
        tile += along ? i * 16 * line : i / parts * parts * 16 + (steps > 1 ? 0 : step * deep * line);
        if (single) {
#pragma unroll
            for (int q = 0; q < 4; ++q) {
                const int f = of_a ? q % 2 : q / 2, d = of_a ? q / 2 : q % 2;
                fragment[q] = __float_as_uint(load(tile + own[f % fars][d % deeps] + (narrow ? 0 : d * 4 * line)));
            }
        } else if (along) {
            load_matrix_x4(fragment, tile + own[0][0]);
        } else {
            load_matrix_x4_transposed(fragment, tile + own[0][0]);
        }
#if PRECISION == TF32
#pragma unroll
        for (int q = 0; q < 4; ++q) fragment[q] = round_tf32(__uint_as_float(fragment[q]));
#endif
    }
};

template <bool a_along, bool b_along>
struct Sums {
    static constexpr int rows = WARP_ROWS / 16, columns = WARP_COLUMNS / 16;
    float sums[rows][2 * columns][4];
    int first_row, first_column;
    Fragments<TILE_ROWS, a_along, true> a_fragments;
    Fragments<TILE_COLUMNS, b_along, false> b_fragments;

    __device__ __forceinline__ Sums()
        : first_row(threadIdx.x / 32 % (TILE_ROWS / WARP_ROWS) * WARP_ROWS),
          first_column(threadIdx.x / 32 / (TILE_ROWS / WARP_ROWS) * WARP_COLUMNS),
          a_fragments(first_row),
          b_fragments(first_column) {
#pragma unroll
        for (int i = 0; i < rows; ++i)
#pragma unroll
            for (int j = 0; j < 2 * columns; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[i][j][e] = 0;
    }

    // Add the product of two tiles.
    __device__ __forceinline__ void add(const Value* a_tile, const Value* b_tile) {
#pragma unroll
        for (int step = 0; step < TILE_DEPTH / CHUNK / 2; ++step) {
            unsigned a[rows][4], b[columns][4];
#pragma unroll
            for (int i = 0; i < rows; ++i) a_fragments.read(a[i], a_tile, i, step);
#pragma unroll
            for (int j = 0; j < columns; ++j) b_fragments.read(b[j], b_tile, j, step);
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
        const int lane = threadIdx.x % 32;
        const bool odd = lane % 2;
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
