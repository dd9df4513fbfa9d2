// Sum absolute values, for the watch on training: one sum a block.
//
//     sums[b] = SUM |values[i]| over i = b * blockDim + t, and every gridDim * blockDim further
//
//     values: COUNT floats; sums: a double a block
//
// A thread adds its own values in float64; then a block's threads are joined in pairs, always the same ones. What is
// not finite makes the sum not finite, and nothing else does: 2^31 of the largest floats fit into a double.
// Cost: reads 4 bytes a value, one addition. Shared memory: 8 bytes a thread. Checked in tests/engine/test_statistics.py.
//
// dimensions: COUNT
#include "primitives.cuh"
#include "reduce.cuh"

extern "C" __global__ void __launch_bounds__(256)
    absolute_sums(const float* __restrict__ values, double* __restrict__ sums) {
    SHARED(double, work);
    double own = 0;
    for (size_t place = (size_t)blockIdx.x * blockDim.x + threadIdx.x; place < COUNT;
         place += (size_t)gridDim.x * blockDim.x)
        own += fabsf(values[place]);
    const double sum = block_sum(own, work);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
