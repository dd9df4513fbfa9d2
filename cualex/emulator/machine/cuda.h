// CUDA C++ as NVRTC has it without any header, for g++: words, vector types, threads, barriers, warps, atomics.
// Arithmetic is in arithmetic.h.
#pragma once
#include "machine.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __grid_constant__

typedef decltype(sizeof 0) size_t;

#define VECTORS(type, name)                                                                                    \
    struct name##1 {                                                                                           \
        type x;                                                                                                \
    };                                                                                                         \
    struct alignas(2 * sizeof(type)) name##2 {                                                                 \
        type x, y;                                                                                             \
    };                                                                                                         \
    struct name##3 {                                                                                           \
        type x, y, z;                                                                                          \
    };                                                                                                         \
    struct alignas(4 * sizeof(type) < 16 ? 4 * sizeof(type) : 16) name##4 {                                    \
        type x, y, z, w;                                                                                       \
    };                                                                                                         \
    __forceinline__ name##1 make_##name##1(type x) { return {x}; }                                             \
    __forceinline__ name##2 make_##name##2(type x, type y) { return {x, y}; }                                  \
    __forceinline__ name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                       \
    __forceinline__ name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
VECTORS(signed char, char)
VECTORS(unsigned char, uchar)
VECTORS(short, short)
VECTORS(unsigned short, ushort)
VECTORS(int, int)
VECTORS(unsigned, uint)
VECTORS(long long, longlong)
VECTORS(unsigned long long, ulonglong)
VECTORS(float, float)
VECTORS(double, double)
#undef VECTORS

#define threadIdx (emulator::thread_index())
#define blockIdx (emulator::block_index())
#define blockDim (emulator::block_size())
#define gridDim (emulator::grid_size())
#define warpSize 32

// A barrier or warp operation is known by its line: threads that meet in different ones have diverged.
#define HERE int line = __builtin_LINE()
#define ALL_LANES 0xffffffffu

__forceinline__ void __syncthreads(HERE) { emulator::block_barrier(emulator::PLAIN, 0, line); }
__forceinline__ int __syncthreads_count(int predicate, HERE) {
    return emulator::block_barrier(emulator::COUNT, predicate, line);
}
__forceinline__ int __syncthreads_and(int predicate, HERE) {
    return emulator::block_barrier(emulator::AND, predicate, line);
}
__forceinline__ int __syncthreads_or(int predicate, HERE) {
    return emulator::block_barrier(emulator::OR, predicate, line);
}

__forceinline__ void __syncwarp(unsigned mask = ALL_LANES, HERE) { emulator::warp_barrier(mask, line); }
__forceinline__ unsigned __ballot_sync(unsigned mask, int predicate, HERE) {
    return emulator::ballot(mask, predicate, line);
}
__forceinline__ int __any_sync(unsigned mask, int predicate, HERE) {
    return emulator::ballot(mask, predicate, line) != 0;
}
__forceinline__ int __all_sync(unsigned mask, int predicate, HERE) {
    return emulator::ballot(mask, !predicate, line) == 0;
}
__forceinline__ unsigned __activemask() = delete;  // no program may rely on it

// Shuffles of 4 or 8 bytes within segments of `width` lanes; who would read beyond the segment gets its own value.
template <class T>
__forceinline__ T shuffle(unsigned mask, T value, unsigned source, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    emulator::Bits bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    bits = emulator::exchange(mask, bits, source, line);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T>
__forceinline__ T __shfl_sync(unsigned mask, T value, int source, int width = 32, HERE) {
    const unsigned first = emulator::lane() & -width;
    return shuffle(mask, value, first | (source & (width - 1)), line);
}
template <class T>
__forceinline__ T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, HERE) {
    const unsigned lane = emulator::lane();
    return shuffle(mask, value, (lane & (width - 1)) < delta ? lane : lane - delta, line);
}
template <class T>
__forceinline__ T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, HERE) {
    const unsigned lane = emulator::lane();
    return shuffle(mask, value, (lane & (width - 1)) + delta >= (unsigned)width ? lane : lane + delta, line);
}
template <class T>
__forceinline__ T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, HERE) {
    const unsigned lane = emulator::lane(), last = lane | (width - 1), source = lane ^ lanes;
    return shuffle(mask, value, source <= last ? source : lane, line);
}

#define LOAD(name)                    \
    template <class T>                \
    __forceinline__ T name(const T* place) { return *place; }
LOAD(__ldg)
LOAD(__ldca)
LOAD(__ldcg)
LOAD(__ldcs)
LOAD(__ldcv)
LOAD(__ldlu)
#undef LOAD
#define STORE(name)                   \
    template <class T>                \
    __forceinline__ void name(T* place, T value) { *place = value; }
STORE(__stwb)
STORE(__stcg)
STORE(__stcs)
STORE(__stwt)
#undef STORE

// Between barriers threads do not interleave, so these are atomic as they stand; the checker must not look inside.
// In kernels of the network atomics on floats are banned: their order depends on timing. In those of users (user.h) all
// atomics are watched as a whole.
#ifdef CUALEX_USER
#define RULE(type)
#define WATCH(place) emulator::atomic(place, sizeof *place, __builtin_return_address(0))
#else
#define RULE(type) static_assert(type(1) / 2 == 0, "atomics on floats are banned: their order depends on timing")
#define WATCH(place)
#endif
#define ATOMIC(name, result)                                                                               \
    template <class T>                                                                                     \
    __attribute__((noinline, no_sanitize("thread"))) T name(T* place, decltype(T()) value) {               \
        RULE(T);                                                                                           \
        WATCH(place);                                                                                      \
        const T old = *place;                                                                              \
        *place = result;                                                                                   \
        return old;                                                                                        \
    }
ATOMIC(atomicAdd, old + value)
ATOMIC(atomicSub, old - value)
ATOMIC(atomicMax, old > value ? old : value)
ATOMIC(atomicMin, old < value ? old : value)
ATOMIC(atomicAnd, old & value)
ATOMIC(atomicOr, old | value)
ATOMIC(atomicXor, old ^ value)
ATOMIC(atomicExch, value)
ATOMIC(atomicInc, old >= value ? 0 : old + 1)
ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef ATOMIC
template <class T>
__attribute__((noinline, no_sanitize("thread"))) T atomicCAS(T* place, decltype(T()) expected, decltype(T()) value) {
    WATCH(place);
    const T old = *place;
    if (old == expected) *place = value;
    return old;
}
#undef RULE
#undef WATCH

#ifdef CUALEX_USER
__forceinline__ void __threadfence() { emulator::fence(); }
#else
__forceinline__ void __threadfence() {}
#endif
__forceinline__ void __threadfence_block() {}
[[noreturn]] __forceinline__ void __trap() { emulator::fail("__trap() was called"); }

#include "arithmetic.h"
