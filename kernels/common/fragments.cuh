// Fragments of four neighbouring values: one vectorised access where all four exist and the address is a multiple of
// their size ("aligned"); else the first `count` one by one.
#pragma once
#include "vectors.cuh"

__device__ __forceinline__ void store_fragment(Value* address, const float (&values)[4], int count, bool aligned) {
    if (aligned) {
        store_vector(address, values);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
        if (e < count) store(address + e, values[e]);
}

__device__ __forceinline__ void load_fragment(float (&values)[4], const Value* address, int count, bool aligned) {
    if (aligned) {
        load_vector(values, address);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) values[e] = e < count ? load(address + e) : 0.f;
}

__device__ __forceinline__ void store_float_fragment(float* address, const float (&values)[4], int count,
                                                     bool aligned) {
    if (aligned) {
        store_floats(address, values);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
        if (e < count) address[e] = values[e];
}

__device__ __forceinline__ void load_float_fragment(float (&values)[4], const float* address, int count,
                                                    bool aligned) {
    if (aligned) {
        load_floats(values, address);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) values[e] = e < count ? address[e] : 0.f;
}
