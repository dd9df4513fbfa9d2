// The im2col matrix of a convolution, which is never written: (output pixels) x (source, r, s, channel).
//
// Maps x0 and x1 are (PICTURES, ROWS, COLUMNS, CHANNELS); a group reads GROUP_CHANNELS of them. Where READS_ALL, a
// window runs over all SOURCES; else a tower reads its own maps and SOURCES is 1.
//
// expects: PICTURES ROWS COLUMNS CHANNELS SOURCES READS_ALL OUT_ROWS OUT_COLUMNS FILTERS GROUPS FILTER_SIZE STRIDE PAD
#pragma once
#include "gemm_tile.cuh"

#define GROUP_CHANNELS (CHANNELS / GROUPS)
#define GROUP_FILTERS (FILTERS / GROUPS)
#define PIXELS (PICTURES * OUT_ROWS * OUT_COLUMNS)
#define WINDOW (SOURCES * FILTER_SIZE * FILTER_SIZE * GROUP_CHANNELS)

// Which output pixel, as the first row and column that its window sees and the first value of its picture.
struct Pixel {
    int origin, top, left;

    __device__ __forceinline__ void find(unsigned pixel) {
        unsigned picture = pixel / (OUT_ROWS * OUT_COLUMNS), place = pixel % (OUT_ROWS * OUT_COLUMNS);
        top = pixel < PIXELS ? place / OUT_COLUMNS * STRIDE - PAD : -FILTER_SIZE;  // its window is above all maps
        left = place % OUT_COLUMNS * STRIDE - PAD;
        origin = ((picture * ROWS + top) * COLUMNS + left) * CHANNELS;
    }
};

// Which value of a window.
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

// The maps that one tower and group reads.
struct Maps {
    const Value *first, *second;

    __device__ __forceinline__ Maps(const Value* x0, const Value* x1, int tower, int group) {
        first = (READS_ALL || tower == 0 ? x0 : x1) + group * GROUP_CHANNELS;
        second = x1 + group * GROUP_CHANNELS;
    }

    __device__ __forceinline__ Place at(const Pixel& pixel, const Tap& tap) const {
        bool inside = tap.source < SOURCES && (unsigned)(pixel.top + tap.row) < (unsigned)ROWS &&
                      (unsigned)(pixel.left + tap.column) < (unsigned)COLUMNS;
        const Value* maps = SOURCES > 1 && tap.source ? second : first;
        return {maps + (pixel.origin + (tap.row * COLUMNS + tap.column) * CHANNELS + tap.channel), inside};
    }
};
