// Epilogue of weight gradients (cualex/engine/cuda/update.py): KEEP stores them in `values`; SUM adds them there to
// those of earlier micro-batches; MOMENTUM, the default, updates the weights `values` and their copy for gemms, if there
// is one, and writes no gradient; of a split sum, gemm_splits.cu writes through this after it has added it up. After a
// loss that is not finite, MOMENTUM does nothing.
//
// expects: PRECISION
#pragma once
#include "momentum.cuh"
#include "fragments.cuh"

#define KEEP 0
#define MOMENTUM 1
#define SUM 2

struct Sink {
    int kind;
    float decay;  // multiplier of the weight decay
    bool bias;
    const Control* control;
    float* velocity;
    Value* copy;
    float factor;

    __device__ __forceinline__ bool idle() const { return kind == MOMENTUM && !control->finite; }

    // Write fragments of four gradients each, `stride` apart; `count` values exist from the first on. All reads are
    // issued before the first write, since the update is bound by memory latency.
    template <int fragments>
    __device__ __forceinline__ void write(float* values, size_t offset, const float (&gradient)[fragments][4],
                                          int stride, int count, bool aligned) const {
        if (kind != MOMENTUM) {
            const bool accumulates = kind == SUM && control->part > 0;
#pragma unroll
            for (int j = 0; j < fragments; ++j) {
                if (j * stride >= count) continue;
                float before[4], sums[4];
                if (accumulates) load_float_fragment(before, values + offset + j * stride, count - j * stride, aligned);
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    sums[e] = accumulates ? __fadd_rn(before[e], gradient[j][e]) : gradient[j][e];
                store_float_fragment(values + offset + j * stride, sums, count - j * stride, aligned);
            }
            return;
        }
        float weight[fragments][4] = {}, velocities[fragments][4] = {};
#pragma unroll
        for (int j = 0; j < fragments; ++j)
            if (j * stride < count) {
                load_float_fragment(weight[j], values + offset + j * stride, count - j * stride, aligned);
                load_float_fragment(velocities[j], velocity + offset + j * stride, count - j * stride, aligned);
            }
#pragma unroll
        for (int j = 0; j < fragments; ++j)
            if (j * stride < count) {
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    momentum_update(weight[j][e], velocities[j][e], gradient[j][e], control, decay, bias, factor);
                store_float_fragment(values + offset + j * stride, weight[j], count - j * stride, aligned);
                store_float_fragment(velocity + offset + j * stride, velocities[j], count - j * stride, aligned);
                if (PRECISION != FP32 && copy)
                    store_fragment(copy + offset + j * stride, weight[j], count - j * stride, aligned);
            }
    }
};
