// SGD with momentum and weight decay as in section 5 of the paper, in the order of operations of
// cualex/engine/host/update.py. By default the epilogue of the weight gradients calls it (common/sink.cuh).
//
//     v  <-  momentum * v - f rate * g - f (rate * decay) * w
//     w  <-  w + v
//
// f is the parameter's learning-rate multiplier; biases have their own learning rate.
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
