// Crop, flip and normalise stored images for the first layer, with space to depth where its stride asks for it.
//
//     value = scale * (image - mean + colour), with the mean at the crop, then flipped left to right; where CENTRED,
//     with the mean at its own centre, not flipped; the scale is RED, GREEN or BLUE
//     y[n, h, w, (r * BLOCK + s) * 3 + colour channel] = value at row h * BLOCK + r - PAD, column w * BLOCK + s - PAD
//     of the crop, or zero outside of it
//
//     pictures: 2 x BATCH x ROWS x COLUMNS x 3 bytes; views: 2 x BATCH x (row, column, mirror)
//     colours: 2 x BATCH x 3; of these the first axis is the input slot; mean: ROWS x COLUMNS x 3
//     y: BATCH x OUT_ROWS x OUT_COLUMNS x (3 * BLOCK^2)
//
// A thread has VECTOR values of y that come from one row. Each operation rounds once, as on the host: the bits are the
// same. Cost: reads the crop's bytes and writes y once from memory; the mean comes out of the L2 cache; 3 operations a
// value.
// Checked in tests/engine/test_crop.py.
//
// dimensions: BATCH ROWS COLUMNS OUT_ROWS OUT_COLUMNS CROP PAD BLOCK CENTRED
// reals: RED GREEN BLUE
// choices: PRECISION VECTOR
#include "common/vectors.cuh"
#include "common/control.cuh"

extern "C" __global__ void __launch_bounds__(256)
    crop(const unsigned char* __restrict__ pictures, const int* __restrict__ views, const float* __restrict__ colours,
         const float* __restrict__ mean, const Control* __restrict__ control, Value* __restrict__ y) {
    const unsigned depth = 3 * BLOCK * BLOCK, vectors = depth / VECTOR;
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, pixel = item / vectors, line = pixel / OUT_COLUMNS;
    const unsigned n = line / OUT_ROWS;
    if (n >= (unsigned)BATCH) return;
    const size_t image = (size_t)control->slot * BATCH + n;
    const int first_row = views[image * 3], first_column = views[image * 3 + 1], mirror = views[image * 3 + 2];
    const int first = item % vectors * VECTOR, within = first % (3 * BLOCK);
    const int row = line % OUT_ROWS * BLOCK - PAD + first / (3 * BLOCK), left = pixel % OUT_COLUMNS * BLOCK - PAD;
    const int start = ((first_row + row) * COLUMNS + first_column) * 3;  // of this row of the crop
    const unsigned char* source = pictures + image * ROWS * COLUMNS * 3;
    float values[VECTOR];
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        const int column = left + (within + i) / 3, channel = (within + i) % 3;
        values[i] = 0;
        if (row < 0 || row >= CROP || column < 0 || column >= CROP) continue;
        const int offset = start + (mirror ? CROP - 1 - column : column) * 3 + channel;
        const int middle = (((ROWS - CROP) / 2 + row) * COLUMNS + (COLUMNS - CROP) / 2 + column) * 3 + channel;
        const float difference = __fsub_rn((float)source[offset], mean[CENTRED ? middle : offset]);
        const float scale = channel == 0 ? RED : channel == 1 ? GREEN : BLUE;
        values[i] = __fmul_rn(scale, __fadd_rn(difference, colours[image * 3 + channel]));
    }
    store_vector(y + (size_t)item * VECTOR, values);
}
