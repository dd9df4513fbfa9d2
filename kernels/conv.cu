// Convolution and its gradients, as gemms (gemm.cuh) whose operands are the im2col matrices of maps, never written
// (im2col.cuh). Dense layers are convolutions of maps of one pixel.
//
//     y[t, n, p, q, f] = bias[t, f] + SUM over source, r, s, c of
//                        x[source][n, p * STRIDE + r - PAD, q * STRIDE + s - PAD, c] * weight[t, f, source, r, s, c]
//
//     x0, x1, dx0, dx1 (BATCH, ROWS, COLUMNS, CHANNELS); y, dy (TOWERS, BATCH, OUT_ROWS, OUT_COLUMNS, FILTERS)
//     weight (TOWERS, FILTERS, SOURCES, r, s, CHANNELS / GROUPS); bias (TOWERS, FILTERS)
//
// Where READS_ALL, every tower reads x0 and, with two SOURCES, x1; else tower t reads x0 or x1.
// A block has a tile of one tower, group and split (Block in gemm.cuh). Where SPLITS > 1 (split-K), it sums a range of
// the depth and writes it to its slab, for gemm_splits.cu.
// Checked in tests/engine/cuda/test_conv.py and tests/engine/cuda/test_dense.py.
//
// dimensions: BATCH ROWS COLUMNS CHANNELS SOURCES READS_ALL OUT_ROWS OUT_COLUMNS FILTERS GROUPS
// dimensions: FILTER_SIZE STRIDE PAD SPLITS WHOLE_A WHOLE_B
// choices: PRECISION TENSOR_CORES ROUND_B TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS STAGES
#include "gemm.cuh"
#include "im2col.cuh"

// --- conv_forward
// Rows are output pixels, columns a group's filters, the depth runs over (source, r, s, c). The epilogue adds the bias
// and applies, with RELU, the ReLU.
//
//     slabs (SPLITS, then as y) instead of y where SPLITS > 1
//
// Cost: 2 * PIXELS * WINDOW * FILTERS operations a tower; reads x about FILTER_SIZE^2 / STRIDE^2 times, mostly from the
// caches, and writes y once.
//
// dimensions: TOWERS RELU
#include "common/fragments.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    conv_forward(const Value* __restrict__ x0, const Value* __restrict__ x1, const Value* __restrict__ weight,
                 const float* __restrict__ bias, Value* __restrict__ y, float* __restrict__ slabs) {
    const Block block(GROUP_FILTERS);
    const int first_pixel = block.first_row, first_filter = block.first_column;
    const int channel = block.group * GROUP_FILTERS + first_filter;  // of y

    typedef Accumulators<true, true> Results;
    Results results;
    const ActivationIterator a(Maps(x0, x1, block.tower, block.group), first_pixel);
    const Value* filters = weight + (size_t)(block.tower * FILTERS + channel) * WINDOW;
    const FilterIterator b = {filters, GROUP_FILTERS - first_filter};
    const DepthRange range(block.split, WINDOW);
    main_loop(results, a, b, range.first, range.last);

    results.for_each([&](int row, int column, float (&fragments)[Results::fragments][4]) {
        const int pixel = first_pixel + row;
        if (pixel >= PIXELS) return;
        const size_t offset = ((size_t)block.tower * PIXELS + pixel) * FILTERS + channel;
        const bool aligned = GROUP_FILTERS % 4 == 0;
#pragma unroll
        for (int j = 0; j < Results::fragments; ++j) {
            const int filter = column + j * Results::stride, count = GROUP_FILTERS - first_filter - filter;
            if (count <= 0) continue;
            if (SPLITS > 1) {
                float* slab = slabs + (size_t)block.split * TOWERS * PIXELS * FILTERS;
                store_float_fragment(slab + offset + filter, fragments[j], count, aligned);
                continue;
            }
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                if (e < count) fragments[j][e] += bias[block.tower * FILTERS + channel + filter + e];
                if (RELU && fragments[j][e] < 0) fragments[j][e] = 0;  // NaN stays NaN
            }
            store_fragment(y + offset + filter, fragments[j], count, aligned);
        }
    });
}

// --- conv_input_gradient
// Gathers, over the windows that contain a value, their gradients.
//
//     dx[source][n, h, w, c] = SUM over r, s, f of dy[t, n, p, q, f] * weight[t, f, source, r, s, c]
//                              with p * STRIDE = h + PAD - r and q * STRIDE = w + PAD - s
//
//     relu0, relu1 as dx0, dx1, or null; slabs (SPLITS, targets, then as dx) instead of dx where SPLITS > 1
//
// Rows are input pixels, columns (source, c) of a group, the depth runs over (r, s, f); the weights are stored across
// the depth. Where READS_ALL, a launch is for one tower, writes to both sources and adds with ADD; else
// tower t writes dx0 or dx1. common/accumulate.cuh says what ADD and relu do.
// Cost: 2 * BATCH * ROWS * COLUMNS * FILTERS * WINDOW / GROUPS operations a tower.
//
// dimensions: ADD
#include "common/accumulate.cuh"

