// The gradients of a convolution's weights and biases: sums over all output pixels.
//
//     dweight[t, f, source, r, s, c] = SUM over n, p, q of
//                                      dy[t, n, p, q, f] * x[source][n, p * STRIDE + r - PAD, q * STRIDE + s - PAD, c]
//     dbias[t, f] = SUM over n, p, q of dy[t, n, p, q, f]
//
//     x0, x1 (PICTURES, ROWS, COLUMNS, CHANNELS); dy (TOWERS, PICTURES, OUT_ROWS, OUT_COLUMNS, FILTERS)
//     weight, velocity, copy (TOWERS, FILTERS, SOURCES, r, s, CHANNELS / GROUPS) and bias, bias_velocity (TOWERS,
//     FILTERS): what SINK and BIAS_SINK make of the gradients (sink.cuh)
//     slabs (SPLITS, then as weight), bias_slabs (SPLITS, tiles of columns, TOWERS, FILTERS) instead where SPLITS > 1:
//     sums of a part of the pixels, for weight_update.cu
//
// A product (product.cuh): its rows are a group's filters, its columns (source, r, s, c), its depth runs over output
// pixels; both operands lie across the depth. The biases are added up as dy passes by: by the blocks of the first
// columns, or, where SPLITS > 1, by all blocks of the same rows in turn, since the slowest block decides.
// Where READS_ALL, every tower reads x0 and, with two SOURCES, x1; else tower t reads x0 or x1. MASKED: see mask.cuh.
// Blocks: x a tile, its columns first, z (tower, group, split). Cost: 2 * PIXELS * WINDOW * FILTERS operations a tower;
// for a dense layer, a convolution of maps of one pixel, the 16 or 18 bytes that MOMENTUM moves a weight are more.
// Checked in tests/engine/cuda/test_conv.py and tests/engine/cuda/test_dense.py.
//
// dimensions: PICTURES ROWS COLUMNS CHANNELS SOURCES READS_ALL OUT_ROWS OUT_COLUMNS FILTERS TOWERS GROUPS
// dimensions: FILTER_SIZE STRIDE PAD SPLITS WHOLE_A WHOLE_B SINK DECAY BIAS_SINK BIAS_DECAY BLOCK SIZE
// choices: PRECISION TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS STAGES
#include "mask.cuh"
#include "product.cuh"
#include "sink.cuh"
#include "windows.cuh"

// Rows are filters, the depth is pixels: dy as it lies.
struct Gradients {
    const Value* dy;
    int count;

    __device__ __forceinline__ Place at(int, int filter, int pixel) const {
        return {dy + ((size_t)pixel * FILTERS + filter), filter < count && pixel < PIXELS};
    }
};

// Columns are values of the window, the depth is pixels.
struct Shifted {
    Maps maps;
    int first;

    __device__ __forceinline__ Place at(int, int column, int depth) const {
        Tap tap;
        Pixel pixel;
        tap.find(first + column);
        pixel.find(depth);
        return maps.at(pixel, tap);
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    conv_weight_gradient(const Value* __restrict__ x0, const Value* __restrict__ x1, const Value* __restrict__ dy,
                         const Control* __restrict__ control, float* __restrict__ weight,
                         float* __restrict__ velocity, unsigned short* __restrict__ copy, float* __restrict__ bias,
                         float* __restrict__ bias_velocity, float* __restrict__ slabs,
                         float* __restrict__ bias_slabs, float factor, float bias_factor) {
    const int tiles = (WINDOW + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int split = blockIdx.z % SPLITS, group = blockIdx.z / SPLITS % GROUPS, tower = blockIdx.z / SPLITS / GROUPS;
    const int tile = blockIdx.x % tiles, first_column = tile * TILE_COLUMNS, first_row = blockIdx.x / tiles * TILE_ROWS;
    const int filter = tower * FILTERS + group * GROUP_FILTERS + first_row;
    const int rows = GROUP_FILTERS - first_row;

    const bool adds_bias = SPLITS > 1 || tile == 0;
    constexpr int owned = (TILE_ROWS + THREADS - 1) / THREADS;  // rows whose biases a thread adds up, THREADS apart
    float bias_sums[owned] = {};
    auto look = [&](const Value* dy_tile, int step) {
        if (!adds_bias || SPLITS > 1 && step % tiles != tile) return;
#pragma unroll
        for (int i = 0; i < owned; ++i) {
            const int row = threadIdx.x + i * THREADS;
            if (row >= TILE_ROWS) break;
#pragma unroll 4
            for (int k = 0; k < TILE_DEPTH; ++k) bias_sums[i] += load(dy_tile + Tile<TILE_ROWS, false>::at(row, k));
        }
    };
    typedef Sums<false, false> Results;
    Results sums;
    const Gradients a = {dy + (size_t)tower * PIXELS * FILTERS + group * GROUP_FILTERS + first_row, rows};
    const Shifted b = {Maps(x0, x1, tower, group), first_column};
    const Part part(split, PIXELS);
    multiply(sums, a, b, part.first, part.last, look);

    const Sink sink = {SPLITS > 1 ? KEEP : SINK, DECAY != 0, false, control, velocity, copy, factor};
    const Sink bias_sink = {SPLITS > 1 ? KEEP : BIAS_SINK, BIAS_DECAY != 0, true, control, bias_velocity, nullptr,
                            bias_factor};
    float* slab = slabs + (size_t)split * TOWERS * FILTERS * WINDOW;
    float* bias_slab = bias_slabs + (size_t)(split * tiles + tile) * TOWERS * FILTERS;
    if (adds_bias && !bias_sink.idle()) {
#pragma unroll
        for (int i = 0; i < owned; ++i) {
            const int row = threadIdx.x + i * THREADS;
            if (row >= TILE_ROWS || row >= rows) break;
            const float run[1][4] = {{bias_sums[i]}};
            bias_sink.take(SPLITS > 1 ? bias_slab : bias, filter + row, run, 4, 1, false);
        }
    }
    if (sink.idle()) return;
    sums.each([&](int row, int column, float (&runs)[Results::runs][4]) {
        const int own = first_column + column;
        if (row >= rows) return;
#pragma unroll
        for (int j = 0; j < Results::runs; ++j) mask_run(runs[j], own + j * Results::spread);
        const size_t place = (size_t)(filter + row) * WINDOW + own;
        sink.take(SPLITS > 1 ? slab : weight, place, runs, Results::spread, WINDOW - own, WINDOW % 4 == 0);
    });
}
