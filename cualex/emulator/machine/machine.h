// What the emulated machine offers to a kernel: cuda.h and primitives.cuh give these CUDA's and our names.
//
// Operands and results go by value, in registers: no variable of a kernel has its address taken for them, so the
// compiler may keep it in a register and the checked build does not watch it.
#pragma once

namespace emulator {

struct Index {
    unsigned x, y, z;
};
typedef unsigned long long Bits;
struct Pair {
    Bits low, high;
};

// These never change while a thread runs, and the compiler may know it.
__attribute__((const)) Index thread_index();
__attribute__((const)) Index block_index();
__attribute__((const)) Index block_size();
__attribute__((const)) Index grid_size();
__attribute__((const)) unsigned lane();
__attribute__((const)) char* shared_memory();

enum BarrierKind { PLAIN, COUNT, AND, OR };

// Wait for all threads of the block; return what the kind makes of their predicates. `line` tells barriers apart.
int block_barrier(BarrierKind kind, int predicate, int line);

// Wait for the lanes of the mask, and see what they have written before.
void warp_barrier(unsigned mask, int line);

// Get the value that lane `source` gives; it is poison where that lane takes no part.
Bits exchange(unsigned mask, Bits value, unsigned source, int line);

// Get the lanes of the mask whose predicate is true.
unsigned ballot(unsigned mask, int predicate, int line);

// Put two values of a fragment into one word, as matrix instructions take them.
template <class T>
inline __attribute__((always_inline)) Bits pair(const T* values) {
    Bits bits;
    __builtin_memcpy(&bits, values, sizeof bits);
    return bits;
}

Pair mma_tf32(Bits d_low, Bits d_high, Bits a_low, Bits a_high, Bits b);
Pair mma_bf16(Bits d_low, Bits d_high, Bits a_low, Bits a_high, Bits b);
Pair load_matrix(const void* row, bool transposed);

// wgmma (wgmma.cpp): d, `columns` / 2 values a thread, is poison from here until wgmma_wait.
void wgmma(float* d, unsigned columns, Bits a, Bits b);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(unsigned in_flight);
void fence_async_proxy();

// Shared memory begins at an address that is no more aligned than primitives.cuh declares it.
constexpr unsigned SHARED_START = 128;

// Asynchronous copies at their most hostile: the target is poison from the issue on, and the bytes arrive in the
// wait that asks for them, no earlier.
void copy_issue(void* shared, const void* global, int bytes, bool inside);
void copy_commit();
void copy_wait(int in_flight);

// What only kernels of users have (user.h). An access of a kernel's atomic function: none of these races with another.
void atomic(const void* place, unsigned long bytes, const void* code);

// What the thread has written comes before what others do behind an atomic function that they call later.
void fence();

// Let other threads of the block run: whoever waits in a loop for one of them would wait for ever.
void yield();

// Keep what a kernel prints.
int print(const char* format, ...) __attribute__((format(printf, 1, 2)));

// End the launch with an error.
[[noreturn]] void fail(const char* message);

}  // namespace emulator
