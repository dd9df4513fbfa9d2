// Batch normalisation: each channel by its mean and variance over images and pixels, and its gradients.
//
//     y = weight * (x - mean) * r + bias,    r = 1 / sqrt(variance + EPSILON)
//     dbias = SUM dy,    dweight = SUM dy (x - mean) * r
//     dx = weight * r * (dy - dbias / PIXELS - (x - mean) * r * dweight / PIXELS)
//
//     x, y, dy, dx: towers x PIXELS x CHANNELS values; all else: towers x CHANNELS floats
//     A pixel is one of an image, a row and a column of one tower.
//
// Sums are made in two stages: batchnorm_sums writes slabs of float64, some of the pixels a block;
// batchnorm_statistics and batchnorm_slopes add these up in their order. Checked in tests/engine/test_batchnorm.py.

// --- batchnorm_sums
// Sum over some of the pixels what the second stage needs of each channel.
//
//     forward:   SUM (x - pivot),  SUM (x - pivot)^2          the pivot is the channel's first value of the tower
//     backward:  SUM dy,           SUM dy (x - mean)
//
//     slabs: SPLITS x 2 x towers x CHANNELS of double; dy and mean are null in forward
//
// Blocks: x 32 runs of EACH channels, y the split, z the tower. A warp's threads lie side by side along the channels,
// its eight warps take pixels in turn; their sums are added in the order of the warps. About a pivot, squares lose
// no precision to a mean that is far from zero.
// Cost: reads x (and dy) once; 2 operations in float64 a value. Shared memory: 4096 * EACH bytes.
//
// dimensions: PIXELS CHANNELS SPLITS
// choices: PRECISION EACH BACKWARD
#include "common/vectors.cuh"

extern "C" __global__ void __launch_bounds__(256, 4)
    batchnorm_sums(const Value* __restrict__ x, const Value* __restrict__ dy, const float* __restrict__ mean,
                   double* __restrict__ slabs) {
    SHARED(double, work);
    const int warps = 8, threads = 32 * warps, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int channel = (blockIdx.x * 32 + lane) * EACH, tower = blockIdx.z, split = blockIdx.y;
    const size_t start = (size_t)tower * PIXELS * CHANNELS + channel;
    double sums[2][EACH] = {};
    if (channel < CHANNELS) {
        float middle[EACH];
        if (BACKWARD)
            load_floats(middle, mean + (size_t)tower * CHANNELS + channel);
        else
            load_vector(middle, x + start);
        const int first = (int)((long long)PIXELS * split / SPLITS);
        const int last = (int)((long long)PIXELS * (split + 1) / SPLITS);
        for (int pixel = first + warp; pixel < last; pixel += warps) {
            float values[EACH], slopes[EACH] = {};
            load_vector(values, x + start + (size_t)pixel * CHANNELS);
            if (BACKWARD) load_vector(slopes, dy + start + (size_t)pixel * CHANNELS);
#pragma unroll
            for (int i = 0; i < EACH; ++i) {
                const double one = BACKWARD ? (double)slopes[i] : (double)values[i] - middle[i];
                sums[0][i] += one;
                sums[1][i] += BACKWARD ? (double)((values[i] - middle[i]) * slopes[i]) : one * one;
            }
        }
    }
#pragma unroll
    for (int k = 0; k < 2; ++k)
#pragma unroll
        for (int i = 0; i < EACH; ++i) work[(k * EACH + i) * threads + threadIdx.x] = sums[k][i];
    __syncthreads();
    for (int o = threadIdx.x; o < 2 * 32 * EACH; o += threads) {
        const int k = o / (32 * EACH), c = o % (32 * EACH), channel_out = blockIdx.x * 32 * EACH + c;
        if (channel_out >= CHANNELS) continue;
        double sum = 0;
        for (int w = 0; w < warps; ++w) sum += work[(k * EACH + c % EACH) * threads + w * 32 + c / EACH];
        slabs[((size_t)(split * 2 + k) * gridDim.z + tower) * CHANNELS + channel_out] = sum;
    }
}

// --- batchnorm_statistics
// Make the batch's mean and biased variance of each channel from the sums about its pivot.
//
//     mean = pivot + S1 / PIXELS,    variance = S2 / PIXELS - (S1 / PIXELS)^2       S1, S2 summed over splits, in order
//
//     slabs: SPLITS x 2 x CHANNELS of double; x: towers x PIXELS x LENGTH, whose first pixels hold the pivots
//     mean, variance: CHANNELS floats; the CHANNELS are LENGTH of each tower
//
// A thread has a channel. Cost: reads 16 * SPLITS bytes a channel, writes 8.
//
// dimensions: PIXELS CHANNELS LENGTH SPLITS
// choices: PRECISION
#include "common/values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_statistics(const double* __restrict__ slabs, const Value* __restrict__ x, float* __restrict__ mean,
                         float* __restrict__ variance) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= CHANNELS) return;
    double first = 0, second = 0;
    for (int split = 0; split < SPLITS; ++split) {
        first += slabs[(size_t)split * 2 * CHANNELS + channel];
        second += slabs[((size_t)split * 2 + 1) * CHANNELS + channel];
    }
    first /= PIXELS;
    second = second / PIXELS - first * first;
    const float pivot = load(x + (size_t)(channel / LENGTH) * PIXELS * LENGTH + channel % LENGTH);
    mean[channel] = (float)(pivot + first);
    variance[channel] = second < 0 ? 0.f : (float)second;  // NaN stays NaN
}

