// Local response normalisation across channels, and its gradient.
//
//     y[c] = x[c] / s[c]^BETA,    s[c] = K + ALPHA * SUM over |j - c| <= WINDOW / 2 of x[j]^2
//     dx[c] = dy[c] / s[c]^BETA - 2 ALPHA BETA x[c] * SUM over the same j of dy[j] x[j] / s[j]^(BETA + 1)
//
//     x, y, dy, dx: pixels x CHANNELS values; a pixel is one of a tower, an image, a row and a column; dx may be dy
//
// A thread has VECTOR channels of a pixel; it reads its neighbours' as well (lrn.cuh).
// Checked in tests/engine/test_lrn.py.
//
// reals: K ALPHA BETA
// choices: PRECISION VECTOR
#include "lrn.cuh"

// --- lrn_forward
// Cost: reads and writes each value once; WINDOW + 6 operations and two reciprocal roots a value.
//
// dimensions: PIXELS CHANNELS WINDOW
extern "C" __global__ void __launch_bounds__(256) lrn_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors;
    const int channel = item % vectors * VECTOR;
    if (pixel >= (unsigned)PIXELS) return;
    const size_t offset = (size_t)pixel * CHANNELS + channel;
    float normalised[VECTOR];
    lrn_normalise(normalised, x + offset, channel);
    store_vector(y + offset, normalised);
}

// --- lrn_backward
// A block has PIXELS pixels in a row; a thread has VECTOR channels of a pixel, ROUNDS times. With RELU the gradient is
// that of the input of the ReLU below: zero where x is not positive.
// Cost: reads x and dy and writes dx once each; 2 * WINDOW + 14 operations and two reciprocal roots a value.
// Shared memory: 4 * PIXELS * CHANNELS bytes.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS WINDOW PIXELS RELU
// choices: ROUNDS
extern "C" __global__ void __launch_bounds__(256) lrn_backward(const Value* x, const Value* dy, Value* dx) {
    SHARED(float, inner);
    auto gradient = [&](float (&values)[VECTOR], unsigned pixel, int channel) {
        load_vector(values, dy + (size_t)pixel * CHANNELS + channel);
    };
    lrn_back<ROUNDS>(x, dx, inner, PIXELS, IMAGES * ROWS * COLUMNS, RELU, gradient);
}
