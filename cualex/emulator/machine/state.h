// The state of the emulated machine: one launch at a time, one thread of it running.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "machine.h"

namespace emulator {

constexpr unsigned WARP = 32;
constexpr size_t PAGE = 4096;
constexpr unsigned char POISON = 0xff;  // four of them are a NaN

struct Copy {
    char* target;
    const char* source;
    int bytes;
    bool inside;
    unsigned group;
    const void* code;  // where it was issued
};

struct Thread {
    Index index;
    unsigned number, warp, lane;
    void* stack;               // where it goes on; null before it begins
    std::vector<Copy> copies;  // in flight
    unsigned group;            // of copies: the one being filled
    // What it gives to, and gets from, a warp operation:
    Bits value;
    unsigned source;
    const void* row;
    union {
        Bits a_words[2];
        unsigned a[4];
    };
    union {
        Bits b_word;
        unsigned b[2];
    };
    union {
        Pair d_words;
        float d[4];
    };
};

// What a kernel of a user has of its own: variables in __shared__ memory, which g++ has laid out, and limits.
struct Own {
    char* fixed;  // the variables of known size, and those of extern __shared__
    size_t fixed_bytes;
    char* dynamic;
    char *begin, *end;  // all memory of the kernel's library
    uint64_t steps;     // that all threads together may take: blocks of code without a branch
    const uint32_t* guards;  // where among the variables g++ notes that it has initialised one; CUDA has no such thing
    size_t guard_count;
};

enum Order { ASCENDING, DESCENDING, RANDOM };

struct Launch {
    void (*kernel)(void**);
    void** arguments;
    Index grid, block;
    size_t shared_bytes;
    Order order;
    bool checked, counted;  // watched for faults; requests to memory counted
    int device;
    const Own* own;  // null for kernels of the network, which have all their shared memory in one piece
};

// A piece of shared memory, and where it begins in all of it.
struct Span {
    const char* start;
    size_t bytes, offset;
};

extern Launch launch;
extern Index block;     // the block that runs
extern Thread* running;
extern std::vector<Thread> threads;  // of that block
extern char* shared;
extern const void* called_from;      // the place in the kernel that called the machine last

// fibers.cpp: stacks, and switching between them.
void reserve_stacks(size_t count);
bool on_stack(uintptr_t address);
void begin_on_new_stack(void** save, void (*function)());
void switch_to(void** save, void* stack);
void leave_stack_for(void* stack);
bool overflown(uintptr_t address = 0);

// schedule.cpp: which thread runs next.
void draw_from(uint64_t seed);
size_t any_of(size_t count);
void make_ready(unsigned first, unsigned count, unsigned lanes);
void pause();
void yield();  // let all others that can run come first
void begin_threads();
void run_block();

// warps.cpp and barriers.cpp: who waits for whom.
void begin_warps();
void leave_warp();
std::string waiting_at_warps();
typedef void (*Work)(Thread* lanes, unsigned arrived);
void meet_all(Work work);
void begin_barrier();
void leave_barrier();
std::string waiting_at_barrier();

// wgmma.cpp: matrix instructions that a warp has issued and not waited for.
void begin_wgmma();
bool wgmma_in_flight(unsigned warp);

// memory.cpp: arrays, shared memory, faults.
struct Array {
    char* start;
    size_t bytes;
    char* mapped;
    size_t mapped_bytes;
    int device, number;
    bool empty;  // nobody has written to it
};
const Array* array_near(uintptr_t address);
bool is_shared(uintptr_t address);  // or in its guard pages
Span shared_span(uintptr_t address);  // the one that an address of shared memory lies in, or near
size_t shared_bytes();
void set_shared(size_t bytes);
void poison_shared();
void check_shared();
void close_devices(bool closed);
std::string place(uintptr_t address);

// own.cpp: a kernel of a user may be stopped, and shall not run for ever.
void begin_limits();
void end_limits();

// launch.cpp: end a launch before its time; without a message what the checker has found says why.
[[noreturn]] void abandon(const std::string& message);

}  // namespace emulator
