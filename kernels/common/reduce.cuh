// Block-wide tree reduction of one number per thread, in an order that depends on nothing but the number of threads (a
// power of two); every thread gets the result. `work` is shared memory for one number per thread.
#pragma once

template <class Number, class Combine>
__device__ __forceinline__ Number block_reduce(Number value, Number* work, Combine combine) {
    work[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) work[threadIdx.x] = combine(work[threadIdx.x], work[threadIdx.x + half]);
    }
    __syncthreads();
    const Number reduced = work[0];
    __syncthreads();  // before the memory is used again
    return reduced;
}

template <class Number>
__device__ __forceinline__ Number block_sum(Number value, Number* work) {
    return block_reduce(value, work, [](Number a, Number b) { return a + b; });
}
