// Join one number of each thread of a block, in an order that depends on nothing but the number of threads (a power
// of two); every thread gets the result. `work` is shared memory for one number a thread.
#pragma once

template <class Number, class Join>
__device__ __forceinline__ Number block_join(Number own, Number* work, Join join) {
    work[threadIdx.x] = own;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) work[threadIdx.x] = join(work[threadIdx.x], work[threadIdx.x + half]);
    }
    __syncthreads();
    const Number joined = work[0];
    __syncthreads();  // before the memory is used again
    return joined;
}

template <class Number>
__device__ __forceinline__ Number block_sum(Number own, Number* work) {
    return block_join(own, work, [](Number a, Number b) { return a + b; });
}
