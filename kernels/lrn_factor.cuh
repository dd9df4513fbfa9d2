// s^-BETA and 1 / s, for both kinds of local response normalisation. Wants the reals K and BETA.
//
// At the paper's 3/4 two reciprocal roots do it: with r = s^-1/2, s^-3/4 = r^2 * r^-1/2. An infinite sum of squares gives
// what is not a number, which the loss then shows. A window of zeros, which takes K = 0, gives 0 and 0; the roots take
// what is smaller than a normal number for zero, so that counts as one.
#pragma once
#include "primitives.cuh"

#define SMALLEST_NORMAL __uint_as_float(0x00800000u)

__device__ __forceinline__ float lrn_factor(float base, float& inverse) {
    if (K == 0 && base < SMALLEST_NORMAL) {
        inverse = 0;
        return 0;
    }
    if (BETA == 0.75f) {
        const float root = reciprocal_root(base);
        inverse = __fmul_rn(root, root);
        return __fmul_rn(inverse, reciprocal_root(root));
    }
    inverse = 1.0f / base;
    return powf(base, -BETA);
}
