// Tiles of an operand in shared memory: what one step of a gemm reads, copied there in chunks of 16 bytes.
//
// A gemm is y[row][column] = SUM over depth of a[row][depth] * b[column][depth]. An operand lies in memory with its
// values contiguous along the depth ("along": a row-major, b column-major), or along its rows or columns ("across": a
// column-major, b row-major); so does its tile. A line is what is contiguous in a tile: a row (or column), or, across,
// the values of one depth.
//
// The swizzle: within each 128 bytes, all 32 banks once, chunks are permuted, chunk ^ key, so that accesses to several
// lines spread over the banks. For tensor cores, a tile along the depth whose lines are 64 bytes has two lines in each
// 128, and key = line / 2. As line.chunk:
//
//     bank       0   4   8  12  16  20  24  28
//     key 0    0.0 0.1 0.2 0.3 1.0 1.1 1.2 1.3
//     key 1    2.1 2.0 2.3 2.2 3.1 3.0 3.3 3.2
//     key 2    4.2 4.3 4.0 4.1 5.2 5.3 5.0 5.1
//     key 3    6.3 6.2 6.1 6.0 7.3 7.2 7.1 7.0
//     key 4    9.0 9.1 9.2 9.3 8.0 8.1 8.2 8.3        and so on, to key 7; then key 0 again
//
// ldmatrix reads one chunk of eight lines at a time, say 0.0, 1.0, ..., 7.0: from banks 0, 16, 4, 20, 8, 24, 12, 28.
//
// expects: PRECISION TENSOR_CORES TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS
#pragma once
#include "common/primitives.cuh"
#include "common/values.cuh"

#define CHUNK (16 / (int)sizeof(Value))  // values in 16 bytes
#define THREADS (TILE_ROWS / WARP_ROWS * (TILE_COLUMNS / WARP_COLUMNS) * 32)

// The address of an operand's value; where `inside` is false it counts as zero, and the address is not read.
struct Element {
    const Value* address;
    bool inside;
};

// What a thread copies of a tile, between `fetch` and `settle`. Before sm_80 that is in registers, so that the sums which
// are added meanwhile hide how long a load takes; else the copy is asynchronous.
template <int chunks>
struct Fetched {
#if !ASYNC_COPIES
    uint4 values[chunks];
#endif
};

// A tile of `outer` rows (or columns) of an operand and TILE_DEPTH of its depth.
template <int outer, bool along>
struct Tile {
    static constexpr int lines = along ? outer : TILE_DEPTH;
    static constexpr int chunks = (along ? TILE_DEPTH : outer) / CHUNK;  // of a line
    static constexpr int pitch = chunks <= 2 ? 2 : chunks <= 4 ? 4 : (chunks + 7) / 8 * 8;
    static constexpr int size = lines * pitch * CHUNK;
    static constexpr int loads = (lines * chunks + THREADS - 1) / THREADS;  // chunks a thread copies

    // Return the offset of a chunk of a line. The key depends on nothing but which 128 bytes the line is in.
    static __device__ __forceinline__ int chunk_at(int line, int chunk) {
#if !TENSOR_CORES
        int key = along ? line / 4 : 0;  // eight threads read every fourth line, or one line
#else
        int key = pitch < 8 ? line / (8 / pitch) : line;   // eight lines are read together
        if (PRECISION != BF16 && !along) key = (key & 3) * 2;  // or eight values of each of four lines
#endif
        const int position = line * pitch + chunk, within = position & 7;  // in 128 bytes
        return (position - within + (within ^ key & 7)) * CHUNK;
    }

    // Return the offset of the value at this row (or column) and depth.
    static __device__ __forceinline__ int at(int outer_index, int depth) {
        int line = along ? outer_index : depth, across = along ? depth : outer_index;
        return chunk_at(line, across / CHUNK) + across % CHUNK;
    }

    // Return the line of this thread's i-th chunk, and its index in the line. Where a round of all threads fills whole
    // lines, these are a constant apart, so that one address serves all of a thread's chunks.
    static constexpr bool whole_lines = THREADS % chunks == 0;

    static __device__ __forceinline__ int line_of(int i) {
        return whole_lines ? (int)threadIdx.x / chunks + i * (THREADS / chunks)
                           : (int)(threadIdx.x + i * THREADS) / chunks;
    }

    static __device__ __forceinline__ int chunk_of(int i) {
        return (int)(whole_lines ? threadIdx.x : threadIdx.x + i * THREADS) % chunks;
    }

    // Start the copy of a tile, which `settle` ends. An iterator gives the operand's values: iterator.at(i, index, depth)
    // for this thread's i-th chunk, where `index` counts rows (or columns) within the tile; `whole`: its chunks are
    // contiguous and aligned. Of a tile that is not `wanted` nothing is read.
    template <class Iterator>
    static __device__ __forceinline__ void fetch(Value* tile, Fetched<loads>& fetched, const Iterator& iterator,
                                                 int depth, bool whole, bool wanted) {
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            int line = line_of(i), across = chunk_of(i) * CHUNK;
            if (lines * chunks % THREADS != 0 && line >= lines) break;
            Value* target = tile + chunk_at(line, across / CHUNK);
            if (whole) {
                Element chunk = along ? iterator.at(i, line, depth + across) : iterator.at(i, across, depth + line);
#if ASYNC_COPIES
                copy_async_16(target, chunk.address, chunk.inside);
#else
                fetched.values[i] = load_global_16(chunk.address, wanted && chunk.inside);
#endif
                continue;
            }
#pragma unroll 1
            for (int e = 0; e < CHUNK; ++e) {
                int other = across + e;
                Element value = along ? iterator.at(i, line, depth + other) : iterator.at(i, other, depth + line);
                copy_value(target + e, {value.address, wanted && value.inside});
            }
        }
    }

    // Store what `fetch` has loaded, where it has.
    static __device__ __forceinline__ void settle(Value* tile, const Fetched<loads>& fetched, bool whole) {
#if !ASYNC_COPIES
        if (!whole) return;
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            int line = line_of(i), chunk = chunk_of(i);
            if (lines * chunks % THREADS != 0 && line >= lines) break;
            *reinterpret_cast<uint4*>(tile + chunk_at(line, chunk)) = fetched.values[i];
        }
#endif
    }

    static __device__ __forceinline__ void copy_value(Value* target, const Element& value) {
#if PRECISION == BF16
        *target = value.inside ? *value.address : (Value)0;
#else
        copy_async_4(target, value.address, value.inside);
#endif
    }
};
