// Dropout: y = x * mask * FACTOR in training, the same for the gradient, and y = x * FACTOR in inference.
//
// Checked in tests/engine/test_dropout.py.
//
// reals: FACTOR
// choices: PRECISION VECTOR
#include "common/vectors.cuh"

// --- dropout
// The mask is drawn in each pass, not stored: forward from x to y, backward from dy to dx.
//
//     x, y: towers x BATCH x FEATURES of the towers on this device; y may be x
//
// An element of all TOWERS has the number (image * TOWERS + tower) * FEATURES + feature, and is kept where its word
// of Philox is below `limit`: keep * 2^32. Images are numbered over all micro-batches of a batch. A thread has VECTOR
// elements in a row; with VECTOR = 4 they are one block of Philox. The grid's y is the tower of this device.
// Cost: reads x and writes y once; 25 integer operations a value.
//
// dimensions: BATCH FEATURES TOWERS
#include "common/philox.cuh"

extern "C" __global__ void __launch_bounds__(256)
    dropout(const Value* x, Value* y, const Control* __restrict__ control, unsigned limit, unsigned layer,
            unsigned first_tower) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = FEATURES / VECTOR;
    const unsigned index = item / vectors, feature = item % vectors * VECTOR;  // of the image in the micro-batch
    if (index >= (unsigned)BATCH) return;
    const unsigned long long image = (unsigned long long)control->part * BATCH + index;
    const unsigned long long row = image * TOWERS + first_tower + blockIdx.y;
    const unsigned long long number = row * FEATURES + feature;
    const size_t offset = (size_t)blockIdx.y * BATCH * FEATURES + (size_t)item * VECTOR;
    unsigned words[4];
    philox(words, number / 4, control, PHILOX_DROPOUT, layer);
    float values[VECTOR];
    load_vector(values, x + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        const unsigned lane = (unsigned)number % 4 + i;
        const unsigned word = lane < 2 ? words[lane < 1 ? 0 : 1] : words[lane < 3 ? 2 : 3];
        values[i] *= word < limit ? FACTOR : 0.0f;
    }
    store_vector(y + offset, values);
}

// --- scale
//     x, y: COUNT values; a thread has VECTOR of them
//
// Cost: reads x and writes y once.
//
// dimensions: COUNT
extern "C" __global__ void __launch_bounds__(256) scale(const Value* __restrict__ x, Value* __restrict__ y) {
    const size_t offset = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (offset >= COUNT) return;
    float values[VECTOR];
    load_vector(values, x + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] *= FACTOR;
    store_vector(y + offset, values);
}
