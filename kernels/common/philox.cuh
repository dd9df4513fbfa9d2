// Philox4x32 with ten rounds: four random words as a pure function of a counter and a key (cualex/random/philox.py).
//
//     key      = (seed[0:32],  seed[32:40] << 24 | purpose << 16 | layer)
//     counter  = (block low, block high, step low, step high)          element e is word e % 4 of block e / 4
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.
#pragma once
#include "control.cuh"

#define PHILOX_DROPOUT 2  // the purpose: DROPOUT in cualex/random/philox.py

__device__ __forceinline__ void philox(unsigned (&words)[4], unsigned long long block, const Control* control,
                                       unsigned purpose, unsigned layer) {
    unsigned key = control->seed_low, other_key = control->seed_high << 24 | purpose << 16 | layer;
    words[0] = (unsigned)block, words[1] = (unsigned)(block >> 32), words[2] = control->step, words[3] = 0;
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned low = words[0] * 0xD2511F53u, high = __umulhi(words[0], 0xD2511F53u);
        const unsigned other_low = words[2] * 0xCD9E8D57u, other_high = __umulhi(words[2], 0xCD9E8D57u);
        words[0] = other_high ^ words[1] ^ key;
        words[2] = high ^ words[3] ^ other_key;
        words[1] = other_low;
        words[3] = low;
        key += 0x9E3779B9u;
        other_key += 0xBB67AE85u;
    }
}
