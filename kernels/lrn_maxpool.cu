// Local response normalisation fused with the max-pooling above it (formulas: lrn.cu and maxpool.cu), forward and
// backward; the normalised maps are never stored.
//
//     x, dx: IMAGES x ROWS x COLUMNS x CHANNELS; y, dy, choice: IMAGES x OUT_ROWS x OUT_COLUMNS x CHANNELS
//     choice: the index of the window's first maximum in the window, row by row, in a byte
//     IMAGES counts the images of all towers.
//
// The bits are those of the separate kernels. Checked in tests/engine/test_lrn.py.
//
// reals: K ALPHA BETA
// choices: PRECISION VECTOR
#include "lrn.cuh"
#include "maxpool.cuh"

// --- lrn_maxpool_forward
// A block walks down BAND rows of windows, SEGMENT of them side by side, CHUNK channels wide. The last SIZE rows of x
// that it needs are normalised in a ring in shared memory, rounded as if they were stored, so that ties are those of
// the separate kernels. A value is normalised once, except at the edges of bands and segments. Without CHOOSE, in
// inference, choice is null.
// Cost: reads x once, writes y and choice once; WINDOW + 6 operations and two reciprocal roots a value of x, and
// 2 * SIZE^2 a value of y. Shared memory: SIZE * ((SEGMENT - 1) * STRIDE + SIZE) * CHUNK values.
//
// dimensions: ROWS COLUMNS CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE WINDOW BAND SEGMENT CHUNK
// choices: CHOOSE
extern "C" __global__ void __launch_bounds__(256)
    lrn_maxpool_forward(const Value* __restrict__ x, Value* __restrict__ y, unsigned char* __restrict__ choice) {
    SHARED(Value, ring);
    const int chunks = (CHANNELS + CHUNK - 1) / CHUNK, segments = (OUT_COLUMNS + SEGMENT - 1) / SEGMENT;
    const int bands = (OUT_ROWS + BAND - 1) / BAND, vectors = CHUNK / VECTOR;
    const int width = (SEGMENT - 1) * STRIDE + SIZE, line = width * CHUNK;
    const int first_channel = blockIdx.x % chunks * CHUNK, part = blockIdx.x / chunks;
    const int first_q = part % segments * SEGMENT, first_p = part / segments % bands * BAND;
    const size_t image = part / segments / bands;
    const Value* source = x + image * ROWS * COLUMNS * CHANNELS;
    int ready = 0;  // the first row of x that is not in the ring yet

    for (int p = first_p; p < first_p + BAND && p < OUT_ROWS; ++p) {
        const int top = p * STRIDE, from = top > ready ? top : ready;
        for (int item = threadIdx.x; item < (top + SIZE - from) * width * vectors; item += blockDim.x) {
            const int position = item / vectors, row = from + position / width;
            const int column = first_q * STRIDE + position % width, channel = first_channel + item % vectors * VECTOR;
            if (row >= ROWS || column >= COLUMNS || channel >= CHANNELS) continue;
            float normalised[VECTOR];
            lrn_normalise(normalised, source + ((size_t)row * COLUMNS + column) * CHANNELS + channel, channel);
            store_shared(ring + row % SIZE * line + position % width * CHUNK + channel - first_channel, normalised);
        }
        ready = top + SIZE;
        __syncthreads();
        for (int item = threadIdx.x; item < SEGMENT * vectors; item += blockDim.x) {
            const int q = item / vectors, channel = first_channel + item % vectors * VECTOR;
            if (first_q + q >= OUT_COLUMNS || channel >= CHANNELS) continue;
            float best[VECTOR];
            unsigned chosen[VECTOR];
            const Value* corner = ring + q * STRIDE * CHUNK + channel - first_channel;
            const int rows = extent(p, OUT_ROWS, ROWS), columns = extent(first_q + q, OUT_COLUMNS, COLUMNS);
            pool_window(best, chosen, rows, columns, CHUNK, [&](int r) { return corner + (top + r) % SIZE * line; });
            const size_t offset = ((image * OUT_ROWS + p) * OUT_COLUMNS + first_q + q) * CHANNELS + channel;
            store_vector(y + offset, best);
            if (!CHOOSE) continue;
            Bytes<VECTOR> packed;
            packed.pack(chosen);
            packed.store(choice + offset);
        }
        __syncthreads();  // before the next rows overwrite the oldest
    }
}

// --- lrn_maxpool_backward
// The gradient of the normalised maps is gathered from the windows that chose a pixel and rounded as if it were
// stored; then all is as in lrn_backward. A block has PIXELS pixels in a row; a thread has VECTOR channels of a pixel,
// ROUNDS times. With RELU the gradient is that of the input of the ReLU below: zero where x is not positive.
// Cost: reads x, dy and choice and writes dx once each from memory (dy and choice up to three times out of the L2
// cache at windows of 3 x 3 every 2); 2 * WINDOW + 40 operations and two reciprocal roots a value.
// Shared memory: 4 * PIXELS * CHANNELS bytes.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE WINDOW PIXELS RELU
// choices: ROUNDS
extern "C" __global__ void __launch_bounds__(256)
    lrn_maxpool_backward(const Value* __restrict__ x, const unsigned char* __restrict__ choice,
                         const Value* __restrict__ dy, Value* __restrict__ dx) {
    SHARED(float, inner);
    auto gradient = [&](float (&values)[VECTOR], unsigned pixel, int channel) {
        const unsigned line = pixel / COLUMNS;
        gather(values, choice, dy, nullptr, line / ROWS, line % ROWS, pixel % COLUMNS, channel);
        round_vector(values);
    };
    lrn_back<ROUNDS>(x, dx, inner, PIXELS, IMAGES * ROWS * COLUMNS, RELU, gradient);
}
