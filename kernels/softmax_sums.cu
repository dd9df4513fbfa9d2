// Sum the figures of all pictures, and note whether the loss is a number.
//
//     sums[f] = SUM over pictures of figures[picture][f], f < 4; control->finite = sums[0] is finite (unless null)
//     and so were those of the batch's parts before
//
// One block: a thread sums every 256th picture, then the threads' sums are joined in pairs, always the same ones.
// Cost: reads 32 bytes a picture. Shared memory: 8 bytes a thread. Checked in tests/engine/test_softmax.py.
//
// dimensions: PICTURES
#include "primitives.cuh"
#include "control.cuh"
#include "reduce.cuh"

extern "C" __global__ void __launch_bounds__(256)
    softmax_sums(const double* __restrict__ figures, double* __restrict__ sums, Control* __restrict__ control) {
    SHARED(double, work);
    for (int f = 0; f < 4; ++f) {
        double sum = 0;
        for (int picture = threadIdx.x; picture < PICTURES; picture += blockDim.x) sum += figures[picture * 4 + f];
        sum = block_sum(sum, work);
        if (threadIdx.x > 0) continue;
        sums[f] = sum;
        if (f == 0 && control) control->finite = sum - sum == 0 && (control->part == 0 || control->finite);
    }
}
