// Space-to-depth filters, with BLOCK x BLOCK pixels as channels, are zero-padded beyond their SIZE: no gradient there.
//
// A weight's index is (r, s, row in block, column in block, colour); its row in the filter is r * BLOCK + row in block.
// With BLOCK 1 nothing is masked.
//
// expects: BLOCK CHANNELS FILTER_SIZE SIZE
#pragma once

#define COLOURS (CHANNELS / (BLOCK * BLOCK))

// Set to zero those of four weight gradients, from index `first` on, that lie beyond the filter.
__device__ __forceinline__ void mask_fragment(float (&values)[4], unsigned first) {
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
