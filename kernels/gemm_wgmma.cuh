// The main loop of a gemm (gemm.cuh) by wgmma, the matrix instructions of Hopper: a warpgroup of four warps multiplies
// matrices that lie in shared memory, asynchronously. In bfloat16; tiles 64 deep, both along the depth.
//
// A warpgroup has 64 rows and all columns of the tile, so that the sums take TILE_COLUMNS / 2 registers a thread. A step
// of the depth is a group of four wgmmas, each 16 deep. While it runs, the copies of a later step are issued: a stage of
// the ring is read, one is still read by the group before, and STAGES - 2 are filled. Order of a step:
//
//     copy_wait             this thread's copies of the step have arrived
//     fence_async_proxy     and are visible to wgmma, which reads by another path than loads and stores (a proxy)
//     __syncthreads         so are all others'; and all warpgroups are done with the stage that is filled next
//     fetch                 a later step to that stage
//     wgmma_fence, four wgmmas, wgmma_commit
//     wgmma_wait<1>         the group before is done
//
// Copies are cp.async and not bulk copies (cp.async.bulk): the im2col matrix has gaps, and without a tensor map of the
// driver's a bulk copy cannot swizzle.
// The order of additions within a wgmma is the hardware's, and NVIDIA does not publish it: whether the bits are those of
// gemm_tensor_cores.cuh is not known. They depend on nothing but the depth.
//
// The swizzle of 128 bytes: a tile's line is 128 bytes, eight chunks of 16, and those of line l lie in the order
// chunk ^ l % 8, so that a column of chunks spreads over all banks. wgmma takes bits 4-6 of an address by XOR with its
// bits 7-9; tiles start at multiples of 1024, so that both count lines alike (Tile::chunk_at). Chunks, by where they lie:
//
//     byte      0  16  32  48  64  80  96 112
//     line 0    0   1   2   3   4   5   6   7
//     line 1    1   0   3   2   5   4   7   6
//     line 2    2   3   0   1   6   7   4   5
//     line 3    3   2   1   0   7   6   5   4
//     line 4    4   5   6   7   0   1   2   3
//     line 5    5   4   7   6   1   0   3   2
//     line 6    6   7   4   5   2   3   0   1
//     line 7    7   6   5   4   3   2   1   0        then line 8 as line 0, 1024 bytes further
//
// expects: STAGES TILE_ROWS TILE_COLUMNS TILE_DEPTH
#pragma once
#include "gemm.cuh"

#define SWIZZLED 1024  // bytes after which the swizzle repeats: what tiles are aligned to
#define WARPGROUP 128  // threads
#define WARPGROUP_ROWS 64
#define WGMMA_DEPTH 16

// Describe a matrix in shared memory to wgmma: lines along the depth, swizzled, from the address of its first chunk on.
//
//     bits   63-62    61-52   51-49    48-46   45-32        31-30   29-16             15-14   13-0
//            swizzle          offset           stride / 16          unused here: 1            address / 16
//            1: of 128        of the           of groups            chunks of a line          below 2^18
//            bytes            swizzle: 0       of 8 lines           follow the swizzle
//
// Source: PTX ISA, "Asynchronous warpgroup level matrix instructions", matrix descriptor.
__device__ __forceinline__ unsigned long long matrix_descriptor(const Value* matrix) {
    const unsigned long long address = shared_address(matrix) & 0x3ffff, stride = 8 * 128;
    return 1ull << 62 | stride / 16 << 32 | 1ull << 16 | address / 16;
}

