// A warp's accumulators on tensor cores: WARP_ROWS x WARP_COLUMNS of a gemm's tile, in bfloat16 where PRECISION is BF16,
// else in TF32. Operands in TF32 were rounded when they were stored (common/values.cuh), since tensor cores ignore the
// last 13 bits of a float; with ROUND_B those of b, dense weights, are rounded here.
//
// One step takes two chunks of depth: 8 values in TF32, 16 in bfloat16. A fragment is 16 rows (or columns) of a step:
// four matrices of 8 rows by a chunk. ldmatrix reads tiles along the depth, and transposes those across it in bfloat16;
// it cannot transpose TF32: of such tiles a lane reads one value at a time, or two.
//
// expects: PRECISION TENSOR_CORES ROUND_B TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS
#pragma once
#include "common/vectors.cuh"
#include "gemm_tile.cuh"

#if TENSOR_CORES

#define STEP (2 * CHUNK)

// The order of a fragment's four 8x8 matrices; mma.sync takes those of a by rows first, those of b by depth first:
//
//     chunk of depth     0   1                            0   1
//     a: rows 0-7        0   2        b: columns 0-7      0   1
//        rows 8-15       1   3           columns 8-15     2   3
template <bool of_a>
struct Matrix {
    int outer_half, depth_half;  // 1 for the second eight rows (or columns); 1 for the second chunk of the depth

    __device__ __forceinline__ Matrix(int index)
        : outer_half(of_a ? index % 2 : index / 2), depth_half(of_a ? index / 2 : index % 2) {}

    static __device__ __forceinline__ int index(int outer_half, int depth_half) {
        return of_a ? outer_half + depth_half * 2 : outer_half * 2 + depth_half;
    }
};

// Round a fragment of b to TF32 where it was not rounded when it was stored.
template <bool of_a>
__device__ __forceinline__ void round_fragment(unsigned (&fragment)[4]) {
    if (of_a || !ROUND_B) return;
#pragma unroll
    for (int q = 0; q < 4; ++q) fragment[q] = round_tf32(__uint_as_float(fragment[q]));
}

// Loads a lane's registers of the fragments of one operand, from row (or column) `first` on. Within 128 bytes chunks
// are permuted (swizzled), so that a few offsets are kept; all others differ from them by constants.
template <int outer, bool along, bool of_a>
struct FragmentLoader;

// Along the depth: a lane gives ldmatrix one row (or column) of one matrix. Each step has an offset, since it moves
// within the swizzle; 16 rows further down the swizzle is the same.
template <int outer, bool of_a>
struct FragmentLoader<outer, true, of_a> {
    typedef Tile<outer, true> Tiles;
    static_assert(Tiles::pitch >= 4, "16 rows further down must leave the swizzle as it is");
    int offsets[TILE_DEPTH / STEP];

    __device__ __forceinline__ FragmentLoader(int first) {
        const int lane = threadIdx.x % 32;
        const Matrix<of_a> matrix(lane / 8);
#pragma unroll
        for (int step = 0; step < TILE_DEPTH / STEP; ++step)
            offsets[step] = Tiles::chunk_at(first + matrix.outer_half * 8 + lane % 8, step * 2 + matrix.depth_half);
    }

    // Read the i-th fragment of a step.
    __device__ __forceinline__ void read(unsigned (&fragment)[4], const Value* tile, int i, int step) const {
        load_matrix_x4(fragment, tile + i * 16 * Tiles::pitch * CHUNK + offsets[step]);
        round_fragment<of_a>(fragment);
    }

    // Return which of a fragment's 16 rows (or columns) lanes 4 * index to 4 * index + 3 have in a half, 0 or 1.
    static __device__ __forceinline__ int outer_of(int half, int index) { return half * 8 + index; }
};

// Across the depth: 128 bytes of a line hold `per_line` fragments side by side, each with its offsets. Where a line is
// narrower, the swizzle spans lines, and each step has its offsets too.
template <int outer, bool of_a>
struct FragmentLoader<outer, false, of_a> {
    typedef Tile<outer, false> Tiles;
    static constexpr bool narrow = Tiles::pitch < 8;
    static constexpr int steps = narrow ? TILE_DEPTH / STEP : 1, per_line = CHUNK / 2, line = Tiles::pitch * CHUNK;

    static __device__ __forceinline__ const Value* start(const Value* tile, int i, int step) {
        return tile + (i / per_line * per_line * 16 + (narrow ? 0 : step * STEP * line));
    }

#if PRECISION == BF16
    // A lane gives ldmatrix one depth of one matrix, which comes back transposed.
    int offsets[steps][per_line];

