// Add: y = y + x, the gradients of shared maps from several towers.
//
//     x, y: COUNT values; a thread has VECTOR of them
//
// Cost: reads x and y and writes y once. Checked in tests/engine/test_exchange.py.
//
// dimensions: COUNT
// choices: PRECISION VECTOR
#include "common/vectors.cuh"

extern "C" __global__ void __launch_bounds__(256) add(const Value* __restrict__ x, Value* __restrict__ y) {
    const size_t offset = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (offset >= COUNT) return;
    float values[VECTOR], others[VECTOR];
    load_vector(values, y + offset);
    load_vector(others, x + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] += others[i];
    store_vector(y + offset, values);
}
