// The activation FUNCTION and its derivative (formulas: cualex/engine/activations.py; PARAMETER is their a, OFFSET b).
//
// expects: FUNCTION PARAMETER OFFSET
#pragma once
#include "common/values.cuh"

#define TANH_FUNCTION 1
#define SIGMOID_FUNCTION 2
#define SOFTPLUS_FUNCTION 3
#define LINEAR_FUNCTION 4
#define LEAKY_RELU_FUNCTION 5
#define ELU_FUNCTION 6
#define GELU_FUNCTION 7
#define AFFINE_FUNCTION 8

// The distribution function of the standard normal distribution.
__device__ __forceinline__ float normal(float x) { return 0.5f * erfcf(-x * 0.70710678f); }

// No exponential here overflows, and NaN stays NaN.
__device__ __forceinline__ float activate(float x) {
    if (FUNCTION == TANH_FUNCTION) return tanhf(x);
    if (FUNCTION == LINEAR_FUNCTION) return x;
    if (FUNCTION == AFFINE_FUNCTION) return __fadd_rn(__fmul_rn(x, (float)(PARAMETER)), (float)(OFFSET));
    if (FUNCTION == LEAKY_RELU_FUNCTION) return x > 0 ? x : __fmul_rn(x, (float)(PARAMETER));
    if (FUNCTION == ELU_FUNCTION) return x > 0 ? x : __fmul_rn((float)(PARAMETER), expm1f(x));
    if (FUNCTION == GELU_FUNCTION) return x < -40 ? 0.0f : __fmul_rn(x, normal(x));  // -inf times 0 is NaN
    const float small = expf(x < 0 ? x : -x);  // e^-|x|
    if (FUNCTION == SIGMOID_FUNCTION) return (x < 0 ? small : 1.0f) / (1.0f + small);
    return (x < 0 ? 0.0f : x) + log1pf(small);
}

// The derivative: of GELU from the input, else from the output.
__device__ __forceinline__ float slope(float kept) {
    if (FUNCTION == TANH_FUNCTION) return __fsub_rn(1.0f, __fmul_rn(kept, kept));
    if (FUNCTION == SIGMOID_FUNCTION) return __fmul_rn(kept, __fsub_rn(1.0f, kept));
    if (FUNCTION == SOFTPLUS_FUNCTION) return -expm1f(-kept);
    if (FUNCTION == LEAKY_RELU_FUNCTION) return kept > 0 ? 1.0f : kept != kept ? kept : (float)(PARAMETER);
    if (FUNCTION == AFFINE_FUNCTION) return (float)(PARAMETER);
    if (FUNCTION == ELU_FUNCTION) return kept > 0 ? 1.0f : kept + (float)(PARAMETER);
    if (FUNCTION == GELU_FUNCTION) {
        const float clamped = kept < -40 ? -40.0f : kept > 40 ? 40.0f : kept;
        return normal(clamped) + clamped * 0.39894228f * expf(-0.5f * clamped * clamped);
    }
    return 1;
}
