// Drop units: y = x * mask * FACTOR, or the gradient dx of the same from dy; the mask is drawn anew in each pass.
//
//     x, y: towers x PICTURES x FEATURES of the towers on this place; y may be x
//
// An element of all TOWERS has the number (picture * TOWERS + tower) * FEATURES + feature, and is kept where its word
// of Philox is below `limit`: keep * 2^32. In the parts of a batch the pictures are numbered on. A thread has VECTOR elements in a row; with VECTOR = 4 they are one block
// of Philox. The grid's y is the tower of this place.
// Cost: reads x and writes y once; 25 integer operations a value. Checked in tests/engine/test_dropout.py.
//
// dimensions: PICTURES FEATURES TOWERS
// reals: FACTOR
// choices: PRECISION VECTOR
#include "vectors.cuh"
#include "philox.cuh"

extern "C" __global__ void __launch_bounds__(256)
    dropout(const Value* x, Value* y, const Control* __restrict__ control, unsigned limit, unsigned layer,
            unsigned first_tower) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = FEATURES / VECTOR;
    const unsigned picture = item / vectors, feature = item % vectors * VECTOR;
    if (picture >= (unsigned)PICTURES) return;
    const unsigned long long row = ((unsigned long long)control->part * PICTURES + picture) * TOWERS + first_tower + blockIdx.y;
    const unsigned long long number = row * FEATURES + feature;
    const size_t place = (size_t)blockIdx.y * PICTURES * FEATURES + (size_t)item * VECTOR;
    unsigned words[4];
    philox(words, number / 4, control, PHILOX_DROPOUT, layer);
    float values[VECTOR];
    load_vector(values, x + place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        const unsigned lane = (unsigned)number % 4 + i;
        const unsigned word = lane < 2 ? words[lane < 1 ? 0 : 1] : words[lane < 3 ? 2 : 3];
        values[i] *= word < limit ? FACTOR : 0.0f;
    }
    store_vector(y + place, values);
}
