// Set what is negative to zero: y = max(x, 0); what is not a number stays.
//
//     x, y: COUNT values; a thread has VECTOR of them
//
// Cost: reads x and writes y once. Checked in tests/engine/test_relu.py.
//
// dimensions: COUNT
// choices: PRECISION VECTOR
#include "vectors.cuh"

extern "C" __global__ void __launch_bounds__(256) relu_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const size_t place = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (place >= COUNT) return;
    float values[VECTOR];
    load_vector(values, x + place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = values[i] <= 0 ? 0 : values[i];
    store_vector(y + place, values);
}
