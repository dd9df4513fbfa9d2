// Matrix instructions of a warp: mma.sync in TF32 and bfloat16, and ldmatrix. Lane l has g = l / 4 and t = l % 4.
#include <cstring>

#include "checker.h"
#include "state.h"

namespace emulator {

static float number(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void need_all(unsigned arrived) {
    if (arrived != ~0u) abandon("a matrix instruction needs all 32 lanes of its warp");
}

typedef float Row __attribute__((vector_size(32)));  // of b and d: 8 columns

// Move the halves of all lanes' d from or to their places in the matrix.
template <class Move>
static void each_half(Thread* lanes, Row (&d)[16], Move move) {
    for (unsigned lane = 0; lane < WARP; ++lane) {
        const unsigned g = lane / 4, t = lane % 4;
        move(&lanes[lane].d[0], reinterpret_cast<float*>(&d[g]) + 2 * t);
        move(&lanes[lane].d[2], reinterpret_cast<float*>(&d[g + 8]) + 2 * t);
    }
}

// d += a * b, the products of a row added one after the other.
template <int K>
static void multiply(Thread* lanes, const float (&a)[16][K], const Row (&b)[K]) {
    Row d[16];
    each_half(lanes, d, [](float* half, float* place) { memcpy(place, half, 8); });
    for (int row = 0; row < 16; ++row) {
        Row sum = d[row];
        for (int k = 0; k < K; ++k) sum += a[row][k] * b[k];
        d[row] = sum;
    }
    each_half(lanes, d, [](float* half, float* place) { memcpy(half, place, 8); });
}

// The hardware does not look at the low 13 bits of an operand.
static float tf32(unsigned bits) { return number(bits & 0xffffe000u); }

static void multiply_tf32(Thread* lanes, unsigned arrived) {
    need_all(arrived);
    float a[16][8];
    Row b[8];
    for (unsigned lane = 0; lane < WARP; ++lane) {
        const Thread& thread = lanes[lane];
        const unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = tf32(thread.a[i]);
        for (unsigned i = 0; i < 2; ++i) b[t + i * 4][g] = tf32(thread.b[i]);
    }
    multiply(lanes, a, b);
}

static void multiply_bf16(Thread* lanes, unsigned arrived) {
    need_all(arrived);
    float a[16][16];
    Row b[16];
    for (unsigned lane = 0; lane < WARP; ++lane) {
        const Thread& thread = lanes[lane];
        const unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < 4; ++i) {
            float* pair = &a[g + i % 2 * 8][2 * t + i / 2 * 8];
            pair[0] = number(thread.a[i] << 16);
            pair[1] = number(thread.a[i] & 0xffff0000u);
        }
        for (unsigned i = 0; i < 2; ++i) {
            b[2 * t + i * 8][g] = number(thread.b[i] << 16);
            b[2 * t + i * 8 + 1][g] = number(thread.b[i] & 0xffff0000u);
        }
    }
    multiply(lanes, a, b);
}

static Pair give(Bits d_low, Bits d_high, Bits a_low, Bits a_high, Bits b, Work work) {
    running->d_words = {d_low, d_high};
    running->a_words[0] = a_low;
    running->a_words[1] = a_high;
    running->b_word = b;
    meet_all(work);
    return running->d_words;
}

Pair mma_tf32(Bits d_low, Bits d_high, Bits a_low, Bits a_high, Bits b) {
    called_from = __builtin_return_address(0);
    return give(d_low, d_high, a_low, a_high, b, multiply_tf32);
}

Pair mma_bf16(Bits d_low, Bits d_high, Bits a_low, Bits a_high, Bits b) {
    called_from = __builtin_return_address(0);
    return give(d_low, d_high, a_low, a_high, b, multiply_bf16);
}

// Read one value of 16 bits for a lane, out of the row that another lane has named.
static unsigned half(const Thread& lane, const void* row, unsigned column) {
    const char* place = static_cast<const char*>(row) + 2 * column;
    if (launch.checked) checker::access_by(lane, place, 2, checker::READ, called_from);
    uint16_t value;
    memcpy(&value, place, sizeof value);
    return value;
}

template <bool transposed>
static void load(Thread* lanes, unsigned arrived) {
    need_all(arrived);
    for (unsigned lane = 0; lane < WARP; ++lane) {
        if (reinterpret_cast<uintptr_t>(lanes[lane].row) % 16) abandon("the address of a matrix row is misaligned");
    }
    for (unsigned lane = 0; lane < WARP; ++lane) {
        const unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < 4; ++i) {
            const Thread* rows = lanes + i * 8;
            const unsigned low = transposed ? half(lanes[lane], rows[2 * t].row, g)
                                            : half(lanes[lane], rows[g].row, 2 * t);
            const unsigned high = transposed ? half(lanes[lane], rows[2 * t + 1].row, g)
                                             : half(lanes[lane], rows[g].row, 2 * t + 1);
            lanes[lane].a[i] = low | high << 16;
        }
    }
}

Pair load_matrix(const void* row, bool transposed) {
    called_from = __builtin_return_address(0);
    if (launch.counted) requests::note(*running, row, 16, false, called_from);
    running->row = row;
    meet_all(transposed ? load<true> : load<false>);
    return {running->a_words[0], running->a_words[1]};
}

}  // namespace emulator
