// A warp's sums by the tensor cores: WARP_ROWS x WARP_COLUMNS of a gemm's tile, in TF32 or bfloat16.
//
// One step takes two chunks of depth: 8 values in TF32, 16 in bfloat16. A fragment is 16 rows (or columns) of a step:
// four matrices of 8 rows by a chunk. How a lane finds its part depends on how the tile lies: ldmatrix reads tiles
// along the depth, and transposes those across it in bfloat16; in TF32 nothing transposes: lanes read single values.
//
// expects: PRECISION TENSOR_CORES TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS
#pragma once
#include "gemm_tile.cuh"

#if TENSOR_CORES

#define STEP (2 * CHUNK)

// Which of a fragment's four matrices is which; mma.sync takes those of a by rows first, those of b by depth first:
//
//     chunk of depth     0   1                            0   1
//     a: rows 0-7        0   2        b: columns 0-7      0   1
//        rows 8-15       1   3           columns 8-15     2   3
template <bool of_a>
struct Matrix {
    int far, below;  // 1 for the further eight rows (or columns); 1 for the deeper chunk

    __device__ __forceinline__ Matrix(int index)
        : far(of_a ? index % 2 : index / 2), below(of_a ? index / 2 : index % 2) {}
};

// Round what was read to TF32; bfloat16 is as it should be.
__device__ __forceinline__ void round_fragment(unsigned (&fragment)[4]) {
#if PRECISION == TF32
#pragma unroll
    for (int q = 0; q < 4; ++q) fragment[q] = round_tf32(__uint_as_float(fragment[q]));
#endif
}

// Where a lane finds its part of the fragments of one operand, from row (or column) `first` on. Within 128 bytes chunks
// are permuted, so that a few offsets are kept; all others differ from them by constants.
template <int outer, bool along, bool of_a>
struct Fragments;

// Along the depth: a lane gives ldmatrix one row (or column) of one matrix. Each step has an offset, since it moves
// within the permutation; 16 rows further down the permutation is the same.
template <int outer, bool of_a>
struct Fragments<outer, true, of_a> {
    typedef Tile<outer, true> Tiles;
    static_assert(Tiles::pitch >= 4, "16 rows further down must leave the permutation as it is");
    int offsets[TILE_DEPTH / STEP];

    __device__ __forceinline__ Fragments(int first) {
        const int lane = threadIdx.x % 32;
        const Matrix<of_a> matrix(lane / 8);
#pragma unroll
        for (int step = 0; step < TILE_DEPTH / STEP; ++step)
            offsets[step] = Tiles::chunk_at(first + matrix.far * 8 + lane % 8, step * 2 + matrix.below);
    }

    // Read the i-th fragment of a step.
    __device__ __forceinline__ void read(unsigned (&fragment)[4], const Value* tile, int i, int step) const {
        load_matrix_x4(fragment, tile + i * 16 * Tiles::pitch * CHUNK + offsets[step]);
        round_fragment(fragment);
    }
};

// Across the depth: 128 bytes of a line hold `parts` fragments side by side, each with its offsets. Where a line is
// narrower, the permutation goes on over lines, and each step has its offsets too.
template <int outer, bool of_a>
struct Fragments<outer, false, of_a> {
    typedef Tile<outer, false> Tiles;
    static constexpr bool narrow = Tiles::pitch < 8;
    static constexpr int steps = narrow ? TILE_DEPTH / STEP : 1, parts = CHUNK / 2, line = Tiles::pitch * CHUNK;

    static __device__ __forceinline__ const Value* start(const Value* tile, int i, int step) {
        return tile + (i / parts * parts * 16 + (narrow ? 0 : step * STEP * line));
    }

#if PRECISION == BF16
    // A lane gives ldmatrix one depth of one matrix, which comes back transposed.
    int offsets[steps][parts];

    __device__ __forceinline__ Fragments(int first) {
        const int lane = threadIdx.x % 32;
        const Matrix<of_a> matrix(lane / 8);
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int part = 0; part < parts; ++part)
                offsets[step][part] = Tiles::chunk_at(step * STEP + matrix.below * 8 + lane % 8,
                                                      (first + part * 16) / 8 + matrix.far);
    }

    __device__ __forceinline__ void read(unsigned (&fragment)[4], const Value* tile, int i, int step) const {
        load_matrix_x4_transposed(fragment, start(tile, i, step) + offsets[narrow ? step : 0][i % parts]);
    }
#else
    // A lane reads one value of each matrix. Four depths further the permutation is the same, unless lines are narrow.
    static constexpr int deeps = narrow ? 2 : 1;
    int offsets[steps][parts][2][deeps];

    __device__ __forceinline__ Fragments(int first) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int part = 0; part < parts; ++part)
#pragma unroll
                for (int far = 0; far < 2; ++far)
#pragma unroll
                    for (int deep = 0; deep < deeps; ++deep)
                        offsets[step][part][far][deep] = Tiles::at(first + part * 16 + far * 8 + lane / 4,
                                                                   step * STEP + deep * 4 + lane % 4);
    }

    __device__ __forceinline__ void read(unsigned (&fragment)[4], const Value* tile, int i, int step) const {
        const int(&own)[2][deeps] = offsets[narrow ? step : 0][i % parts];
#pragma unroll
        for (int q = 0; q < 4; ++q) {
            const Matrix<of_a> matrix(q);
            const int further = own[matrix.far][matrix.below % deeps] + (narrow ? 0 : matrix.below * 4 * line);
            fragment[q] = __float_as_uint(load(start(tile, i, step) + further));
        }
        round_fragment(fragment);
    }
#endif
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
        for (int step = 0; step < TILE_DEPTH / STEP; ++step) {
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
