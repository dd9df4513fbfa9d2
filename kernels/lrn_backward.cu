// Take a gradient back through the normalisation across channels (kernels/lrn_back.cuh has the formula).
//
//     x, dy, dx: IMAGES x ROWS x COLUMNS x CHANNELS; dx may be dy; an image is a picture of one tower
//
// A block has PIXELS pixels in a row; a thread has VECTOR channels of a pixel, ROUNDS times. With RELU the gradient is
// that of the ReLU's input below: nothing where x is not positive.
// Cost: reads x and dy and writes dx once each; 2 * WINDOW + 14 operations and two reciprocal roots a value.
// Shared memory: 4 * PIXELS * CHANNELS bytes. Checked in tests/engine/test_lrn.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS WINDOW PIXELS RELU
// reals: K ALPHA BETA
// choices: PRECISION VECTOR ROUNDS
#include "primitives.cuh"
#include "lrn_back.cuh"

extern "C" __global__ void __launch_bounds__(256) lrn_backward(const Value* x, const Value* dy, Value* dx) {
    SHARED(float, inner);
    lrn_back(x, dx, inner, RELU, [&](float (&values)[VECTOR], unsigned pixel, int channel) {
        load_vector(values, dy + (size_t)pixel * CHANNELS + channel);
    });
}
