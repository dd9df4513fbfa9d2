// What only kernels of users have: limits, atomic functions that are watched, printf, variables in __shared__ memory.
#include <link.h>

#include <algorithm>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "checker.h"
#include "state.h"

namespace emulator {

constexpr size_t MOST_PRINTED = 1 << 20;
constexpr unsigned PATIENCE = 1024;  // atomic functions until others come first

static constexpr int STOPPING[] = {SIGINT, SIGTERM, SIGHUP};
static struct sigaction stopping_before[3];
static volatile sig_atomic_t stopped;
static uint64_t taken, allowed = ~0ull;  // a library's own initialisation takes steps, too
static unsigned atomics;
static std::string printed;

// A signal's handler in Python runs when Python does: stop the kernel, and send the signal again.
void begin_limits() {
    stopped = 0;
    taken = 0;
    allowed = launch.own->steps;
    atomics = 0;
    printed.clear();
    struct sigaction action{};
    action.sa_handler = [](int number) { stopped = number; };
    for (int i = 0; i < 3; ++i) {
        sigaction(STOPPING[i], nullptr, &stopping_before[i]);
        const auto handler = stopping_before[i].sa_handler;
        if (handler != SIG_DFL && handler != SIG_IGN) sigaction(STOPPING[i], &action, nullptr);
    }
}

void end_limits() {
    for (int i = 0; i < 3; ++i) sigaction(STOPPING[i], &stopping_before[i], nullptr);
    allowed = ~0ull;
    if (stopped) raise(stopped);
    stopped = 0;
}

void atomic(const void* place, size_t bytes, const void* code) {
    if (++atomics % PATIENCE == 0) yield();
    checker::access_by(*running, place, bytes, checker::ATOMIC, code);
}

void fence() { checker::fence(); }

int print(const char* format, ...) {
    char text[4096];
    va_list values;
    va_start(values, format);
    const int length = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (length > 0 && printed.size() < MOST_PRINTED) printed += text;
    return length;
}

// Hand over what the last launch has printed.
extern "C" const char* emulator_printed() { return printed.c_str(); }

// Find the memory of the library that holds the entry of a kernel: all of it, and its thread-local variables, which
// are those in __shared__ memory.
extern "C" void emulator_find_own(const void* entry, Own* own) {
    own->fixed = own->begin = own->end = nullptr;
    std::pair<uintptr_t, Own*> wanted{reinterpret_cast<uintptr_t>(entry), own};
    const auto look = [](dl_phdr_info* library, size_t, void* given) {
        auto& [entry, own] = *static_cast<std::pair<uintptr_t, Own*>*>(given);
        uintptr_t begin = ~uintptr_t(0), end = 0;
        size_t fixed = 0;
        for (int i = 0; i < library->dlpi_phnum; ++i) {
            const auto& part = library->dlpi_phdr[i];
            const uintptr_t start = library->dlpi_addr + part.p_vaddr;
            if (part.p_type == PT_LOAD) begin = std::min(begin, start), end = std::max(end, start + part.p_memsz);
            if (part.p_type == PT_TLS) fixed = part.p_memsz;
        }
        if (entry < begin || entry >= end) return 0;
        own->begin = reinterpret_cast<char*>(begin);
        own->end = reinterpret_cast<char*>(end);
        own->fixed = static_cast<char*>(library->dlpi_tls_data);
        own->fixed_bytes = fixed;
        return 1;
    };
    dl_iterate_phdr(look, &wanted);
}

}  // namespace emulator

// g++ calls it at the beginning of every block of code without a branch.
extern "C" void __sanitizer_cov_trace_pc() {
    using namespace emulator;
    if (++taken <= allowed && !stopped) return;
    called_from = __builtin_return_address(0);
    abandon(stopped ? "stopped by a signal" : "the kernel does not end");
}
