// Updates of a parameter from a stored gradient: SGD with momentum, and Adam.
//
// Not launched by default: SGD with momentum updates the weights in the epilogue of the weight gradient
// (common/sink.cuh calls common/momentum.cuh), which then is never written. These kernels run where gradients are kept
// or accumulated first: `momentum` with --accumulate, `adam` with --optimizer adam.
//
//     weight, gradient and the averages: COUNT floats; copy: COUNT of bfloat16, or null
//
// A thread has one number; a warp accesses 128 contiguous bytes. Nothing changes after a loss that is not finite.
#include "common/control.cuh"
#include "common/values.cuh"

// --- momentum
// common/momentum.cuh has the formula. Cost: reads 12 bytes a number and writes 8, or 10 with the copy; 5 operations.
// Checked in tests/engine/cuda/test_update.py: the bits of the host engine.
//
// dimensions: COUNT BIAS
// reals: DECAY
// choices: PRECISION
#include "common/momentum.cuh"

extern "C" __global__ void __launch_bounds__(256)
    momentum(const float* __restrict__ gradient, const Control* __restrict__ control, float* __restrict__ weight,
             float* __restrict__ velocity, unsigned short* __restrict__ copy, float factor) {
    const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (offset >= COUNT || !control->finite) return;
    float w = weight[offset], v = velocity[offset];
    momentum_update(w, v, gradient[offset], control, DECAY, BIAS != 0, factor);
    weight[offset] = w;
    velocity[offset] = v;
    if (copy) copy[offset] = to_bf16(w);
}

// --- adam
// Adam as Keras has it.
//
//     g  <-  gradient + DECAY * decay * w              (decay as in an L2 penalty; 0 if not asked for)
//     m  <-  m + (g - m) * (1 - first)                 averages of the gradient and of its square
//     s  <-  s + (g * g - s) * (1 - second)
//     w  <-  w - m * corrected * factor / (sqrt(s) + EPSILON)
//
// Both averages begin at zero; the bias corrections are folded into the rate (Control.corrected in
// cualex/devices/control.py). EPSILON is added to the uncorrected root: PyTorch adds it after the correction of s, so
// that it is larger here by 1 / sqrt(1 - second^t). Kingma and Ba (2015), end of section 2. Operations are those of
// the host engine, each rounded once. Cost: reads 16 bytes a number and writes 12, or 14 with the copy; 14 operations.
// Checked in tests/engine/test_adam.py: the bits of the host engine.
//
// dimensions: COUNT BIAS
// reals: DECAY FRESH_FIRST FRESH_SECOND EPSILON
// choices: PRECISION
extern "C" __global__ void __launch_bounds__(256)
    adam(const float* __restrict__ gradient, const Control* __restrict__ control, float* __restrict__ weight,
         float* __restrict__ first, float* __restrict__ second, unsigned short* __restrict__ copy, float factor) {
    const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (offset >= COUNT || !control->finite) return;
    float g = gradient[offset], m = first[offset], s = second[offset], w = weight[offset];
    if (DECAY != 0 && control->decay != 0) g = __fadd_rn(g, __fmul_rn(w, __fmul_rn(control->decay, DECAY)));
    m = __fadd_rn(m, __fmul_rn(__fsub_rn(g, m), FRESH_FIRST));
    s = __fadd_rn(s, __fmul_rn(__fsub_rn(__fmul_rn(g, g), s), FRESH_SECOND));
    const float rate = __fmul_rn(BIAS ? control->bias_corrected : control->corrected, factor);
    w = __fsub_rn(w, __fdiv_rn(__fmul_rn(m, rate), __fadd_rn(__fsqrt_rn(s), EPSILON)));
    first[offset] = m;
    second[offset] = s;
    weight[offset] = w;
    if (copy) copy[offset] = to_bf16(w);
}
