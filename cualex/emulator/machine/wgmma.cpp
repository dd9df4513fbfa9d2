// wgmma of Hopper: matrices in shared memory by descriptors, asynchronous, in groups; at its most hostile.
//
// From its issue until it is waited for, a wgmma may read its operands at any moment: it does so at once under the
// ascending schedule, in the wait under the descending one, else at random. Meanwhile its accumulators are poison, and the
// checked build watches over what it reads. A warp's 16 rows are worked out when the warp issues; the four warps of a
// warpgroup must issue the same. Order of additions: depth after depth, as that of mma.sync here; the hardware's is not
// known. What cannot be seen: an access to accumulators that changes nothing, before a wgmma without wgmma.fence.
//
// Source: PTX ISA, "Asynchronous warpgroup level matrix instructions": descriptors, swizzles, fragments, groups, proxies.
#include <cstring>

#include <array>
#include <deque>
#include <list>

#include "checker.h"
#include "state.h"

namespace emulator {

constexpr unsigned ROWS = 16, DEPTH = 16, MOST_COLUMNS = 256, WARPS = 4;  // of a warp's part; warps of a warpgroup

struct Accumulators {
    float* lanes[WARP];  // where each lane has its own
    unsigned columns, in_flight;
    float sums[ROWS][MOST_COLUMNS];
    std::vector<float> left;  // what the last wgmma has left in the lanes

    unsigned count() const { return columns / 2; }  // of a lane

    // Call move(lane's value, value of the sums) for all of them.
    template <class Move>
    void each(Move move) {
        for (unsigned lane = 0; lane < WARP; ++lane)
            for (unsigned i = 0; i < count(); ++i)
                move(lanes[lane][i], sums[lane / 4 + i % 4 / 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2]);
    }
};

struct Operation {
    Bits a, b;
    Accumulators* into;
    unsigned group;
    const void* code;  // where it was issued
    bool done;
};

struct Issuer {
    std::deque<Operation> queue;
    std::list<Accumulators> accumulators;
    std::vector<std::array<Bits, 2>> issued;  // in this block
    unsigned group = 0;                       // the one being filled
    bool fenced = false;                      // since the last wgmma
};

static std::vector<Issuer> issuers;  // a warp each

void begin_wgmma() {
    issuers.clear();
    issuers.resize((threads.size() + WARP - 1) / WARP);
}

bool wgmma_in_flight(unsigned warp) { return !issuers[warp].queue.empty(); }

// A matrix as a descriptor gives it: lines of 16 values in two chunks of 16 bytes, in groups of 8 lines.
struct Matrix {
    uint32_t start, stride, leading, width;

    explicit Matrix(Bits descriptor)
        : start((descriptor & 0x3fff) << 4),
          stride((descriptor >> 32 & 0x3fff) << 4),
          leading((descriptor >> 16 & 0x3fff) << 4) {
        static const uint32_t widths[] = {16, 128, 64, 32};  // by the mode of the swizzle: bytes of a line
        width = widths[descriptor >> 62];
        if (descriptor >> 49 & 7u) abandon("a matrix descriptor with an offset of its swizzle is not emulated");
    }

