// conv_forward of conv.cu on Hopper by wgmma (gemm_wgmma.cuh), in bfloat16: the same arrays and the same formula. Plans
// launch it on sm_90 where its self-test has passed there, else conv_forward.
//
//     y[t, n, p, q, f] = bias[t, f] + SUM over source, r, s, c of
//                        x[source][n, p * STRIDE + r - PAD, q * STRIDE + s - PAD, c] * weight[t, f, source, r, s, c]
//
//     x0, x1 (BATCH, ROWS, COLUMNS, CHANNELS); y (TOWERS, BATCH, OUT_ROWS, OUT_COLUMNS, FILTERS)
//     weight (TOWERS, FILTERS, SOURCES, r, s, CHANNELS / GROUPS); bias (TOWERS, FILTERS)
//
// A group's channels and filters are multiples of 8, so that chunks of 16 bytes are whole; SPLITS is 1. A warpgroup, 128
// threads, has 64 rows of the tile, and a block one warpgroup for each 64: WARP_ROWS 16, WARP_COLUMNS TILE_COLUMNS.
// Cost: 2 * PIXELS * WINDOW * FILTERS operations a tower; reads x about FILTER_SIZE^2 / STRIDE^2 times, mostly from the
// caches, and writes y once.
// Checked in tests/engine/cuda/test_wgmma.py.
//
// needs: sm_90a
// dimensions: BATCH ROWS COLUMNS CHANNELS SOURCES READS_ALL OUT_ROWS OUT_COLUMNS FILTERS GROUPS
// dimensions: FILTER_SIZE STRIDE PAD SPLITS WHOLE_A WHOLE_B RELU
// choices: PRECISION TENSOR_CORES ROUND_B TILE_ROWS TILE_COLUMNS TILE_DEPTH WARP_ROWS WARP_COLUMNS STAGES
#include "gemm_wgmma.cuh"
#include "im2col.cuh"

// --- conv_forward_wgmma
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    conv_forward_wgmma(const Value* __restrict__ x0, const Value* __restrict__ x1, const Value* __restrict__ weight,
                       const float* __restrict__ bias, Value* __restrict__ y) {
    const Block block(GROUP_FILTERS);
    const int channel = block.group * GROUP_FILTERS + block.first_column;  // of y
    const int filters = GROUP_FILTERS - block.first_column, first_filter = block.tower * FILTERS + channel;

    float sums[TILE_COLUMNS / 2];
    const ActivationIterator a(Maps(x0, x1, block.tower, block.group), block.first_row);
    const FilterIterator b = {weight + (size_t)first_filter * WINDOW, filters};
    const DepthRange range(block.split, WINDOW);
    wgmma_loop(sums, a, b, range.first, range.last);

    store_sums(
        sums,
        [&](int, int filter, float (&values)[2]) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                if (filter < filters) values[e] += bias[first_filter + filter + e];
                if (RELU && values[e] < 0) values[e] = 0;  // NaN stays NaN
            }
        },
        [&](int row, int filter, uint4 words) {
            const int pixel = block.first_row + row;
            if (pixel >= PIXELS || filter >= filters) return;
            store_global_16(y + ((size_t)block.tower * PIXELS + pixel) * FILTERS + channel + filter, words);
        });
}
