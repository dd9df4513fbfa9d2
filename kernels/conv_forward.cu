// Convolve, add the bias and, with RELU, set what is negative to zero.
//
//     y[t, n, p, q, f] = bias[t, f] + SUM over source, r, s, c of
//                        x[source][n, p * STRIDE + r - PAD, q * STRIDE + s - PAD, c] * weight[t, f, source, r, s, c]
//
//     x0, x1 (PICTURES, ROWS, COLUMNS, CHANNELS); weight (TOWERS, FILTERS, SOURCES, r, s, CHANNELS / GROUPS);
//     bias (TOWERS, FILTERS); y (TOWERS, PICTURES, OUT_ROWS, OUT_COLUMNS, FILTERS)
//     slabs (SPLITS, then as y) instead of y where SPLITS > 1: sums of a part of the depth, for sum_splits.cu
//
// Where READS_ALL, every tower reads x0 and, with two SOURCES, x1; else tower t reads x0 or x1.
// A product (product.cuh): its rows are output pixels, its columns a group's filters, its depth runs over (source, r,
// s, c). Blocks: x a tile, its columns first, z (tower, group, split). Cost: 2 * PIXELS * WINDOW * FILTERS operations
// a tower; reads x about FILTER_SIZE^2 / STRIDE^2 times, mostly from the caches, and writes y once.
// Checked in tests/engine/cuda/test_conv.py.
//
// dimensions: PICTURES ROWS COLUMNS CHANNELS SOURCES READS_ALL OUT_ROWS OUT_COLUMNS FILTERS TOWERS GROUPS
// dimensions: FILTER_SIZE STRIDE PAD RELU SPLITS WHOLE_A WHOLE_B
// choices: PRECISION TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS STAGES
#include "product.cuh"
#include "runs.cuh"
#include "windows.cuh"

// Rows are output pixels: each thread keeps those that it copies.
struct Windows {
    typedef Tile<TILE_ROWS, true> Tiles;
    Maps maps;
    Pixel pixels[Tiles::loads];

    __device__ __forceinline__ Windows(const Maps& maps, int first) : maps(maps) {
#pragma unroll
        for (int i = 0; i < Tiles::loads; ++i) pixels[i].find(first + Tiles::line_of(i));
    }

    __device__ __forceinline__ Place at(int i, int, int depth) const {
        Tap tap;
        tap.find(depth);
        return maps.at(pixels[i], tap);
    }
};

// Columns are filters, as they lie.
struct Filters {
    const Value* weight;
    int count;

    __device__ __forceinline__ Place at(int, int filter, int depth) const {
        return {weight + ((size_t)filter * WINDOW + depth), filter < count && depth < WINDOW};
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    conv_forward(const Value* __restrict__ x0, const Value* __restrict__ x1, const Value* __restrict__ weight,
                 const float* __restrict__ bias, Value* __restrict__ y, float* __restrict__ slabs) {
    const int tiles = (GROUP_FILTERS + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int split = blockIdx.z % SPLITS, group = blockIdx.z / SPLITS % GROUPS, tower = blockIdx.z / SPLITS / GROUPS;
    const int first_pixel = blockIdx.x / tiles * TILE_ROWS, first_filter = blockIdx.x % tiles * TILE_COLUMNS;
    const int channel = group * GROUP_FILTERS + first_filter;  // of y

    typedef Sums<true, true> Results;
    Results sums;
    const Windows a(Maps(x0, x1, tower, group), first_pixel);
    const Filters b = {weight + (size_t)(tower * FILTERS + channel) * WINDOW, GROUP_FILTERS - first_filter};
    const Part part(split, WINDOW);
    multiply(sums, a, b, part.first, part.last);

    sums.each([&](int row, int column, float (&runs)[Results::runs][4]) {
        const int pixel = first_pixel + row;
        if (pixel >= PIXELS) return;
        const size_t place = ((size_t)tower * PIXELS + pixel) * FILTERS + channel;
        const bool aligned = GROUP_FILTERS % 4 == 0;
#pragma unroll
        for (int j = 0; j < Results::runs; ++j) {
            const int own = column + j * Results::spread, count = GROUP_FILTERS - first_filter - own;
            if (count <= 0) continue;
            if (SPLITS > 1) {
                float* slab = slabs + (size_t)split * TOWERS * PIXELS * FILTERS;
                store_float_run(slab + place + own, runs[j], count, aligned);
                continue;
            }
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                if (e < count) runs[j][e] += bias[tower * FILTERS + channel + own + e];
                if (RELU && runs[j][e] < 0) runs[j][e] = 0;  // what is not a number stays
            }
            store_run(y + place + own, runs[j], count, aligned);
        }
    });
}