#define INPUTS (BATCH * ROWS * COLUMNS)
#define DEPTH (FILTER_SIZE * FILTER_SIZE * GROUP_FILTERS)

// Rows are input pixels, the depth the output gradients of the windows that contain them: each thread keeps the pixels
// that it copies.
struct GatheredGradientIterator {
    typedef Tile<TILE_ROWS, true> Tiles;
    const Value* dy;
    unsigned origin[Tiles::loads];
    int bottom[Tiles::loads], right[Tiles::loads];

    __device__ __forceinline__ GatheredGradientIterator(const Value* dy, int first) : dy(dy) {
#pragma unroll
        for (int i = 0; i < Tiles::loads; ++i) {
            int pixel = first + Tiles::line_of(i), position = pixel % (ROWS * COLUMNS);
            origin[i] = pixel / (ROWS * COLUMNS) * (OUT_ROWS * OUT_COLUMNS);
            bottom[i] = pixel < INPUTS ? position / COLUMNS + PAD : -1;  // no window
            right[i] = position % COLUMNS + PAD;
        }
    }

    __device__ __forceinline__ Element at(int i, int, int depth) const {
        unsigned filter = (unsigned)depth % GROUP_FILTERS, tap = (unsigned)depth / GROUP_FILTERS;
        unsigned down = bottom[i] - tap / FILTER_SIZE, across = right[i] - tap % FILTER_SIZE;
        unsigned row = down / STRIDE, column = across / STRIDE;  // huge where negative
        bool inside = depth < DEPTH && row < (unsigned)OUT_ROWS && column < (unsigned)OUT_COLUMNS &&
                      down % STRIDE == 0 && across % STRIDE == 0;
        return {dy + (int)((origin[i] + row * OUT_COLUMNS + column) * FILTERS + filter), inside};
    }
};

// Columns are a group's channels, source by source; the filters are read across the depth.
struct TransposedFilterIterator {
    const Value* weight;
    int first;

    __device__ __forceinline__ Element at(int, int column, int depth) const {
        unsigned channel = first + column, source = SOURCES > 1 ? channel / GROUP_CHANNELS : 0;
        unsigned filter = (unsigned)depth % GROUP_FILTERS, tap = (unsigned)depth / GROUP_FILTERS;
        unsigned value = (source * (FILTER_SIZE * FILTER_SIZE - 1) + tap) * GROUP_CHANNELS + channel;
        return {weight + ((size_t)filter * WINDOW + value), channel < SOURCES * GROUP_CHANNELS && depth < DEPTH};
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    conv_input_gradient(const Value* __restrict__ dy, const Value* __restrict__ weight,
                        const Value* __restrict__ relu0, const Value* __restrict__ relu1, Value* __restrict__ dx0,
                        Value* __restrict__ dx1, float* __restrict__ slabs) {
    const int wide = SOURCES * GROUP_CHANNELS;
    const Block block(wide);
    const int first_filter = block.tower * FILTERS + block.group * GROUP_FILTERS;

    typedef Accumulators<true, false> Results;
    Results results;
    const Value* gradients = dy + (size_t)block.tower * PIXELS * FILTERS + block.group * GROUP_FILTERS;
    const GatheredGradientIterator a(gradients, block.first_row);
    const TransposedFilterIterator b = {weight + (size_t)first_filter * WINDOW, block.first_column};
    const DepthRange range(block.split, DEPTH);
    main_loop(results, a, b, range.first, range.last);

    // Write `count` values from a column on, all of one source.
    auto write = [&](int pixel, int column, float (&values)[4], int count, bool aligned) {
        const int source = SOURCES > 1 ? column / GROUP_CHANNELS : 0, target = READS_ALL ? source : block.tower;
        const int channel = block.group * GROUP_CHANNELS + column - source * GROUP_CHANNELS;
        const size_t offset = (size_t)pixel * CHANNELS + channel;
        if (SPLITS > 1) {
            const size_t slab = (size_t)block.split * (READS_ALL ? SOURCES : Block::towers()) + target;
            store_float_fragment(slabs + slab * INPUTS * CHANNELS + offset, values, count, aligned);
        } else {
            accumulate_fragment(target ? dx1 : dx0, target ? relu1 : relu0, offset, values, count, aligned);
        }
    };
    results.for_each([&](int row, int tile_column, float (&fragments)[Results::fragments][4]) {
        const int pixel = block.first_row + row;
        if (pixel >= INPUTS) return;
#pragma unroll
        for (int j = 0; j < Results::fragments; ++j) {
            const int column = block.first_column + tile_column + j * Results::stride;
            if (GROUP_CHANNELS % 4 == 0) {
                if (column < wide) write(pixel, column, fragments[j], 4, true);
            } else {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    float one[4] = {fragments[j][e]};
                    if (column + e < wide) write(pixel, column + e, one, 1, false);
                }
            }
        }
    });
}

// --- conv_weight_gradient
// Sums over all output pixels.
//
//     dweight[t, f, source, r, s, c] = SUM over n, p, q of
//                                      dy[t, n, p, q, f] * x[source][n, p * STRIDE + r - PAD, q * STRIDE + s - PAD, c]
//     dbias[t, f] = SUM over n, p, q of dy[t, n, p, q, f]
//
//     weight, velocity, copy and bias, bias_velocity: the targets of SINK and BIAS_SINK (common/sink.cuh); by default
//     these are MOMENTUM, so that the epilogue updates the weights and no gradient is written
//     slabs (SPLITS, then as weight), bias_slabs (SPLITS, tiles of columns, TOWERS, FILTERS) instead where SPLITS > 1
//
// Rows are a group's filters, columns (source, r, s, c), the depth runs over output pixels; both operands are stored
// across the depth. The gradients of the biases are summed from dy's tiles in shared memory: by the blocks of the first
// columns, or, where SPLITS > 1, by all blocks of the same rows in turn, since the slowest block decides.
// BLOCK and SIZE: common/mask.cuh.
// Cost: 2 * PIXELS * WINDOW * FILTERS operations a tower; for a dense layer the 16 or 18 bytes that MOMENTUM moves a
// weight are more.
//
// dimensions: TOWERS SINK BIAS_SINK BLOCK SIZE
// reals: DECAY BIAS_DECAY
#include "common/mask.cuh"
#include "common/sink.cuh"

// Rows are filters, the depth is pixels.
struct GradientIterator {
    const Value* dy;
    int count;

