// Fibers: a stack for every thread that waits, and a switch of a few instructions between them.
#include <sys/mman.h>

#include <cstring>

#include "state.h"

extern "C" void emulator_switch(void** save, void* stack);

// Keep the registers that a call must preserve on the old stack, its top in *save, and take them from the new one.
#if defined(__x86_64__)
asm(R"(
.text
.hidden emulator_switch
.globl emulator_switch
.type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#elif defined(__aarch64__)
asm(R"(
.text
.hidden emulator_switch
.globl emulator_switch
.type emulator_switch, %function
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
#else
#error "fibers are written for x86-64 and aarch64"
#endif

namespace emulator {

// Not a multiple of 4096: the tops of the stacks would fall into the same few sets of the cache.
constexpr size_t STACK = 64 * 1024 + 1088;
constexpr size_t STACK_GUARD = 256 * PAGE;
constexpr uint64_t CANARY = 0x2012201220122012;

static char* stacks;
static size_t reserved;
static std::vector<size_t> unused;  // stacks that no thread stands on

static uint64_t* canary(size_t stack) { return reinterpret_cast<uint64_t*>(stacks + stack * STACK); }

// Make all stacks unused, at least `count` of them. Below the first is memory that nobody may touch.
void reserve_stacks(size_t count) {
    if (count > reserved) {
        if (reserved) munmap(stacks - STACK_GUARD, STACK_GUARD + reserved * STACK);
        reserved = 0;
        void* place = mmap(nullptr, STACK_GUARD + count * STACK, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (place == MAP_FAILED) abandon("no memory for the stacks");
        mprotect(place, STACK_GUARD, PROT_NONE);
        stacks = static_cast<char*>(place) + STACK_GUARD;
        reserved = count;
        for (size_t i = 0; i < count; ++i) *canary(i) = CANARY;
    }
    unused.clear();
    for (size_t i = reserved; i-- > 0;) unused.push_back(i);
}

bool on_stack(uintptr_t address) {
    return address - reinterpret_cast<uintptr_t>(stacks) < reserved * STACK;
}

// Say whether a thread has left its stack, the last to touch `address`; heal the traces.
bool overflown(uintptr_t address) {
    bool found = reinterpret_cast<uintptr_t>(stacks) - address - 1 < STACK_GUARD;
    for (size_t i = 0; i < reserved; ++i) {
        found = found || *canary(i) != CANARY;
        *canary(i) = CANARY;
    }
    return found;
}

// Lay out a stack so that a switch to it enters the function.
static void* prepare(void (*function)()) {
    const size_t stack = unused.back();
    unused.pop_back();
    char* top = stacks + (stack + 1) * STACK - 64;
    top -= reinterpret_cast<uintptr_t>(top) % 16;
    void** frame = reinterpret_cast<void**>(top);
#if defined(__x86_64__)
    *--frame = nullptr;  // the return address of the function, which never returns
    *--frame = reinterpret_cast<void*>(function);
    for (int i = 0; i < 6; ++i) *--frame = nullptr;
#else
    frame -= 20;
    memset(frame, 0, 160);
    frame[11] = reinterpret_cast<void*>(function);
#endif
    return frame;
}

void begin_on_new_stack(void** save, void (*function)()) { emulator_switch(save, prepare(function)); }

void switch_to(void** save, void* stack) { emulator_switch(save, stack); }

// Go on elsewhere; nobody will come back to the stack that this is called on.
void leave_stack_for(void* stack) {
    const char here = 0;
    unused.push_back((&here - stacks) / STACK);
    void* abandoned;
    emulator_switch(&abandoned, stack);
}

}  // namespace emulator
