// The schedule: which thread of a block runs until it waits, and which goes on then.
//
// Threads that can run are on a list; the next is the last of the list, or any of it when the order is random.
// A thread begins on the stack of one that has just ended, where there is one: threads that never wait cost a call.
#include <algorithm>

#include "state.h"

namespace emulator {

static std::vector<unsigned> ready, all;  // all: what the list is when a block begins
static uint64_t random_bits;
static unsigned alive;
static void* caller;  // the stack that run_block was called on

void draw_from(uint64_t seed) { random_bits = (seed + 1) * 0x9e3779b97f4a7c15u; }

// Return a number below `count` (xorshift64*).
size_t any_of(size_t count) {
    random_bits ^= random_bits >> 12;
    random_bits ^= random_bits << 25;
    random_bits ^= random_bits >> 27;
    return ((random_bits * 0x2545f4914f6cdd1du) >> 32) * count >> 32;
}

// Put those of `count` <= 32 threads whose bit is set on the list.
void make_ready(unsigned first, unsigned count, unsigned lanes) {
    if (launch.order == DESCENDING) {
        for (unsigned i = 0; i < count; ++i)
            if (lanes >> i & 1u) ready.push_back(first + i);
    } else {
        for (unsigned i = count; i-- > 0;)
            if (lanes >> i & 1u) ready.push_back(first + i);
    }
}

static Thread* next() {
    if (launch.order == RANDOM) std::swap(ready[any_of(ready.size())], ready.back());
    Thread* chosen = &threads[ready.back()];
    ready.pop_back();
    return chosen;
}

static void run_threads();

static void no_deadlock() {
    if (ready.empty()) abandon("deadlock: " + waiting_at_barrier() + waiting_at_warps() + "and nobody else is left");
}

// Let other threads run until somebody has made this one ready again.
void pause() {
    no_deadlock();
    Thread* self = running;
    running = next();
    if (running == self) return;
    if (running->stack)
        switch_to(&self->stack, running->stack);
    else
        begin_on_new_stack(&self->stack, run_threads);
}

void yield() {
    ready.insert(ready.begin(), running->number);
    pause();
}

static void finish() {
    if (!running->copies.empty()) abandon("a thread ends with asynchronous copies that it has not waited for");
    if (wgmma_in_flight(running->warp)) abandon("a thread ends with wgmmas that it has not waited for");
    running->stack = nullptr;  // for the thread of that number in the next block
    running->group = 0;
    --alive;
    leave_warp();
    leave_barrier();
}

// What every stack does: run threads from their beginning, as long as the next is one that has not begun.
static void run_threads() {
    for (;;) {
        launch.kernel(launch.arguments);
        finish();
        if (!alive) leave_stack_for(caller);
        no_deadlock();
        running = next();
        if (running->stack) leave_stack_for(running->stack);
    }
}

// Number the threads of the launch's blocks.
void begin_threads() {
    const Index size = launch.block;
    const unsigned count = size.x * size.y * size.z;
    threads.assign(count, Thread{});
    all.clear();
    for (unsigned i = 0; i < count; ++i) {
        threads[i].index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        threads[i].number = i;
        threads[i].warp = i / WARP;
        threads[i].lane = i % WARP;
        all.push_back(launch.order == ASCENDING ? count - 1 - i : i);
    }
}

void run_block() {
    alive = threads.size();
    ready = all;
    begin_warps();
    begin_barrier();
    begin_wgmma();
    running = next();
    begin_on_new_stack(&caller, run_threads);
    running = nullptr;
}

}  // namespace emulator
