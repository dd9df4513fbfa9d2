// The update rule of section 5 of the paper, in the order of operations of cualex/engine/host/update.py:
//
//     v  <-  momentum * v - f rate * g - f (rate * decay) * w
//     w  <-  w + v
//
// f is the parameter's own factor of the rate; biases have a rate of their own.
// Each operation rounds once: no two are contracted, so the fused and the plain update give the same bits.
#pragma once
#include "control.cuh"

__device__ __forceinline__ void momentum_update(float& weight, float& velocity, float gradient, const Control* control,
                                                bool decays, bool bias, float factor) {
    const float rate = __fmul_rn(bias ? control->bias_rate : control->rate, factor);
    velocity = __fsub_rn(__fmul_rn(velocity, control->momentum), __fmul_rn(gradient, rate));
    if (decays) velocity = __fsub_rn(velocity, __fmul_rn(weight, __fmul_rn(control->shrink, factor)));
    weight = __fadd_rn(weight, velocity);
}
