// The twin of kernels/common/primitives.cuh for the emulator: the same names, with the meaning that the instruction has.
#pragma once
#include "bf16.cuh"

#define SHARED(type, name) type* name = reinterpret_cast<type*>(emulator::shared_memory())

#ifdef __CUDA_ARCH__
#define ASYNC_COPIES (__CUDA_ARCH__ >= 800)
#else
#define ASYNC_COPIES 1
#endif

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return emulator::SHARED_START + (unsigned)((const char*)pointer - emulator::shared_memory());
}

__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool inside) {
#if ASYNC_COPIES
    emulator::copy_issue(shared, global, 16, inside);
#else
    *(uint4*)shared = inside ? *(const uint4*)global : make_uint4(0, 0, 0, 0);
#endif
}

__device__ __forceinline__ void copy_async_4(void* shared, const void* global, bool inside) {
#if ASYNC_COPIES
    emulator::copy_issue(shared, global, 4, inside);
#else
    *(unsigned*)shared = inside ? *(const unsigned*)global : 0u;
#endif
}

__device__ __forceinline__ void copy_commit() { emulator::copy_commit(); }

template <int in_flight>
__device__ __forceinline__ void copy_wait() {
    emulator::copy_wait(in_flight);
}

__device__ __forceinline__ uint4 load_global_16(const void* global, bool inside) {
    return inside ? *(const uint4*)global : make_uint4(0, 0, 0, 0);
}

__device__ __forceinline__ unsigned round_bf16_pair(float low, float high) {
    return (unsigned)to_bf16(low) | (unsigned)to_bf16(high) << 16;
}

__device__ __forceinline__ void store_global_8(void* global, uint2 words) { *(uint2*)global = words; }

__device__ __forceinline__ void store_global_16(void* global, uint4 words) { *(uint4*)global = words; }

__device__ __forceinline__ float reciprocal_root(float value) {
    return rsqrtf(fabsf(value) < 0x1p-126f ? copysignf(0.0f, value) : value);
}

__device__ __forceinline__ void load_matrix_x4(unsigned (&values)[4], const void* row) {
    const emulator::Pair got = emulator::load_matrix(row, false);
    __builtin_memcpy(values, &got, sizeof got);
}

__device__ __forceinline__ void load_matrix_x4_transposed(unsigned (&values)[4], const void* row) {
    const emulator::Pair got = emulator::load_matrix(row, true);
    __builtin_memcpy(values, &got, sizeof got);
}

// Half of the last kept place is added to the magnitude and the rest cut off; Inf stays, and every NaN is one.
__device__ __forceinline__ unsigned round_tf32(float value) {
    const unsigned bits = __float_as_uint(value);
    if (value != value) return 0x7fffffffu;
    return (bits + 0x1000u) & 0xffffe000u;
}

__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    const emulator::Pair sum = emulator::mma_tf32(emulator::pair(d), emulator::pair(d + 2), emulator::pair(a),
                                                  emulator::pair(a + 2), emulator::pair(b));
    __builtin_memcpy(d, &sum, sizeof sum);
}

__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    const emulator::Pair sum = emulator::mma_bf16(emulator::pair(d), emulator::pair(d + 2), emulator::pair(a),
                                                  emulator::pair(a + 2), emulator::pair(b));
    __builtin_memcpy(d, &sum, sizeof sum);
}

__device__ __forceinline__ void fence_async_proxy() { emulator::fence_async_proxy(); }

__device__ __forceinline__ void wgmma_fence() { emulator::wgmma_fence(); }

__device__ __forceinline__ void wgmma_commit() { emulator::wgmma_commit(); }

template <int in_flight>
__device__ __forceinline__ void wgmma_wait() {
    emulator::wgmma_wait(in_flight);
}

template <int count>
__device__ __forceinline__ void wgmma_hold(float (&d)[count]) {
    (void)d;
}

__device__ __forceinline__ void wgmma_bf16(float (&d)[64], unsigned long long a, unsigned long long b) {
    emulator::wgmma(d, 128, a, b);
}

__device__ __forceinline__ void wgmma_bf16(float (&d)[96], unsigned long long a, unsigned long long b) {
    emulator::wgmma(d, 192, a, b);
}
