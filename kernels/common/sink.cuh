// Where weight gradients go, as cualex/engine/cuda/update.py has it: KEEP stores them in `values`, SUM adds them there
// to those of the batch's parts before; MOMENTUM updates the weights `values`, and their copy in bfloat16 where there
// is one; after a loss that was not finite it does nothing.
//
// expects: PRECISION
#pragma once
#include "momentum.cuh"
#include "runs.cuh"

#define KEEP 0
#define MOMENTUM 1
#define SUM 2

struct Sink {
    int kind;
    bool decays, bias;
    const Control* control;
    float* velocity;
    unsigned short* copy;
    float factor;

    __device__ __forceinline__ bool idle() const { return kind == MOMENTUM && !control->finite; }

    // Take runs of four values each, `spread` apart, of which `count` values are there from the first on. All that is
    // needed is read before anything is written: this is where the update waits for memory.
    template <int runs>
    __device__ __forceinline__ void take(float* values, size_t place, const float (&gradient)[runs][4], int spread,
                                         int count, bool aligned) const {
        if (kind != MOMENTUM) {
            const bool adds = kind == SUM && control->part > 0;
#pragma unroll
            for (int j = 0; j < runs; ++j) {
                if (j * spread >= count) continue;
                float before[4], sums[4];
                if (adds) load_float_run(before, values + place + j * spread, count - j * spread, aligned);
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[e] = adds ? __fadd_rn(before[e], gradient[j][e]) : gradient[j][e];
                store_float_run(values + place + j * spread, sums, count - j * spread, aligned);
            }
            return;
        }
        float weight[runs][4] = {}, speed[runs][4] = {};
#pragma unroll
        for (int j = 0; j < runs; ++j)
            if (j * spread < count) {
                load_float_run(weight[j], values + place + j * spread, count - j * spread, aligned);
                load_float_run(speed[j], velocity + place + j * spread, count - j * spread, aligned);
            }
#pragma unroll
        for (int j = 0; j < runs; ++j)
            if (j * spread < count) {
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    momentum_update(weight[j][e], speed[j][e], gradient[j][e], control, decays, bias, factor);
                store_float_run(values + place + j * spread, weight[j], count - j * spread, aligned);
                store_float_run(velocity + place + j * spread, speed[j], count - j * spread, aligned);
                if (copy) {
#if PRECISION == BF16
                    store_run(copy + place + j * spread, weight[j], count - j * spread, aligned);
#endif
                }
            }
    }
};
