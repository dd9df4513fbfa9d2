// The update rule of section 5 of the paper, in the order of operations of cualex/engine/host/update.py:
//
//     v  <-  momentum * v - rate * g - (rate * decay) * w
//     w  <-  w + v
//
// Each operation rounds once: no two are contracted, so the fused and the plain update give the same bits.
#pragma once
#include "control.cuh"

__device__ __forceinline__ void momentum_update(float& weight, float& velocity, float gradient, const Control* control,
                                                bool decays) {
    velocity = __fsub_rn(__fmul_rn(velocity, control->momentum), __fmul_rn(gradient, control->rate));
    if (decays) velocity = __fsub_rn(velocity, __fmul_rn(weight, control->shrink));
    weight = __fadd_rn(weight, velocity);
}
