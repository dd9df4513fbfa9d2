// Epilogue of an input gradient: with ADD it is added to that of the first tower, already in `y`, both rounded as they
// are stored; with `relu_of`, the input itself, it is multiplied by the derivative of the ReLU that made the input.
//
// expects: ADD
#pragma once
#include "fragments.cuh"

__device__ __forceinline__ void accumulate_fragment(Value* y, const Value* relu_of, size_t offset, float (&values)[4],
                                               int count, bool aligned) {
    float stored[4];
    if (ADD) {
        load_fragment(stored, y + offset, count, aligned);
#pragma unroll
        for (int e = 0; e < 4; ++e) values[e] = stored[e] + rounded(values[e]);
    }
    if (relu_of) {
        load_fragment(stored, relu_of + offset, count, aligned);
#pragma unroll
        for (int e = 0; e < 4; ++e) values[e] = stored[e] > 0 ? values[e] : 0.f;
    }
    store_fragment(y + offset, values, count, aligned);
}