// Accumulate steps first .. last - 1 of the depth; see main_loop in gemm.cuh. A thread's sums are as wgmma_bf16 says,
// of rows from threadIdx.x / WARPGROUP * WARPGROUP_ROWS on. The launch has SWIZZLED bytes more than the ring.
template <class IteratorA, class IteratorB>
__device__ __forceinline__ void wgmma_loop(float (&sums)[TILE_COLUMNS / 2], const IteratorA& a, const IteratorB& b,
                                           int first, int last) {
    typedef Tile<TILE_ROWS, true> TileA;
    typedef Tile<TILE_COLUMNS, true> TileB;
    static_assert(sizeof(Value) == 2 && TileA::pitch * CHUNK == 64, "a line is 64 values in bfloat16, 128 bytes");
    static_assert(TILE_ROWS % WARPGROUP_ROWS == 0 && THREADS == TILE_ROWS / WARPGROUP_ROWS * WARPGROUP,
                  "a warpgroup has 64 rows and all columns");
    static_assert(STAGES >= 3, "one stage is read, one may still be, and one is filled");
    SHARED(char, memory);
    Value* const ring = reinterpret_cast<Value*>(memory + (0u - shared_address(memory)) % SWIZZLED);
    Fetched<TileA::loads> fetched_a;
    Fetched<TileB::loads> fetched_b;
    auto fetch = [&](int step, int stage) {
        Value* tile = ring + stage * (TileA::size + TileB::size);
        if (step < last) {
            TileA::fetch(tile, fetched_a, a, step * TILE_DEPTH, true, true);
            TileB::fetch(tile + TileA::size, fetched_b, b, step * TILE_DEPTH, true, true);
        }
        copy_commit();
    };
#pragma unroll
    for (int stage = 0; stage < STAGES - 2; ++stage) fetch(first + stage, stage);
#pragma unroll
    for (int i = 0; i < TILE_COLUMNS / 2; ++i) sums[i] = 0;
    const int line = threadIdx.x / WARPGROUP * WARPGROUP_ROWS;
    int full = 0, empty = STAGES - 2;
    for (int step = first; step < last; ++step) {
        copy_wait<STAGES - 3>();
        fence_async_proxy();
        __syncthreads();
        fetch(step + STAGES - 2, empty);
        const Value* tile = ring + full * (TileA::size + TileB::size);
        wgmma_hold(sums);
        wgmma_fence();
#pragma unroll
        for (int depth = 0; depth < TILE_DEPTH; depth += WGMMA_DEPTH)
            wgmma_bf16(sums, matrix_descriptor(tile + line * TILE_DEPTH + depth),
                       matrix_descriptor(tile + TileA::size + depth));
        wgmma_commit();
        wgmma_wait<1>();
        full = full + 1 == STAGES ? 0 : full + 1;
        empty = empty + 1 == STAGES ? 0 : empty + 1;
    }
    wgmma_wait<0>();
    wgmma_hold(sums);
}

// Transpose a 4 x 4 matrix of words, a column of which each of four neighbouring lanes has.
__device__ __forceinline__ void transpose_words(unsigned (&words)[4]) {
    const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
        const unsigned received = __shfl_xor_sync(0xffffffffu, odd ? words[i] : words[i + 1], 1);
        (odd ? words[i] : words[i + 1]) = received;
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const unsigned received = __shfl_xor_sync(0xffffffffu, upper ? words[i] : words[i + 2], 2);
        (upper ? words[i] : words[i + 2]) = received;
    }
}

// Call epilogue(row, column, values) for sums of two neighbouring columns, which it may change, and store(row, column,
// words) for eight columns in bfloat16: the four lanes of a row have 64 contiguous bytes, two whole sectors. Rows and
// columns are counted within the tile.
template <class Epilogue, class Store>
__device__ __forceinline__ void store_sums(float (&sums)[TILE_COLUMNS / 2], const Epilogue& epilogue,
                                           const Store& store) {
    const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
    for (int i = 0; i < TILE_COLUMNS / 8; i += 4)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = first + half * 8;
            unsigned words[4];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                float values[2] = {sums[(i + j) * 4 + half * 2], sums[(i + j) * 4 + half * 2 + 1]};
                epilogue(row, (i + j) * 8 + lane % 4 * 2, values);
                words[j] = round_bf16_pair(values[0], values[1]);
            }
            transpose_words(words);
            store(row, (i + lane % 4) * 8, make_uint4(words[0], words[1], words[2], words[3]));
        }
}
