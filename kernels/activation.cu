// Activations by name: y = f(x), and dx = dy f'(x), the derivative computed from y, or x (activations.cuh).
//
//     x, y, kept, dy, dx: COUNT values; kept is y or x; dx may be dy; a thread has VECTOR of them
//
// Cost: forward reads x and writes y once, at most two transcendental functions and a division a value; backward reads
// kept and dy and writes dx once, at most two transcendental functions a value.
// Checked in tests/engine/test_activation.py.
//
// dimensions: COUNT
// reals: PARAMETER OFFSET
// choices: PRECISION VECTOR FUNCTION
#include "activations.cuh"
#include "common/vectors.cuh"

// --- activation_forward
extern "C" __global__ void __launch_bounds__(256)
    activation_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const size_t offset = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (offset >= COUNT) return;
    float values[VECTOR];
    load_vector(values, x + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = activate(values[i]);
    store_vector(y + offset, values);
}

// --- activation_backward
extern "C" __global__ void __launch_bounds__(256)
    activation_backward(const Value* __restrict__ kept, const Value* dy, Value* dx) {
    const size_t offset = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (offset >= COUNT) return;
    float values[VECTOR], inputs[VECTOR];
    load_vector(values, dy + offset);
    load_vector(inputs, kept + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = __fmul_rn(values[i], slope(inputs[i]));
    store_vector(dx + offset, values);
}
