// The activation that FUNCTION names, and its derivative from the output (cualex/engine/activations.py: formulas).
//
// expects: FUNCTION
#pragma once
#include "common/values.cuh"

#define TANH_FUNCTION 1
#define SIGMOID_FUNCTION 2
#define SOFTPLUS_FUNCTION 3
#define LINEAR_FUNCTION 4

// No exponential here overflows, and what is not a number stays.
__device__ __forceinline__ float activate(float x) {
    if (FUNCTION == TANH_FUNCTION) return tanhf(x);
    if (FUNCTION == LINEAR_FUNCTION) return x;
    const float small = expf(x < 0 ? x : -x);  // e^-|x|
    if (FUNCTION == SIGMOID_FUNCTION) return (x < 0 ? small : 1.0f) / (1.0f + small);
    return (x < 0 ? 0.0f : x) + log1pf(small);
}

__device__ __forceinline__ float slope(float y) {
    if (FUNCTION == TANH_FUNCTION) return __fsub_rn(1.0f, __fmul_rn(y, y));
    if (FUNCTION == SIGMOID_FUNCTION) return __fmul_rn(y, __fsub_rn(1.0f, y));
    if (FUNCTION == SOFTPLUS_FUNCTION) return -expm1f(-y);
    return 1;
}