    __device__ __forceinline__ Element at(int, int filter, int pixel) const {
        return {dy + (pixel * FILTERS + filter), filter < count && pixel < PIXELS};
    }
};

// Columns are values of the window, the depth is pixels: the im2col matrix, transposed.
struct TransposedActivationIterator {
    Maps maps;
    int first;

    __device__ __forceinline__ Element at(int, int column, int depth) const {
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
                         float* __restrict__ velocity, Value* __restrict__ copy, float* __restrict__ bias,
                         float* __restrict__ bias_velocity, float* __restrict__ slabs,
                         float* __restrict__ bias_slabs, float factor, float bias_factor) {
    const Block block(WINDOW);
    const int filter = block.tower * FILTERS + block.group * GROUP_FILTERS + block.first_row;
    const int rows = GROUP_FILTERS - block.first_row;

    const bool adds_bias = SPLITS > 1 || block.tile == 0;
    constexpr int bias_rows = (TILE_ROWS + THREADS - 1) / THREADS;  // whose biases a thread sums, THREADS apart
    float bias_sums[bias_rows] = {};
    auto sum_biases = [&](const Value* dy_tile, int step) {
        if (!adds_bias || SPLITS > 1 && step % block.tiles != block.tile) return;
#pragma unroll
        for (int i = 0; i < bias_rows; ++i) {
            const int row = threadIdx.x + i * THREADS;
            if (row >= TILE_ROWS) break;
#pragma unroll 4
            for (int k = 0; k < TILE_DEPTH; ++k) bias_sums[i] += load(dy_tile + Tile<TILE_ROWS, false>::at(row, k));
        }
    };
    typedef Accumulators<false, false> Results;
    Results results;
    const int first_filter = block.group * GROUP_FILTERS + block.first_row;  // of the tower
    const GradientIterator a = {dy + (size_t)block.tower * PIXELS * FILTERS + first_filter, rows};
    const TransposedActivationIterator b = {Maps(x0, x1, block.tower, block.group), block.first_column};
    const DepthRange range(block.split, PIXELS);
    main_loop(results, a, b, range.first, range.last, sum_biases);

    const Sink sink = {SPLITS > 1 ? KEEP : SINK, DECAY, false, control, velocity, copy, factor};
    const Sink bias_sink = {SPLITS > 1 ? KEEP : BIAS_SINK, BIAS_DECAY, true, control, bias_velocity, nullptr,
                            bias_factor};
    float* slab = slabs + (size_t)block.split * TOWERS * FILTERS * WINDOW;
    float* bias_slab = bias_slabs + (size_t)(block.split * block.tiles + block.tile) * TOWERS * FILTERS;
    if (adds_bias && !bias_sink.idle()) {
#pragma unroll
        for (int i = 0; i < bias_rows; ++i) {
            const int row = threadIdx.x + i * THREADS;
            if (row >= TILE_ROWS || row >= rows) break;
            const float fragment[1][4] = {{bias_sums[i]}};
            bias_sink.write(SPLITS > 1 ? bias_slab : bias, filter + row, fragment, 4, 1, false);
        }
    }
    if (sink.idle()) return;
    results.for_each([&](int row, int tile_column, float (&fragments)[Results::fragments][4]) {
        const int column = block.first_column + tile_column;
        if (row >= rows) return;
#pragma unroll
        for (int j = 0; j < Results::fragments; ++j) mask_fragment(fragments[j], column + j * Results::stride);
        const size_t offset = (size_t)(filter + row) * WINDOW + column;
        float* target = SPLITS > 1 ? slab : weight;
        sink.write(target, offset, fragments, Results::stride, WINDOW - column, WINDOW % 4 == 0);
    });
}
