// What becomes of the sums of an input gradient: with ADD they are added to those of the first tower, which stand there
// already, both rounded as they are stored; `relu_of`, the values of the input itself, may take the ReLU's derivative.
//
// expects: ADD
#pragma once
#include "runs.cuh"

__device__ __forceinline__ void accumulate_run(Value* y, const Value* relu_of, size_t place, float (&values)[4],
                                               int count, bool aligned) {
    float there[4];
    if (ADD) {
        load_run(there, y + place, count, aligned);
#pragma unroll
        for (int e = 0; e < 4; ++e) values[e] = there[e] + rounded(values[e]);
    }
    if (relu_of) {
        load_run(there, relu_of + place, count, aligned);
#pragma unroll
        for (int e = 0; e < 4; ++e) values[e] = there[e] > 0 ? values[e] : 0.f;
    }
    store_run(y + place, values, count, aligned);
}
