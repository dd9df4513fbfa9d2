// What g++ calls in the checked build: -fsanitize=thread at every access to memory that is not a local variable's,
// -fsanitize=alignment and bounds where an address or an index is wrong. The libraries they belong to are not linked.
#include <algorithm>

#include "checker.h"

namespace emulator {

static bool is_guard(const void* address) {
    const Own& own = *launch.own;
    const size_t offset = static_cast<const char*>(address) - own.fixed;
    return std::find(own.guards, own.guards + own.guard_count, offset) != own.guards + own.guard_count;
}

static void access(const void* address, size_t bytes, bool write, const void* code) {
    if (on_stack(reinterpret_cast<uintptr_t>(address)) || (launch.own && is_guard(address))) return;
    checker::access_by(*running, address, bytes, write ? checker::WRITE : checker::READ, code);
    if (launch.counted) requests::note(*running, address, bytes, write, code);
}

}  // namespace emulator

#define HERE __builtin_return_address(0)
#define HOOKS(bytes)                                                                                       \
    extern "C" void __tsan_read##bytes(void* place) { emulator::access(place, bytes, false, HERE); }       \
    extern "C" void __tsan_write##bytes(void* place) { emulator::access(place, bytes, true, HERE); }       \
    extern "C" void __tsan_unaligned_read##bytes(void* place) { emulator::access(place, bytes, false, HERE); } \
    extern "C" void __tsan_unaligned_write##bytes(void* place) { emulator::access(place, bytes, true, HERE); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

extern "C" void __tsan_read_range(void* place, size_t bytes) { emulator::access(place, bytes, false, HERE); }
extern "C" void __tsan_write_range(void* place, size_t bytes) { emulator::access(place, bytes, true, HERE); }
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}

extern "C" void __ubsan_handle_type_mismatch_v1(void*, void* place) {
    emulator::checker::find("misaligned address: ", emulator::place(reinterpret_cast<uintptr_t>(place)),
                            *emulator::running, HERE);
}

// What lies behind an array of a thread is its stack: a user's kernel, which may write there, ends.
extern "C" void __ubsan_handle_out_of_bounds(void*, size_t index) {
    emulator::checker::find("index out of bounds of an array: ", std::to_string(static_cast<long>(index)),
                            *emulator::running, HERE);
    if (emulator::launch.own) emulator::abandon("");
}
