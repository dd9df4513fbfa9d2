// Apply an activation: y = f(x), the f that FUNCTION names (kernels/activations.cuh).
//
//     x, y: COUNT values; a thread has VECTOR of them
//
// Cost: reads x and writes y once; at most two transcendental functions and a division a value.
// Checked in tests/engine/test_activation.py.
//
// dimensions: COUNT FUNCTION
// choices: PRECISION VECTOR
#include "vectors.cuh"
#include "activations.cuh"

extern "C" __global__ void __launch_bounds__(256)
    activation_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const size_t place = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (place >= COUNT) return;
    float values[VECTOR];
    load_vector(values, x + place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = activate(values[i]);
    store_vector(y + place, values);
}
