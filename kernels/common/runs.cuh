// Runs of four neighbouring values: one access where all four are wanted, on a multiple of their size ("aligned"); else
// the first `count` one by one.
#pragma once
#include "vectors.cuh"

__device__ __forceinline__ void store_run(Value* place, const float (&values)[4], int count, bool aligned) {
    if (aligned) {
        store_vector(place, values);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
        if (e < count) store(place + e, values[e]);
}

__device__ __forceinline__ void load_run(float (&values)[4], const Value* place, int count, bool aligned) {
    if (aligned) {
        load_vector(values, place);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) values[e] = e < count ? load(place + e) : 0.f;
}

__device__ __forceinline__ void store_float_run(float* place, const float (&values)[4], int count, bool aligned) {
    if (aligned) {
        store_floats(place, values);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
        if (e < count) place[e] = values[e];
}

__device__ __forceinline__ void load_float_run(float (&values)[4], const float* place, int count, bool aligned) {
    if (aligned) {
        load_floats(values, place);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) values[e] = e < count ? place[e] : 0.f;
}
