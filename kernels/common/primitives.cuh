// Inline PTX: the instructions without a CUDA C++ intrinsic. The only file with any.
//
// cualex/emulator/machine/primitives.cuh has a twin of each for the CPU; a test holds the two lists against each other,
// and another checks each primitive's meaning on a GPU. Before sm_80 there is no asynchronous copy: it is a plain one.
#pragma once
#include "bf16.cuh"

extern __shared__ __align__(128) char cualex_shared[];
#define SHARED(type, name) type* name = reinterpret_cast<type*>(cualex_shared)

#define ASYNC_COPIES (__CUDA_ARCH__ >= 800)  // what copies from global to shared memory does not go through registers

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return (unsigned)__cvta_generic_to_shared(pointer);
}

// Copy 16 bytes asynchronously (both addresses multiples of 16), or zeros where not `inside`; done after copy_wait.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool inside) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(inside ? 16 : 0)
                 : "memory");
#else
    *reinterpret_cast<uint4*>(shared) = inside ? *reinterpret_cast<const uint4*>(global) : make_uint4(0, 0, 0, 0);
#endif
}

// Copy 4 bytes (both addresses multiples of 4), or fill them with zeros.
__device__ __forceinline__ void copy_async_4(void* shared, const void* global, bool inside) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(inside ? 4 : 0)
                 : "memory");
#else
    *reinterpret_cast<unsigned*>(shared) = inside ? *reinterpret_cast<const unsigned*>(global) : 0u;
#endif
}

// Close the group of copies that this thread has issued since the last call.
__device__ __forceinline__ void copy_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait until at most `in_flight` of this thread's groups have not arrived; other threads see them after a barrier.
template <int in_flight>
__device__ __forceinline__ void copy_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(in_flight) : "memory");
#endif
}

// Load 16 bytes (the address a multiple of 16), or zeros where outside. Behind a branch the compiler would move the load
// to where its value is used, and there the thread would wait for it; so the instruction has a predicate.
__device__ __forceinline__ uint4 load_global_16(const void* global, bool inside) {
    uint4 words;
    asm volatile(
        "{\n .reg .pred inside;\n setp.ne.b32 inside, %5, 0;\n mov.b32 %0, 0;\n mov.b32 %1, 0;\n mov.b32 %2, 0;\n"
        " mov.b32 %3, 0;\n @inside ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
        : "=&r"(words.x), "=&r"(words.y), "=&r"(words.z), "=&r"(words.w)
        : "l"(global), "r"((int)inside)
        : "memory");
    return words;
}

// Round two floats to bfloat16, to nearest, ties to even; the first goes into the lower half.
__device__ __forceinline__ unsigned round_bf16_pair(float low, float high) {
#if __CUDA_ARCH__ >= 800
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return (unsigned)to_bf16(low) | (unsigned)to_bf16(high) << 16;
#endif
}

// Store 8 or 16 bytes to global memory (the address a multiple of as many) at once: NVRTC may split a store in C++.
__device__ __forceinline__ void store_global_8(void* global, uint2 words) {
    asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(global), "r"(words.x), "r"(words.y) : "memory");
}

__device__ __forceinline__ void store_global_16(void* global, uint4 words) {
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(global), "r"(words.x), "r"(words.y), "r"(words.z),
                 "r"(words.w)
                 : "memory");
}

// 1 / sqrt(value) to two units in the last pointer; what is smaller than a normal number counts as zero.
__device__ __forceinline__ float reciprocal_root(float value) {
    float root;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(value));
    return root;
}

#if __CUDA_ARCH__ >= 800

// Load four 8x8 matrices of 16-bit values: lane l gives the address of row l % 8 of matrix l / 8 (16 bytes, a
// multiple of 16), and gets of each matrix the values 2 * (l % 4) and the next of row l / 4.
__device__ __forceinline__ void load_matrix_x4(unsigned (&values)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(values[0]), "=r"(values[1]), "=r"(values[2]), "=r"(values[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same, each matrix transposed: the lane gets rows 2 * (l % 4) and the next, of column l / 4.
__device__ __forceinline__ void load_matrix_x4_transposed(unsigned (&values)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(values[0]), "=r"(values[1]), "=r"(values[2]), "=r"(values[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// Round to TF32: 10 bits behind the point, to nearest, ties away from zero.
__device__ __forceinline__ unsigned round_tf32(float value) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

// d[16][8] += a[16][8] * b[8][8] in TF32. Lane l with g = l / 4, t = l % 4 holds
//   a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)    b: (t, g), (t + 4, g) as (k, column)
//   d: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d[16][8] += a[16][16] * b[16][8] in bfloat16, two values a register, the lower index in the lower half.
//   a: (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8)    b: (2t, g), (2t + 8, g)    d: as mma_tf32
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif

#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // sm_90a: Hopper, and no other

// Make what this thread has written to shared memory visible to what reads it by the async proxy: wgmma, bulk copies.
__device__ __forceinline__ void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Order this warp's accesses to the registers of accumulators before the wgmmas that follow.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// Close the group of wgmmas that this warp has issued since the last call.
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Wait until at most `in_flight` of this warp's groups are not done. Until then accumulators must not be touched, nor
// shared memory overwritten that a wgmma reads.
template <int in_flight>
__device__ __forceinline__ void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(in_flight) : "memory");
}

// Let no read, write or copy of accumulators pass this place: the compiler knows of none that a wgmma in flight has.
template <int count>
__device__ __forceinline__ void wgmma_hold(float (&d)[count]) {
#pragma unroll
    for (int i = 0; i < count; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

#define WGMMA_SUMS_4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WGMMA_SUMS(d, i) \
    WGMMA_SUMS_4(d, i), WGMMA_SUMS_4(d, i + 4), WGMMA_SUMS_4(d, i + 8), WGMMA_SUMS_4(d, i + 12)

// Queue d[64][N] += a[64][16] * b[N][16] in bfloat16, N = 128 or 192, for the four warps of a warpgroup (the first a
// multiple of 4); a and b are descriptors of matrices in shared memory (gemm_wgmma.cuh), along the depth. Lane l of
// warp w with g = l / 4, t = l % 4 holds of row 16 * (w % 4) + g
//   d[4j], d[4j + 1]: columns 8j + 2t and the next    d[4j + 2], d[4j + 3]: the same of row + 8
__device__ __forceinline__ void wgmma_bf16(float (&d)[64], unsigned long long a, unsigned long long b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, 1, 1, 1, 0, 0;"
        : WGMMA_SUMS(d, 0), WGMMA_SUMS(d, 16), WGMMA_SUMS(d, 32), WGMMA_SUMS(d, 48)
        : "l"(a), "l"(b)
        : "memory");
}

__device__ __forceinline__ void wgmma_bf16(float (&d)[96], unsigned long long a, unsigned long long b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95}, "
        "%96, %97, 1, 1, 1, 0, 0;"
        : WGMMA_SUMS(d, 0), WGMMA_SUMS(d, 16), WGMMA_SUMS(d, 32), WGMMA_SUMS(d, 48),
          WGMMA_SUMS(d, 64), WGMMA_SUMS(d, 80)
        : "l"(a), "l"(b)
        : "memory");
}

#undef WGMMA_SUMS_4
#undef WGMMA_SUMS

#endif
