// Pass the gradient where the output is positive: dx = dy where y > 0, else 0.
//
//     y, dy, dx: COUNT values; dx may be dy; a thread has VECTOR of them
//
// Cost: reads y and dy and writes dx once. Checked in tests/engine/test_relu.py.
//
// dimensions: COUNT
// choices: PRECISION VECTOR
#include "vectors.cuh"

extern "C" __global__ void __launch_bounds__(256)
    relu_backward(const Value* __restrict__ y, const Value* dy, Value* dx) {
    const size_t place = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (place >= COUNT) return;
    float values[VECTOR], outputs[VECTOR];
    load_vector(values, dy + place);
    load_vector(outputs, y + place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = outputs[i] > 0 ? values[i] : 0;
    store_vector(dx + place, values);
}
