// A launch: all blocks of a grid, one after the other; faults and errors end it and are handed to Python.
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <ucontext.h>

#include <algorithm>
#include <numeric>

#include "checker.h"
#include "state.h"

namespace emulator {

Launch launch;
Index block;
Thread* running;
std::vector<Thread> threads;
char* shared;
const void* called_from;

static const char* const OVERFLOWN = "a thread needs more than 64 KB of stack for its local variables";
static std::string error;
static bool abandoned;
static sigjmp_buf outside;

Index thread_index() { return running->index; }
Index block_index() { return block; }
Index block_size() { return launch.block; }
Index grid_size() { return launch.grid; }
unsigned lane() { return running->lane; }
char* shared_memory() { return shared; }

// What was on the stacks of the threads is forgotten, not unwound.
void abandon(const std::string& message) {
    error = message;
    abandoned = true;
    if (running && !message.empty())
        error += " (block " + std::to_string(block.x) + "," + std::to_string(block.y) + "," + std::to_string(block.z) +
                 " thread " + std::to_string(running->number) + ")";
    siglongjmp(outside, 1);
}

void fail(const char* message) {
    called_from = __builtin_return_address(0);
    abandon(message);
}

static void on_signal(int number, siginfo_t* info, void* context) {
    const mcontext_t& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    called_from = reinterpret_cast<const void*>(machine.gregs[REG_RIP] + 1);
#else
    called_from = reinterpret_cast<const void*>(machine.pc + 4);
#endif
    if (number == SIGFPE) abandon("integer division by zero");
    // x86 gives no address for an instruction that wants its operand aligned.
    const bool known = info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR;
    const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
    if (overflown(known ? address : 0)) abandon(OVERFLOWN);
    abandon(known ? "touches " + place(address) : "touches a misaligned address, or one far from any memory");
}

// Let faults of this process end the launch, until this goes out of scope.
class Faults {
    static constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE};
    struct sigaction before[3];
    stack_t stack_before;

   public:
    Faults() {
        static char memory[64 * 1024];
        stack_t stack{};
        stack.ss_sp = memory;
        stack.ss_size = sizeof memory;
        sigaltstack(&stack, &stack_before);
        struct sigaction action{};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int i = 0; i < 3; ++i) sigaction(SIGNALS[i], &action, &before[i]);
        if (launch.own) begin_limits();
    }
    ~Faults() {
        if (launch.own) end_limits();
        for (int i = 0; i < 3; ++i) sigaction(SIGNALS[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
};

static void run_blocks() {
    const Index grid = launch.grid;
    static std::vector<size_t> blocks;
    blocks.resize(size_t(grid.x) * grid.y * grid.z);
    std::iota(blocks.begin(), blocks.end(), 0);
    if (launch.order == DESCENDING) std::reverse(blocks.begin(), blocks.end());
    if (launch.order == RANDOM)
        for (size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[any_of(i)]);
    for (const size_t number : blocks) {
        block = {unsigned(number % grid.x), unsigned(number / grid.x % grid.y), unsigned(number / grid.x / grid.y)};
        poison_shared();
        if (launch.checked) checker::begin_block();
        run_block();
        check_shared();
        if (launch.counted) requests::end_of_interval();
    }
    if (overflown()) abandon(OVERFLOWN);
}

// Run a kernel; return what went wrong, or null. `code` gets the address in the kernel's library where it did.
extern "C" const char* emulator_launch(const Launch* wanted, uint64_t seed, const void** code) {
    launch = *wanted;
    error.clear();
    abandoned = false;
    running = nullptr;
    called_from = nullptr;
    Faults faults;
    close_devices(true);
    if (!sigsetjmp(outside, 1)) {
        begin_threads();
        reserve_stacks(threads.size() + 1);
        set_shared(launch.shared_bytes);
        draw_from(seed);
        if (launch.checked) checker::begin_launch();
        if (launch.counted) requests::begin_launch();
        run_blocks();
    }
    running = nullptr;
    close_devices(false);
    *code = called_from;
    return abandoned ? error.c_str() : nullptr;
}

}  // namespace emulator
