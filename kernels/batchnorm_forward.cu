// Normalise each channel by a mean and a variance: the batch's in training, the running averages in inference.
//
//     y = weight * (x - mean) / sqrt(variance + EPSILON) + bias
//
//     x, y: towers x PIXELS x CHANNELS; weight, bias, mean, variance: towers x CHANNELS floats
//
// A thread has VECTOR channels of a pixel; blocks: x pixels, y the tower. Cost: reads x and writes y once, the rest
// comes out of the caches; 4 operations and a reciprocal root a value. Checked in tests/engine/test_batchnorm.py.
//
// dimensions: PIXELS CHANNELS
// reals: EPSILON
// choices: PRECISION VECTOR
#include "vectors.cuh"

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_forward(const Value* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
                      const float* __restrict__ mean, const float* __restrict__ variance, Value* __restrict__ y) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors, first = blockIdx.y * CHANNELS + item % vectors * VECTOR;
    if (pixel >= (unsigned)PIXELS) return;
    const size_t place = ((size_t)blockIdx.y * PIXELS * vectors + item) * VECTOR;
    float values[VECTOR];
    load_vector(values, x + place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        const float scale = weight[first + i] * reciprocal_root(variance[first + i] + EPSILON);
        values[i] = (values[i] - mean[first + i]) * scale + bias[first + i];
    }
    store_vector(y + place, values);
}
