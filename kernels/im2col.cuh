// The im2col matrix of a convolution, which is never written: (output pixels) x (source, r, s, channel).
//
// Maps x0 and x1 are (BATCH, ROWS, COLUMNS, CHANNELS); a group reads GROUP_CHANNELS of them. Where READS_ALL, a
// window runs over all SOURCES; else a tower reads its own maps and SOURCES is 1.
//
// expects: BATCH ROWS COLUMNS CHANNELS SOURCES READS_ALL OUT_ROWS OUT_COLUMNS FILTERS GROUPS FILTER_SIZE STRIDE PAD
// expects: TILE_ROWS
#pragma once
#include "gemm_tile.cuh"

#define GROUP_CHANNELS (CHANNELS / GROUPS)
#define GROUP_FILTERS (FILTERS / GROUPS)
#define PIXELS (BATCH * OUT_ROWS * OUT_COLUMNS)
#define WINDOW (SOURCES * FILTER_SIZE * FILTER_SIZE * GROUP_CHANNELS)

// A row of the im2col matrix: an output pixel, by the top left corner of its window and the offset of that corner.
struct Pixel {
    int origin, top, left;

    __device__ __forceinline__ void find(unsigned pixel) {
        unsigned image = pixel / (OUT_ROWS * OUT_COLUMNS), position = pixel % (OUT_ROWS * OUT_COLUMNS);
        top = pixel < PIXELS ? position / OUT_COLUMNS * STRIDE - PAD : -FILTER_SIZE;  // its window is above all maps
        left = position % OUT_COLUMNS * STRIDE - PAD;
        origin = ((image * ROWS + top) * COLUMNS + left) * CHANNELS;
    }
};

// A column of the im2col matrix: a value of the window.
struct Tap {
    int source, row, column, channel;

    __device__ __forceinline__ void find(unsigned index) {
        channel = index % GROUP_CHANNELS;
        index /= GROUP_CHANNELS;
        column = index % FILTER_SIZE;
        index /= FILTER_SIZE;
        row = index % FILTER_SIZE;
        source = index / FILTER_SIZE;
    }
};

// The maps that one tower and group read.
struct Maps {
    const Value *first, *second;

    __device__ __forceinline__ Maps(const Value* x0, const Value* x1, int tower, int group) {
        first = (READS_ALL || tower == 0 ? x0 : x1) + group * GROUP_CHANNELS;
        second = x1 + group * GROUP_CHANNELS;
    }

    __device__ __forceinline__ Element at(const Pixel& pixel, const Tap& tap) const {
        bool inside = tap.source < SOURCES && (unsigned)(pixel.top + tap.row) < (unsigned)ROWS &&
                      (unsigned)(pixel.left + tap.column) < (unsigned)COLUMNS;
        const Value* maps = SOURCES > 1 && tap.source ? second : first;
        return {maps + (pixel.origin + (tap.row * COLUMNS + tap.column) * CHANNELS + tap.channel), inside};
    }
};

// Rows of the im2col matrix: each thread keeps the pixels that it copies.
struct ActivationIterator {
    typedef Tile<TILE_ROWS, true> Tiles;
    Maps maps;
    Pixel pixels[Tiles::loads];

    __device__ __forceinline__ ActivationIterator(const Maps& maps, int first) : maps(maps) {
#pragma unroll
        for (int i = 0; i < Tiles::loads; ++i) pixels[i].find(first + Tiles::line_of(i));
    }

    __device__ __forceinline__ Element at(int i, int, int depth) const {
        Tap tap;
        tap.find(depth);
        return maps.at(pixels[i], tap);
    }
};

// Columns are filters, along the depth as stored.
struct FilterIterator {
    const Value* weight;
    int count;

    __device__ __forceinline__ Element at(int, int filter, int depth) const {
        return {weight + ((size_t)filter * WINDOW + depth), filter < count && depth < WINDOW};
    }
};
