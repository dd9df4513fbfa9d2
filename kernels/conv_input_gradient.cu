// The gradient of a convolution's input: what every window that saw a value gives, gathered.
//
//     dx[source][n, h, w, c] = SUM over r, s, f of dy[t, n, p, q, f] * weight[t, f, source, r, s, c]
//                              with p * STRIDE = h + PAD - r and q * STRIDE = w + PAD - s
//
//     dy (TOWERS, PICTURES, OUT_ROWS, OUT_COLUMNS, FILTERS); weight (TOWERS, FILTERS, SOURCES, r, s, CHANNELS / GROUPS)
//     dx0, dx1 and relu0, relu1 (PICTURES, ROWS, COLUMNS, CHANNELS); slabs (SPLITS, targets, then as dx) instead of dx
//     where SPLITS > 1: sums of a part of the depth, for sum_splits.cu
//
// Where READS_ALL, a launch is for one tower, writes to both sources and adds with ADD; else tower t writes dx0 or dx1.
// accumulate.cuh says what ADD and relu do. A product (product.cuh): its rows are input pixels, its columns (source,
// c) of a group, its depth runs over (r, s, f). The weights are read as they lie, across the depth.
// Blocks: x a tile, its columns first, z (tower, group, split). Cost: 2 * PICTURES * ROWS * COLUMNS * FILTERS * WINDOW
// / GROUPS operations a tower. Dense layers are convolutions of maps of one pixel. Checked in tests/engine/cuda/test_conv.py.
//
// dimensions: PICTURES ROWS COLUMNS CHANNELS SOURCES READS_ALL OUT_ROWS OUT_COLUMNS FILTERS GROUPS
// dimensions: FILTER_SIZE STRIDE PAD ADD SPLITS WHOLE_A WHOLE_B
// choices: PRECISION TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS STAGES
#include "accumulate.cuh"
#include "product.cuh"
#include "windows.cuh"

#define INPUTS (PICTURES * ROWS * COLUMNS)
#define DEPTH (FILTER_SIZE * FILTER_SIZE * GROUP_FILTERS)

// Rows are input pixels: each thread keeps those that it copies.
struct Seen {
    typedef Tile<TILE_ROWS, true> Tiles;
    const Value* dy;
    unsigned origin[Tiles::loads];
    int bottom[Tiles::loads], right[Tiles::loads];

    __device__ __forceinline__ Seen(const Value* dy, int first) : dy(dy) {
#pragma unroll
        for (int i = 0; i < Tiles::loads; ++i) {
            int pixel = first + Tiles::line_of(i), place = pixel % (ROWS * COLUMNS);
            origin[i] = pixel / (ROWS * COLUMNS) * (OUT_ROWS * OUT_COLUMNS);
            bottom[i] = pixel < INPUTS ? place / COLUMNS + PAD : -1;  // no window
            right[i] = place % COLUMNS + PAD;
        }
    }

    __device__ __forceinline__ Place at(int i, int, int depth) const {
        unsigned filter = (unsigned)depth % GROUP_FILTERS, tap = (unsigned)depth / GROUP_FILTERS;
        unsigned down = bottom[i] - tap / FILTER_SIZE, across = right[i] - tap % FILTER_SIZE;
        unsigned row = down / STRIDE, column = across / STRIDE;  // huge where negative
        bool inside = depth < DEPTH && row < (unsigned)OUT_ROWS && column < (unsigned)OUT_COLUMNS &&
                      down % STRIDE == 0 && across % STRIDE == 0;
        return {dy + (int)((origin[i] + row * OUT_COLUMNS + column) * FILTERS + filter), inside};
    }
};

// Columns are a group's channels, source by source.
struct Filters {
    const Value* weight;
    int first;

    __device__ __forceinline__ Place at(int, int column, int depth) const {
        unsigned place = first + column, source = SOURCES > 1 ? place / GROUP_CHANNELS : 0;
        unsigned filter = (unsigned)depth % GROUP_FILTERS, tap = (unsigned)depth / GROUP_FILTERS;
        unsigned value = (source * (FILTER_SIZE * FILTER_SIZE - 1) + tap) * GROUP_CHANNELS + place;
        return {weight + ((size_t)filter * WINDOW + value), place < SOURCES * GROUP_CHANNELS && depth < DEPTH};
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    conv_input_gradient(const Value* __restrict__ dy, const Value* __restrict__ weight,
                        const Value* __restrict__ relu0, const Value* __restrict__ relu1, Value* __restrict__ dx0,
                        Value* __restrict__ dx1, float* __restrict__ slabs) {
    const int wide = SOURCES * GROUP_CHANNELS, tiles = (wide + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int split = blockIdx.z % SPLITS, group = blockIdx.z / SPLITS % GROUPS, tower = blockIdx.z / SPLITS / GROUPS;
    const int first_pixel = blockIdx.x / tiles * TILE_ROWS, first_column = blockIdx.x % tiles * TILE_COLUMNS;
    const int first_filter = tower * FILTERS + group * GROUP_FILTERS;

    typedef Sums<true, false> Results;
    Results sums;
    const Seen a(dy + (size_t)tower * PICTURES * OUT_ROWS * OUT_COLUMNS * FILTERS + group * GROUP_FILTERS, first_pixel);
    const Filters b = {weight + (size_t)first_filter * WINDOW, first_column};
    const Part part(split, DEPTH);
    multiply(sums, a, b, part.first, part.last);

    // Write `count` values from a column on, all of one source.
    auto write = [&](int pixel, int column, float (&values)[4], int count, bool aligned) {
        const int source = SOURCES > 1 ? column / GROUP_CHANNELS : 0, target = READS_ALL ? source : tower;
        const int channel = group * GROUP_CHANNELS + column - source * GROUP_CHANNELS;
        const size_t place = (size_t)pixel * CHANNELS + channel;
        if (SPLITS > 1) {
            const size_t slab = (size_t)split * (READS_ALL ? SOURCES : gridDim.z / (GROUPS * SPLITS)) + target;
            store_float_run(slabs + slab * INPUTS * CHANNELS + place, values, count, aligned);
        } else {
            accumulate_run(target ? dx1 : dx0, target ? relu1 : relu0, place, values, count, aligned);
        }
    };
    sums.each([&](int row, int column, float (&runs)[Results::runs][4]) {
        const int pixel = first_pixel + row;
        if (pixel >= INPUTS) return;
#pragma unroll
        for (int j = 0; j < Results::runs; ++j) {
            const int own = first_column + column + j * Results::spread;
            if (GROUP_CHANNELS % 4 == 0) {
                if (own < wide) write(pixel, own, runs[j], 4, true);
            } else {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    float one[4] = {runs[j][e]};
                    if (own + e < wide) write(pixel, own + e, one, 1, false);
                }
            }
        }
    });
}