// --- batchnorm_forward
// Normalise by a mean and a variance: the batch's in training, the running averages in inference.
//
// A thread has VECTOR channels of a pixel; blocks: x pixels, y the tower. Cost: reads x and writes y once, the rest
// comes out of the caches; 4 operations and a reciprocal root a value.
//
// dimensions: PIXELS CHANNELS
// reals: EPSILON
// choices: PRECISION VECTOR
#include "common/vectors.cuh"

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_forward(const Value* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
                      const float* __restrict__ mean, const float* __restrict__ variance, Value* __restrict__ y) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors, first = blockIdx.y * CHANNELS + item % vectors * VECTOR;
    if (pixel >= (unsigned)PIXELS) return;
    const size_t offset = ((size_t)blockIdx.y * PIXELS * vectors + item) * VECTOR;
    float values[VECTOR];
    load_vector(values, x + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        const float scale = weight[first + i] * reciprocal_root(variance[first + i] + EPSILON);
        values[i] = (values[i] - mean[first + i]) * scale + bias[first + i];
    }
    store_vector(y + offset, values);
}

// --- batchnorm_slopes
// Make the gradients of weight and bias from their sums.
//
//     slabs: SPLITS x 2 x CHANNELS of double; variance, dweight, dbias: CHANNELS floats, of all towers
//
// A thread has a channel. Cost: reads 16 * SPLITS + 4 bytes a channel, writes 8.
//
// dimensions: CHANNELS SPLITS
// reals: EPSILON
extern "C" __global__ void __launch_bounds__(256)
    batchnorm_slopes(const double* __restrict__ slabs, const float* __restrict__ variance,
                     float* __restrict__ dweight, float* __restrict__ dbias) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= CHANNELS) return;
    double first = 0, second = 0;
    for (int split = 0; split < SPLITS; ++split) {
        first += slabs[(size_t)split * 2 * CHANNELS + channel];
        second += slabs[((size_t)split * 2 + 1) * CHANNELS + channel];
    }
    dbias[channel] = (float)first;
    dweight[channel] = (float)(second / sqrt((double)variance[channel] + EPSILON));
}

// --- batchnorm_backward
// Make the gradient of the input. Where mean and variance are given and not the batch's, mean, dweight and dbias are
// null: dx = weight * r * dy. dx may be dy. With RELU the gradient is that of the input of the ReLU below: zero where x
// is not positive.
//
// A thread has VECTOR channels of a pixel; blocks: x pixels, y the tower. Cost: reads x and dy and writes dx once;
// 8 operations and a reciprocal root a value.
//
// dimensions: PIXELS CHANNELS RELU
// reals: EPSILON
// choices: PRECISION VECTOR
#include "common/vectors.cuh"

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_backward(const Value* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ mean,
                       const float* __restrict__ variance, const float* __restrict__ dweight,
                       const float* __restrict__ dbias, const Value* dy, Value* dx) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors, first = blockIdx.y * CHANNELS + item % vectors * VECTOR;
    if (pixel >= (unsigned)PIXELS) return;
    const size_t offset = ((size_t)blockIdx.y * PIXELS * vectors + item) * VECTOR;
    const float per_pixel = 1.f / PIXELS;
    float values[VECTOR], slopes[VECTOR];
    load_vector(values, x + offset);
    load_vector(slopes, dy + offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        const float root = reciprocal_root(variance[first + i] + EPSILON), scale = weight[first + i] * root;
        if (dweight) {
            const float shift = dbias[first + i] * per_pixel, slope = dweight[first + i] * root * per_pixel;
            slopes[i] = slopes[i] - shift - (values[i] - mean[first + i]) * slope;
        }
        slopes[i] *= scale;
        if (RELU && !(values[i] > 0)) slopes[i] = 0;
    }
    store_vector(dx + offset, slopes);
}

// --- batchnorm_average
// Move the running mean and variance towards the batch's.
//
//     running <- MOMENTUM * running + REST * the batch's,    REST = 1 - MOMENTUM
//
//     all arrays: CHANNELS floats, of all towers
//
// A thread has a channel. Nothing moves after a loss that was not finite, nor a channel whose numbers overflowed. Each
// operation rounds once, as on the host. Cost: reads 16 bytes a channel and writes 8.
//
// dimensions: CHANNELS
// reals: MOMENTUM REST
#include "common/control.cuh"

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_average(const Control* __restrict__ control, const float* __restrict__ batch_mean,
                      const float* __restrict__ batch_variance, float* __restrict__ mean,
                      float* __restrict__ variance) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= CHANNELS || !control->finite) return;
    const float new_mean = batch_mean[channel], new_variance = batch_variance[channel];
    if (new_mean - new_mean != 0 || new_variance - new_variance != 0) return;
    mean[channel] = __fadd_rn(__fmul_rn(mean[channel], MOMENTUM), __fmul_rn(new_mean, REST));
    variance[channel] = __fadd_rn(__fmul_rn(variance[channel], MOMENTUM), __fmul_rn(new_variance, REST));
}
