// __syncthreads and its kin: all threads of a block that have not ended must come to the same one.
#include "checker.h"
#include "state.h"

namespace emulator {

static std::vector<unsigned> waiting;  // one word of lanes a warp
static unsigned arrived, expected, count;
static BarrierKind kind;
static int line, result;
static const void* code;  // where the first thread waits

void begin_barrier() {
    expected = threads.size();
    waiting.assign((expected + WARP - 1) / WARP, 0);
    arrived = 0;
}

static unsigned first_waiting() {
    for (unsigned warp = 0;; ++warp)
        if (waiting[warp]) return warp * WARP + __builtin_ctz(waiting[warp]);
}

static void release() {
    result = kind == COUNT ? int(count) : kind == AND ? count == arrived : count != 0;
    arrived = 0;
    if (launch.own && expected < threads.size())
        checker::find("divergent barrier: ",
                      std::to_string(expected) + " of the block's " + std::to_string(threads.size()) +
                          " threads come to it, the others have ended",
                      threads[first_waiting()], code);
    if (launch.checked) checker::block_is_ordered();
    if (launch.counted) requests::end_of_interval();
    // The order on the list is that of the threads: see make_ready.
    const unsigned warps = waiting.size();
    for (unsigned i = 0; i < warps; ++i) {
        const unsigned warp = launch.order == DESCENDING ? i : warps - 1 - i;
        make_ready(warp * WARP, WARP, waiting[warp]);
        waiting[warp] = 0;
    }
}

int block_barrier(BarrierKind wanted, int predicate, int at) {
    called_from = __builtin_return_address(0);
    if (!arrived) {
        code = called_from;
        kind = wanted;
        line = at;
        count = 0;
    } else if (kind != wanted || line != at) {
        abandon("divergent barriers: threads of a block wait at line " + std::to_string(line) + " and at line " +
                std::to_string(at));
    }
    ++arrived;
    count += predicate != 0;
    waiting[running->warp] |= 1u << running->lane;
    if (arrived == expected) release();
    pause();
    return result;
}

// A thread has ended: the others do not wait for it.
void leave_barrier() {
    --expected;
    if (arrived && arrived == expected) release();
}

std::string waiting_at_barrier() {
    if (!arrived) return "";
    return std::to_string(arrived) + " threads wait at the barrier of line " + std::to_string(line) + ", ";
}

}  // namespace emulator
