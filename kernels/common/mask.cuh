// Filters that were packed with the pixels of BLOCK x BLOCK as channels may reach beyond their SIZE: no gradient there.
//
// A window is then (r, s, row in block, column in block, colour), and the filter's own row is r * BLOCK + row in block.
// With BLOCK 1 nothing is masked.
//
// expects: BLOCK CHANNELS FILTER_SIZE SIZE
#pragma once

#define COLOURS (CHANNELS / (BLOCK * BLOCK))

// Set to zero those of four values of the window, from index `first` on, that are beyond the filter.
__device__ __forceinline__ void mask_run(float (&values)[4], unsigned first) {
    if (BLOCK > 1) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            unsigned index = (first + e) / COLOURS, tap = index / (BLOCK * BLOCK);
            int column = tap % FILTER_SIZE * BLOCK + index % BLOCK;
            int row = tap / FILTER_SIZE % FILTER_SIZE * BLOCK + index / BLOCK % BLOCK;
            if (row >= SIZE || column >= SIZE) values[e] = 0;
        }
    }
}
