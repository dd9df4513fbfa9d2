// Turn scores into probabilities, and say how right they are, picture by picture.
//
//     y[c] = exp(x[c] - max x) / SUM exp(x - max x)
//     dx[c] = w[label] (y[c] - 1 at the label) / counted pictures / PARTS        loss = -w[label] log y[label]
//
//     x, y, dx: PICTURES x CLASSES (dx null in inference); labels: 2 x PICTURES, one row a slot, -1 is not counted
//     class_weights: the CLASSES floats of w where WEIGHTED, else null, and w is 1
//     figures: PICTURES x 4 of loss, right at the first, among the first five, counted (kernels/softmax_sums.cu)
//
// A block has a picture. A class is named before another when its score is higher or, among equals, its number lower;
// a score that is not a number is named last, and its class is never right. A maximum takes over what is not a number,
// and with it the loss. Sums are float64, in an order that only the number of threads decides.
// Cost: reads a row of scores three times (twice from the L1 cache), writes y and dx; every block reads all labels.
// Shared memory: 8 bytes a thread. Checked in tests/engine/test_softmax.py.
//
// dimensions: PICTURES CLASSES PARTS
// choices: PRECISION WEIGHTED
#include "primitives.cuh"
#include "values.cuh"
#include "control.cuh"
#include "reduce.cuh"

extern "C" __global__ void __launch_bounds__(256)
    softmax(const Value* __restrict__ x, const int* __restrict__ labels, const Control* __restrict__ control,
            Value* __restrict__ y, Value* __restrict__ dx, double* __restrict__ figures,
            const float* __restrict__ class_weights) {
    SHARED(double, work);
    int* integers = reinterpret_cast<int*>(work);
    float* floats = reinterpret_cast<float*>(work);
    const int* given = labels + control->slot * PICTURES;
    const size_t first = (size_t)blockIdx.x * CLASSES;
    const int label = given[blockIdx.x];

    int counted = 0;
    for (int i = threadIdx.x; i < PICTURES; i += blockDim.x) counted += given[i] >= 0;
    counted = block_sum(counted, integers);

    float highest = MINUS_INFINITY;
    const auto larger = [](float a, float b) { return a > b || a != a ? a : b; };
    for (int c = threadIdx.x; c < CLASSES; c += blockDim.x) highest = larger(highest, load(x + first + c));
    highest = block_join(highest, floats, larger);

    const float own = label < 0 ? 0 : load(x + first + label);
    double part = 0;
    int ahead = 0;
    for (int c = threadIdx.x; c < CLASSES; c += blockDim.x) {
        const float score = load(x + first + c);
        part += expf(score - highest);
        ahead += score > own || (score == own && c < label);
    }
    const double total = block_sum(part, work);
    ahead = block_sum(ahead, integers);

    // A part of the divisor: as a factor it would live across the division, and spill on sm_100. 0 makes that infinite.
    const float weight = WEIGHTED && label >= 0 ? class_weights[label] : 1;
    for (int c = threadIdx.x; c < CLASSES; c += blockDim.x) {
        const float probability = expf(load(x + first + c) - highest) / (float)total;
        store(y + first + c, probability);
        if (dx) store(dx + first + c, label < 0 ? 0 : (probability - (c == label)) / (counted * PARTS / weight));
    }
    if (threadIdx.x == 0) {
        double* row = figures + blockIdx.x * 4;
        const bool right = label >= 0 && own == own;
        row[0] = label < 0 ? 0 : weight * (log(total) - (double)(own - highest));
        row[1] = right && ahead < 1;
        row[2] = right && ahead < 5;
        row[3] = label >= 0;
    }
}
