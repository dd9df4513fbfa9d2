// Tiles of an operand in shared memory: what one step of a gemm reads, copied there in chunks of 16 bytes.
//
// A gemm is y[row][column] = SUM over depth of a[row][depth] * b[column][depth]. An operand lies in memory with
// its values contiguous along the depth ("along"), or along its rows or columns ("across"); so does its tile. To
// spread the accesses over the 32 banks, the chunks of each 128 bytes are permuted: chunk ^ key, the key by the row.
//
// expects: PRECISION TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS
#pragma once
#include "common/primitives.cuh"
#include "common/values.cuh"

#define CHUNK (16 / (int)sizeof(Value))  // values in 16 bytes
#define THREADS (TILE_ROWS / WARP_ROWS * (TILE_COLUMNS / WARP_COLUMNS) * 32)

// Where a value is: `inside` is false for what counts as zero, and then the address is not read.
struct Place {
    const Value* address;
    bool inside;
};

// A tile of `outer` rows (or columns) of an operand and TILE_DEPTH of its depth.
template <int outer, bool along>
struct Tile {
    static constexpr int lines = along ? outer : TILE_DEPTH;
    static constexpr int chunks = (along ? TILE_DEPTH : outer) / CHUNK;  // of a line
    static constexpr int pitch = chunks <= 2 ? 2 : chunks <= 4 ? 4 : (chunks + 7) / 8 * 8;
    static constexpr int size = lines * pitch * CHUNK;
    static constexpr int loads = (lines * chunks + THREADS - 1) / THREADS;  // chunks a thread copies

    // Say where a chunk of a line lies. The key depends on nothing but which 128 bytes the line is in.
    static __device__ __forceinline__ int chunk_at(int line, int chunk) {
#if PRECISION == FP32
        int key = along ? line / 4 : 0;  // eight threads read every fourth line, or one line
#else
        int key = pitch < 8 ? line / (8 / pitch) : line;   // eight lines are read together
        if (PRECISION == TF32 && !along) key = (key & 3) * 2;  // or eight values of each of four lines
#endif
        return (line * pitch + chunk ^ (key & 7)) * CHUNK;
    }

    // Say where the value at this row (or column) and depth lies.
    static __device__ __forceinline__ int at(int place, int depth) {
        int line = along ? place : depth, across = along ? depth : place;
        return chunk_at(line, across / CHUNK) + across % CHUNK;
    }

    // Say which line the i-th chunk of this thread is in.
    static __device__ __forceinline__ int line_of(int i) { return (int)(threadIdx.x + i * THREADS) / chunks; }

    // Start the copy of a tile. The operand says where values are: operand.at(i, place, depth), where `place` counts
    // rows (or columns) within the tile; `whole` says that its chunks are contiguous and aligned.
    template <class Operand>
    static __device__ __forceinline__ void fetch(Value* tile, const Operand& operand, int depth, bool whole) {
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            int line = line_of(i), across = (int)(threadIdx.x + i * THREADS) % chunks * CHUNK;
            if (lines * chunks % THREADS != 0 && line >= lines) break;
            Value* target = tile + chunk_at(line, across / CHUNK);
            if (whole) {
                Place place = along ? operand.at(i, line, depth + across) : operand.at(i, across, depth + line);
                copy_async_16(target, place.address, place.inside);
                continue;
            }
#pragma unroll 1
            for (int e = 0; e < CHUNK; ++e) {
                int other = across + e;
                copy_value(target + e, along ? operand.at(i, line, depth + other) : operand.at(i, other, depth + line));
            }
        }
    }

    static __device__ __forceinline__ void copy_value(Value* target, const Place& place) {
#if PRECISION == BF16
        *target = place.inside ? *place.address : (Value)0;
#else
        copy_async_4(target, place.address, place.inside);
#endif
    }
};
