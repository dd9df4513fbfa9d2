// Take a gradient back through batch normalisation, through the batch's own mean and variance too.
//
//     r = 1 / sqrt(variance + EPSILON)
//     dx = weight * r * (dy - dbias / PIXELS - (x - mean) * r * dweight / PIXELS)
//
//     x, dy, dx: towers x PIXELS x CHANNELS (dx may be dy); all others: towers x CHANNELS floats. Where mean and
//     variance are given and not the batch's, mean, dweight and dbias are null: dx = weight * r * dy
//
// A thread has VECTOR channels of a pixel; blocks: x pixels, y the tower. With RELU the gradient is that of the ReLU's
// input below: nothing where x is not positive. Cost: reads x and dy and writes dx once; 8 operations and a reciprocal
// root a value. Checked in tests/engine/test_batchnorm.py.
//
// dimensions: PIXELS CHANNELS RELU
// reals: EPSILON
// choices: PRECISION VECTOR
#include "vectors.cuh"

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_backward(const Value* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ mean,
                       const float* __restrict__ variance, const float* __restrict__ dweight,
                       const float* __restrict__ dbias, const Value* dy, Value* dx) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors, first = blockIdx.y * CHANNELS + item % vectors * VECTOR;
    if (pixel >= (unsigned)PIXELS) return;
    const size_t place = ((size_t)blockIdx.y * PIXELS * vectors + item) * VECTOR;
    const float share = 1.f / PIXELS;
    float values[VECTOR], slopes[VECTOR];
    load_vector(values, x + place);
    load_vector(slopes, dy + place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        const float root = reciprocal_root(variance[first + i] + EPSILON), scale = weight[first + i] * root;
        if (dweight) {
            const float shift = dbias[first + i] * share, slope = dweight[first + i] * root * share;
            slopes[i] = slopes[i] - shift - (values[i] - mean[first + i]) * slope;
        }
        slopes[i] *= scale;
        if (RELU && !(values[i] > 0)) slopes[i] = 0;
    }
    store_vector(dx + place, slopes);
}
