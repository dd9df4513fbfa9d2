// Take a gradient back through an activation: dx = dy f', the derivative from y = f(x) (kernels/activations.cuh).
//
//     y, dy, dx: COUNT values; dx may be dy; a thread has VECTOR of them
//
// Cost: reads y and dy and writes dx once; at most one transcendental function a value.
// Checked in tests/engine/test_activation.py.
//
// dimensions: COUNT FUNCTION
// choices: PRECISION VECTOR
#include "vectors.cuh"
#include "activations.cuh"

extern "C" __global__ void __launch_bounds__(256)
    activation_backward(const Value* __restrict__ y, const Value* dy, Value* dx) {
    const size_t place = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (place >= COUNT) return;
    float values[VECTOR], outputs[VECTOR];
    load_vector(values, dy + place);
    load_vector(outputs, y + place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = __fmul_rn(values[i], slope(outputs[i]));
    store_vector(dx + place, values);
}
