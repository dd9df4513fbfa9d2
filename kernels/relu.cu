// ReLU: y = max(x, 0), and dx = dy where y > 0, else 0.
//
//     x, y, dy, dx: COUNT values; dx may be dy; a thread has VECTOR of them
//
// NaN stays NaN. Cost: forward reads x and writes y once; backward reads y and dy and writes dx once.
// Checked in tests/engine/test_relu.py.
//
// dimensions: COUNT
// choices: PRECISION VECTOR
#include "common/vectors.cuh"

// --- relu_forward
extern "C" __global__ void __launch_bounds__(256) relu_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const size_t offset = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (offset >= COUNT) return;
    float values[VECTOR];
    load_vector(values, x + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = values[i] <= 0 ? 0 : values[i];
    store_vector(y + offset, values);
}

// --- relu_backward
extern "C" __global__ void __launch_bounds__(256)
    relu_backward(const Value* __restrict__ y, const Value* dy, Value* dx) {
    const size_t offset = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (offset >= COUNT) return;
    float values[VECTOR], outputs[VECTOR];
    load_vector(values, dy + offset);
    load_vector(outputs, y + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = outputs[i] > 0 ? values[i] : 0;
    store_vector(dx + offset, values);
}
