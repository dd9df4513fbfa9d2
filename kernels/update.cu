// Updates of a parameter from a stored gradient: SGD with momentum, Adam, and LARS.
//
// Not launched by default: SGD with momentum updates the weights in the epilogue of the weight gradient
// (common/sink.cuh calls common/momentum.cuh), which then is never written. These kernels run where gradients are kept
// or accumulated first: `momentum` with --accumulate, `adam` with --optimizer adam, and with --optimizer lars three:
// `lars_sums`, `lars_rates`, `lars`.
//
//     weight, gradient and the averages: COUNT floats; copy: COUNT of those that gemms read, or null
//
// A thread has one number; a warp accesses 128 contiguous bytes. Nothing changes after a loss that is not finite.
#include "common/control.cuh"

// --- momentum
// common/momentum.cuh has the formula. Cost: reads 12 bytes a number and writes 8, with the copy 10 (bf16) or 12;
// 5 operations.
// Checked in tests/engine/cuda/test_update.py: the bits of the host engine.
//
// dimensions: COUNT BIAS
// reals: DECAY
// choices: PRECISION
#include "common/momentum.cuh"
#include "common/values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    momentum(const float* __restrict__ gradient, const Control* __restrict__ control, float* __restrict__ weight,
             float* __restrict__ velocity, Value* __restrict__ copy, float factor) {
    const size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (offset >= COUNT || !control->finite) return;
    float w = weight[offset], v = velocity[offset];
    momentum_update(w, v, gradient[offset], control, DECAY, BIAS != 0, factor);
    weight[offset] = w;
    velocity[offset] = v;
    if (PRECISION != FP32 && copy) store(copy + offset, w);
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
// the host engine, each rounded once. Cost: reads 16 bytes a number and writes 12, with the copy 14 (bf16) or 16;
// 14 operations.
// Checked in tests/engine/test_adam.py: the bits of the host engine.
//
// dimensions: COUNT BIAS
// reals: DECAY FRESH_FIRST FRESH_SECOND EPSILON
// choices: PRECISION
#include "common/values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    adam(const float* __restrict__ gradient, const Control* __restrict__ control, float* __restrict__ weight,
         float* __restrict__ first, float* __restrict__ second, Value* __restrict__ copy, float factor) {
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
    if (PRECISION != FP32 && copy) store(copy + offset, w);
}

// --- lars_sums
// LARS, first of three: sums of squares, a piece of a tower's weights and gradient each.
//
//     sums[0, t, b] = SUM weight[t, i]^2,  sums[1, t, b] = SUM gradient[t, i]^2,  i = b PIECE ... (b + 1) PIECE - 1
//
// A thread squares and adds every blockDim-th number of its block's piece in float64, where the square of a float is
// exact; then a block's sums are reduced as a tree. The order depends on nothing but COUNT. blocks: x the piece, z the
// tower. sums: 2 x towers x pieces doubles. Cost: reads 8 bytes a number; 4 operations. Shared memory: 8 bytes a
// thread. Checked in tests/engine/test_lars.py: the bits of the host engine.
//
// dimensions: COUNT PIECE
#include "common/primitives.cuh"
#include "common/reduce.cuh"

extern "C" __global__ void __launch_bounds__(256)
    lars_sums(const float* __restrict__ weight, const float* __restrict__ gradient, double* __restrict__ sums) {
    SHARED(double, work);
    const size_t start = (size_t)blockIdx.z * COUNT, first = (size_t)blockIdx.x * PIECE;
    const size_t end = min(first + PIECE, (size_t)COUNT);
    double weights = 0, gradients = 0;
    for (size_t i = first + threadIdx.x; i < end; i += blockDim.x) {
        const double w = weight[start + i], g = gradient[start + i];
        weights = __dadd_rn(weights, __dmul_rn(w, w));
        gradients = __dadd_rn(gradients, __dmul_rn(g, g));
    }
    weights = block_sum(weights, work);
    gradients = block_sum(gradients, work);
    if (threadIdx.x) return;
    const size_t own = (size_t)blockIdx.z * gridDim.x + blockIdx.x;
    sums[own] = weights;
    sums[(size_t)gridDim.z * gridDim.x + own] = gradients;
}

// --- lars_rates
// LARS, second of three: the local rate of each tower's share of a parameter.
//
//     L[t] = trust * |w| / (|g| + DECAY * decay * |w|),    trust where |w| or |g| is 0
//
// A norm of up to SMALLEST counts as 0, so that no quotient overflows. Norms are roots of the sums over PIECES pieces,
// added as those of a piece are; all in float64, rounded once at the end. A block has a tower. rates: a float a tower. Cost: reads 16 bytes a piece. Shared memory: 8 bytes a thread.
// Checked in tests/engine/test_lars.py: the bits of the host engine.
//
// dimensions: PIECES
// reals: DECAY SMALLEST
#include "common/primitives.cuh"
#include "common/reduce.cuh"

extern "C" __global__ void __launch_bounds__(256)
    lars_rates(const double* __restrict__ sums, const Control* __restrict__ control, float* __restrict__ rates) {
    SHARED(double, work);
    const double* gradient_sums = sums + (size_t)gridDim.x * PIECES;
    double weights = 0, gradients = 0;
    for (unsigned i = threadIdx.x; i < PIECES; i += blockDim.x) {
        weights = __dadd_rn(weights, sums[(size_t)blockIdx.x * PIECES + i]);
        gradients = __dadd_rn(gradients, gradient_sums[(size_t)blockIdx.x * PIECES + i]);
    }
    weights = sqrt(block_sum(weights, work));
    gradients = sqrt(block_sum(gradients, work));
    if (threadIdx.x) return;
    const double trust = control->trust, decay = __fmul_rn(control->decay, DECAY);
    const bool moves = weights > SMALLEST && gradients > SMALLEST;
    const double local = __dmul_rn(trust, weights) / __dadd_rn(gradients, __dmul_rn(decay, weights));
    rates[blockIdx.x] = (float)(moves ? local : trust);
}

// --- lars
// LARS, third of three: SGD with momentum (common/momentum.cuh), where L[t] multiplies the learning-rate multiplier.
//
//     v  <-  momentum * v - f L rate * g - d f L (rate * decay) * w
//     w  <-  w + v
//
// You, Gitman and Ginsburg (2017). arrays: towers x COUNT; rates: a float a tower. blocks: x the numbers, z the tower.
// Cost: as `momentum`. Checked in tests/engine/test_lars.py: the bits of the host engine.
//
// dimensions: COUNT BIAS
// reals: DECAY
// choices: PRECISION
#include "common/momentum.cuh"
#include "common/values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    lars(const float* __restrict__ gradient, const Control* __restrict__ control, float* __restrict__ weight,
         float* __restrict__ velocity, const float* __restrict__ rates, Value* __restrict__ copy,
         float factor) {
    const size_t own = (size_t)blockIdx.x * blockDim.x + threadIdx.x, offset = (size_t)blockIdx.z * COUNT + own;
    if (own >= COUNT || !control->finite) return;
    float w = weight[offset], v = velocity[offset];
    momentum_update(w, v, gradient[offset], control, DECAY, BIAS != 0, __fmul_rn(factor, rates[blockIdx.z]));
    weight[offset] = w;
    velocity[offset] = v;
    if (PRECISION != FP32 && copy) store(copy + offset, w);
}
