// SGD with momentum and weight decay as in section 5 of the paper, in the order of operations of
// cualex/engine/host/update.py. By default the epilogue of the weight gradients calls it (common/sink.cuh).
//
//     v  <-  momentum * v - f rate * g - d f (rate * decay) * w
//     w  <-  w + v
//
// f is the parameter's learning-rate multiplier and d that of its decay, 0 for none; biases have their own rate.
// Each operation rounds once: no two are contracted, so the fused and the plain update give the same bits.
#pragma once
#include "control.cuh"

__device__ __forceinline__ void momentum_update(float& weight, float& velocity, float gradient, const Control* control,
                                                float decay, bool bias, float factor) {
    const float rate = __fmul_rn(bias ? control->bias_rate : control->rate, factor);
    velocity = __fsub_rn(__fmul_rn(velocity, control->momentum), __fmul_rn(gradient, rate));
    if (decay != 0) {
        const float shrink = __fmul_rn(__fmul_rn(control->shrink, factor), decay);
        velocity = __fsub_rn(velocity, __fmul_rn(weight, shrink));
    }
    weight = __fadd_rn(weight, velocity);
}