    __device__ __forceinline__ FragmentLoader(int first) {
        const int lane = threadIdx.x % 32;
        const Matrix<of_a> matrix(lane / 8);
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int j = 0; j < per_line; ++j)
                offsets[step][j] = Tiles::chunk_at(step * STEP + matrix.depth_half * 8 + lane % 8,
                                                   (first + j * 16) / 8 + matrix.outer_half);
    }

    __device__ __forceinline__ void read(unsigned (&fragment)[4], const Value* tile, int i, int step) const {
        load_matrix_x4_transposed(fragment, start(tile, i, step) + offsets[narrow ? step : 0][i % per_line]);
    }

    static __device__ __forceinline__ int outer_of(int half, int index) { return half * 8 + index; }
#else
    // A lane reads one value of each matrix. Of a it reads two neighbours at once, one for either half of the rows, which
    // thereby alternate: mma.sync has both in neighbouring registers. (Of b it has two depths there.) Four depths further
    // the swizzle is the same, unless lines are narrow.
    static constexpr int depth_halves = narrow ? 2 : 1, outer_halves = of_a ? 1 : 2;
    int offsets[steps][per_line][outer_halves][depth_halves];

    __device__ __forceinline__ FragmentLoader(int first) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int j = 0; j < per_line; ++j)
#pragma unroll
                for (int half = 0; half < outer_halves; ++half)
#pragma unroll
                    for (int deep = 0; deep < depth_halves; ++deep)
                        offsets[step][j][half][deep] = Tiles::at(first + j * 16 + outer_of(half, lane / 4),
                                                                 step * STEP + deep * 4 + lane % 4);
    }

    __device__ __forceinline__ void read(unsigned (&fragment)[4], const Value* tile, int i, int step) const {
#pragma unroll
        for (int deep = 0; deep < 2; ++deep) {
            const Value* source = start(tile, i, step) + (narrow ? 0 : deep * 4 * line);
#pragma unroll
            for (int half = 0; half < outer_halves; ++half) {
                float values[3 - outer_halves];
                load_floats(values, source + offsets[narrow ? step : 0][i % per_line][half][deep % depth_halves]);
#pragma unroll
                for (int e = 0; e < 3 - outer_halves; ++e)
                    fragment[Matrix<of_a>::index(half + e, deep)] = __float_as_uint(values[e]);
            }
        }
        round_fragment<of_a>(fragment);
    }

    static __device__ __forceinline__ int outer_of(int half, int index) {
        return of_a ? index * 2 + half : half * 8 + index;
    }
#endif
};

template <bool a_along, bool b_along>
struct Accumulators {
    static constexpr int rows = WARP_ROWS / 16, columns = WARP_COLUMNS / 16;
    float sums[rows][2 * columns][4];
    int first_row, first_column;
    typedef FragmentLoader<TILE_ROWS, a_along, true> LoaderA;
    LoaderA a_fragments;
    FragmentLoader<TILE_COLUMNS, b_along, false> b_fragments;

    __device__ __forceinline__ Accumulators()
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

    // Accumulate the product of two tiles.
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
#if PRECISION == BF16
                        mma_bf16(sums[i][2 * j + half], a[i], column);
#else
                        mma_tf32(sums[i][2 * j + half], a[i], column);
#endif
                    }
                }
        }
    }

    // Call epilogue(row, column, fragments) for each row: fragment j has four neighbouring columns, from
    // column + j * stride on, counted within the tile. Neighbouring lanes swap halves: a lane has two columns of two
    // rows, and gets four of one.
    static constexpr int fragments = 2 * columns, stride = 8;

    template <class Epilogue>
    __device__ __forceinline__ void for_each(const Epilogue& epilogue) const {
        const int lane = threadIdx.x % 32;
        const bool odd = lane % 2;
        int row = first_row + LoaderA::outer_of(odd, lane / 4), column = first_column + lane % 4 / 2 * 4;
#pragma unroll
        for (int i = 0; i < rows; ++i) {
            float quads[fragments][4];
#pragma unroll
            for (int j = 0; j < fragments; ++j) {
                const float(&s)[4] = sums[i][j];
                float first = __shfl_xor_sync(0xffffffffu, odd ? s[0] : s[2], 1);
                float second = __shfl_xor_sync(0xffffffffu, odd ? s[1] : s[3], 1);
                quads[j][0] = odd ? first : s[0], quads[j][1] = odd ? second : s[1];
                quads[j][2] = odd ? s[2] : first, quads[j][3] = odd ? s[3] : second;
            }
            epilogue(row + i * 16, column, quads);
        }
    }
};
#endif
