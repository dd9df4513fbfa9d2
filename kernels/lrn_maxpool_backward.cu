// Take the gradient of pooled maps back through max-pooling and the normalisation below it, in one pass.
//
//     x, dx: IMAGES x ROWS x COLUMNS x CHANNELS; choice, dy: IMAGES x OUT_ROWS x OUT_COLUMNS x CHANNELS
//
// The gradient of the normalised maps is gathered from the windows that chose a pixel and rounded as if it were
// stored; then all is as in kernels/lrn_backward.cu. A block has PIXELS pixels in a row.
// Cost: reads x, dy and choice and writes dx once each from memory (dy and choice up to three times out of the L2
// cache at windows of 3 x 3 every 2); 2 * WINDOW + 40 operations and two reciprocal roots a value.
// Shared memory: 4 * PIXELS * CHANNELS bytes. Checked in tests/engine/test_lrn.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE WINDOW PIXELS RELU
// reals: K ALPHA BETA
// choices: PRECISION VECTOR ROUNDS
#include "primitives.cuh"
#include "lrn_back.cuh"
#include "maxpool.cuh"

extern "C" __global__ void __launch_bounds__(256)
    lrn_maxpool_backward(const Value* __restrict__ x, const unsigned char* __restrict__ choice,
                         const Value* __restrict__ dy, Value* __restrict__ dx) {
    SHARED(float, inner);
    lrn_back(x, dx, inner, RELU, [&](float (&values)[VECTOR], unsigned pixel, int channel) {
        const unsigned line = pixel / COLUMNS;
        gather(values, choice, dy, nullptr, line / ROWS, line % ROWS, pixel % COLUMNS, channel);
        round_vector(values);
    });
}