    // Return where a chunk of a line lies in this process. The swizzle is one of addresses, not of lines.
    const char* chunk(unsigned line, unsigned chunk) const {
        const uint32_t linear = start + line / 8 * stride + line % 8 * width + chunk * (width == 16 ? leading : 16);
        const uint32_t address = linear ^ ((linear >> 7 & (width / 16 - 1)) << 4);
        if (address < SHARED_START || address - SHARED_START + 16 > shared_bytes())
            abandon("a matrix descriptor points out of shared memory, to address " + std::to_string(address));
        return shared + (address - SHARED_START);
    }
};

static unsigned first_row(const Thread& lane) { return lane.warp % WARPS * ROWS; }

// Call visit(line, chunk, its bytes) for what a warp reads of both operands.
template <class Visit>
static void each_chunk(const Operation& operation, const Thread& lane, Visit visit) {
    const Matrix a(operation.a), b(operation.b);
    for (unsigned row = 0; row < ROWS; ++row)
        for (unsigned i = 0; i < 2; ++i) visit(false, row, i, a.chunk(first_row(lane) + row, i));
    for (unsigned column = 0; column < operation.into->columns; ++column)
        for (unsigned i = 0; i < 2; ++i) visit(true, column, i, b.chunk(column, i));
}

static void watch(const Operation& operation, const Thread& lane, checker::Access access) {
    if (!launch.checked) return;
    each_chunk(operation, lane, [&](bool, unsigned, unsigned, const char* bytes) {
        checker::access_by(lane, bytes, 16, access, operation.code);
    });
}

static void multiply(Operation& operation, const Thread& lane) {
    static float a[ROWS][DEPTH], b[DEPTH][MOST_COLUMNS];
    each_chunk(operation, lane, [](bool of_b, unsigned line, unsigned chunk, const char* bytes) {
        for (unsigned i = 0; i < 8; ++i) {
            uint16_t half;
            memcpy(&half, bytes + 2 * i, 2);
            const uint32_t bits = uint32_t(half) << 16;
            memcpy(of_b ? &b[chunk * 8 + i][line] : &a[line][chunk * 8 + i], &bits, 4);
        }
    });
    const unsigned columns = operation.into->columns;
    for (unsigned row = 0; row < ROWS; ++row) {
        float* const sums = operation.into->sums[row];
        for (unsigned k = 0; k < DEPTH; ++k)
            for (unsigned column = 0; column < columns; ++column) sums[column] += a[row][k] * b[k][column];
    }
    operation.done = true;
}

// Do all that is queued, in its order.
static void catch_up(Issuer& issuer, const Thread& lane) {
    for (Operation& each : issuer.queue)
        if (!each.done) multiply(each, lane);
}

static bool poisoned(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits == 0x01010101u * POISON;
}

// Take what the lanes have in their accumulators, and poison those.
static void take(Issuer& issuer, Accumulators& into) {
    if (into.in_flight) {
        bool touched = false;
        into.each([&](float own, float&) { touched = touched || !poisoned(own); });
        if (touched) abandon("the accumulators of a wgmma are touched before it is waited for");
        return;
    }
    bool changed = into.left.empty();
    size_t at = 0;
    for (unsigned lane = 0; lane < WARP && !changed; ++lane, at += into.count())
        changed = memcmp(into.lanes[lane], &into.left[at], into.count() * sizeof(float)) != 0;
    if (changed && !issuer.fenced) abandon("a wgmma whose accumulators were written has no wgmma.fence before it");
    into.each([](float& own, float& sum) { sum = own, memset(&own, POISON, sizeof own); });
}

static void give_back(Accumulators& into) {
    into.left.clear();
    into.each([&](float& own, float sum) { own = sum, into.left.push_back(own); });
}

static Accumulators& accumulators_of(Issuer& issuer, Thread* lanes) {
    for (Accumulators& each : issuer.accumulators)
        if (each.lanes[0] == lanes[0].row && each.columns == lanes[0].source) return each;
    issuer.accumulators.emplace_back();
    Accumulators& made = issuer.accumulators.back();
    made.columns = lanes[0].source;
    for (unsigned lane = 0; lane < WARP; ++lane)
        made.lanes[lane] = static_cast<float*>(const_cast<void*>(lanes[lane].row));
    return made;
}

static void need_whole_warp(unsigned arrived) {
    if (arrived != ~0u) abandon("wgmma needs all 32 lanes of its warp");
}

static void issue(Thread* lanes, unsigned arrived) {
    need_whole_warp(arrived);
    const unsigned warp = lanes->warp, first = warp / WARPS * WARPS;
    if ((first + WARPS) * WARP > threads.size()) abandon("wgmma needs a warpgroup: four warps, the first a multiple of 4");
    Issuer& issuer = issuers[warp];
    const std::array<Bits, 2> operands = {lanes->a_words[0], lanes->a_words[1]};
    for (unsigned lane = 1; lane < WARP; ++lane)
        if (lanes[lane].a_words[0] != operands[0] || lanes[lane].a_words[1] != operands[1])
            abandon("the lanes of a warp give wgmma different descriptors");
    const size_t number = issuer.issued.size();
    for (unsigned other = first; other < first + WARPS; ++other)
        if (issuers[other].issued.size() > number && issuers[other].issued[number] != operands)
            abandon("the warps of a warpgroup give wgmma different descriptors");
    issuer.issued.push_back(operands);
    Accumulators& into = accumulators_of(issuer, lanes);
    take(issuer, into);
    issuer.fenced = false;
    ++into.in_flight;
    issuer.queue.push_back({operands[0], operands[1], &into, issuer.group, called_from, false});
    watch(issuer.queue.back(), *lanes, checker::BEGIN_READ);
    if (launch.order == ASCENDING || (launch.order == RANDOM && any_of(2))) catch_up(issuer, *lanes);
}

static void fence_registers(Thread* lanes, unsigned arrived) {
    need_whole_warp(arrived);
    issuers[lanes->warp].fenced = true;
}

static void commit(Thread* lanes, unsigned arrived) {
    need_whole_warp(arrived);
    ++issuers[lanes->warp].group;
}

static void wait(Thread* lanes, unsigned arrived) {
    need_whole_warp(arrived);
    Issuer& issuer = issuers[lanes->warp];
    while (!issuer.queue.empty() && issuer.queue.front().group + lanes->source < issuer.group) {
        Operation& done = issuer.queue.front();
        if (!done.done) multiply(done, *lanes);
        watch(done, *lanes, checker::END_READ);
        if (!--done.into->in_flight) give_back(*done.into);
        issuer.queue.pop_front();
    }
}

void wgmma(float* d, unsigned columns, Bits a, Bits b) {
    called_from = __builtin_return_address(0);
    running->row = d;
    running->source = columns;
    running->a_words[0] = a;
    running->a_words[1] = b;
    meet_all(issue);
}

void wgmma_fence() {
    called_from = __builtin_return_address(0);
    meet_all(fence_registers);
}

void wgmma_commit() {
    called_from = __builtin_return_address(0);
    meet_all(commit);
}

void wgmma_wait(unsigned in_flight) {
    called_from = __builtin_return_address(0);
    running->source = in_flight;
    meet_all(wait);
}

void fence_async_proxy() {
    if (launch.checked) checker::pass_to_async_proxy(*running);
}

}  // namespace emulator
