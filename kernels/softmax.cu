// Softmax, its cross-entropy loss and gradient, and the counts of top-1 and top-5.
//
//     y[c] = exp(x[c] - max x) / SUM exp(x - max x)
//     dx[c] = w[label] (y[c] - 1 at the label) / counted images / PARTS        loss = -w[label] log y[label]
//
//     x, y, dx: BATCH x CLASSES; figures: BATCH x 4 of loss, top-1, top-5, counted, in float64
//
// Shared memory: 8 bytes a thread. Checked in tests/engine/test_softmax.py.
//
// dimensions: BATCH
#include "common/control.cuh"
#include "common/primitives.cuh"
#include "common/reduce.cuh"

// --- softmax
//     dx: null in inference; labels: 2 x BATCH, one row an input slot, -1 is not counted
//     class_weights: the CLASSES floats of w where WEIGHTED, else null, and w is 1
//
// A block has an image. A class ranks before another when its score is higher or, among equals, its index lower; a NaN
// ranks last, and its class is never correct. NaN propagates through the maximum to the loss. Sums are float64, in an
// order that only the number of threads decides.
// Cost: reads a row of scores three times (twice from the L1 cache), writes y and dx; every block reads all labels.
//
// dimensions: CLASSES PARTS
// choices: PRECISION WEIGHTED
#include "common/values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    softmax(const Value* __restrict__ x, const int* __restrict__ labels, const Control* __restrict__ control,
            Value* __restrict__ y, Value* __restrict__ dx, double* __restrict__ figures,
            const float* __restrict__ class_weights) {
    SHARED(double, work);
    int* integers = reinterpret_cast<int*>(work);
    float* floats = reinterpret_cast<float*>(work);
    const int* given = labels + control->slot * BATCH;
    const size_t first = (size_t)blockIdx.x * CLASSES;
    const int label = given[blockIdx.x];

    int counted = 0;
    for (int i = threadIdx.x; i < BATCH; i += blockDim.x) counted += given[i] >= 0;
    counted = block_sum(counted, integers);

    float highest = MINUS_INFINITY;
    const auto larger = [](float a, float b) { return a > b || a != a ? a : b; };
    for (int c = threadIdx.x; c < CLASSES; c += blockDim.x) highest = larger(highest, load(x + first + c));
    highest = block_reduce(highest, floats, larger);

    const float label_score = label < 0 ? 0 : load(x + first + label);
    double part = 0;
    int rank = 0;  // classes that rank before the label
    for (int c = threadIdx.x; c < CLASSES; c += blockDim.x) {
        const float score = load(x + first + c);
        part += expf(score - highest);
        rank += score > label_score || (score == label_score && c < label);
    }
    const double total = block_sum(part, work);
    rank = block_sum(rank, integers);

    // In the divisor: as a factor it would be live across the division, and spill on sm_100. 0 makes that infinite.
    const float weight = WEIGHTED && label >= 0 ? class_weights[label] : 1;
    for (int c = threadIdx.x; c < CLASSES; c += blockDim.x) {
        const float probability = expf(load(x + first + c) - highest) / (float)total;
        store_unrounded(y + first + c, probability);  // read by people
        if (dx) store(dx + first + c, label < 0 ? 0 : (probability - (c == label)) / (counted * PARTS / weight));
    }
    if (threadIdx.x == 0) {
        double* row = figures + blockIdx.x * 4;
        const bool valid = label >= 0 && label_score == label_score;
        row[0] = label < 0 ? 0 : weight * (log(total) - (double)(label_score - highest));
        row[1] = valid && rank < 1;
        row[2] = valid && rank < 5;
        row[3] = label >= 0;
    }
}

// --- softmax_sums
//     sums[f] = SUM over images of figures[image][f], f < 4; control->finite = sums[0] is finite (unless control is
//     null) and so were those of earlier micro-batches
//
// One block: a thread sums every 256th image, then the threads' sums are reduced as a tree, always the same one.
// Cost: reads 32 bytes an image.
extern "C" __global__ void __launch_bounds__(256)
    softmax_sums(const double* __restrict__ figures, double* __restrict__ sums, Control* __restrict__ control) {
    SHARED(double, work);
    for (int f = 0; f < 4; ++f) {
        double sum = 0;
        for (int image = threadIdx.x; image < BATCH; image += blockDim.x) sum += figures[image * 4 + f];
        sum = block_sum(sum, work);
        if (threadIdx.x > 0) continue;
        sums[f] = sum;
        if (f == 0 && control) control->finite = sum - sum == 0 && (control->part == 0 || control->finite);
    }
}
