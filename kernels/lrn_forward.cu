// Normalise across channels: y[c] = x[c] / (K + ALPHA * SUM over |j - c| <= WINDOW / 2 of x[j]^2)^BETA.
//
//     x, y: PIXELS x CHANNELS values; a pixel is one of a tower, a picture, a row and a column
//
// A thread has VECTOR channels of a pixel; it reads its neighbours' as well, which lie in the L1 cache.
// Cost: reads and writes each value once; WINDOW + 6 operations and two reciprocal roots a value.
// Checked in tests/engine/test_lrn.py.
//
// dimensions: PIXELS CHANNELS WINDOW
// reals: K ALPHA BETA
// choices: PRECISION VECTOR
#include "lrn.cuh"

extern "C" __global__ void __launch_bounds__(256) lrn_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors;
    const int channel = item % vectors * VECTOR;
    if (pixel >= (unsigned)PIXELS) return;
    const size_t place = (size_t)pixel * CHANNELS + channel;
    float normalised[VECTOR];
    lrn_normalise(normalised, x + place, channel);
    store_vector(y + place, normalised);
}
