// Arithmetic of CUDA C++: what rounds once there rounds once here (g++ runs with -ffp-contract=off).
//
// Fast versions (__expf, __logf, ...) have the value of the exact ones: on a GPU they differ in the last bits.
#pragma once

template <class To, class From>
__forceinline__ To bits_as(From value) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}
__forceinline__ unsigned __float_as_uint(float value) { return bits_as<unsigned>(value); }
__forceinline__ int __float_as_int(float value) { return bits_as<int>(value); }
__forceinline__ float __uint_as_float(unsigned bits) { return bits_as<float>(bits); }
__forceinline__ float __int_as_float(int bits) { return bits_as<float>(bits); }
__forceinline__ long long __double_as_longlong(double value) { return bits_as<long long>(value); }
__forceinline__ double __longlong_as_double(long long bits) { return bits_as<double>(bits); }

__forceinline__ float __fadd_rn(float a, float b) { return a + b; }
__forceinline__ float __fsub_rn(float a, float b) { return a - b; }
__forceinline__ float __fmul_rn(float a, float b) { return a * b; }
__forceinline__ float __fdiv_rn(float a, float b) { return a / b; }
__forceinline__ float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
__forceinline__ float __frcp_rn(float a) { return 1.0f / a; }
__forceinline__ float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
__forceinline__ double __dadd_rn(double a, double b) { return a + b; }
__forceinline__ double __dsub_rn(double a, double b) { return a - b; }
__forceinline__ double __dmul_rn(double a, double b) { return a * b; }
__forceinline__ double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }

// The C library's, of one, two and three arguments; for floats also without the f.
#define ONE(name)                                                             \
    __forceinline__ float name##f(float a) { return __builtin_##name##f(a); } \
    __forceinline__ float name(float a) { return __builtin_##name##f(a); }    \
    __forceinline__ double name(double a) { return __builtin_##name(a); }
#define TWO(name)                                                                         \
    __forceinline__ float name##f(float a, float b) { return __builtin_##name##f(a, b); } \
    __forceinline__ float name(float a, float b) { return __builtin_##name##f(a, b); }    \
    __forceinline__ double name(double a, double b) { return __builtin_##name(a, b); }
ONE(sqrt) ONE(exp) ONE(exp2) ONE(expm1) ONE(log) ONE(log2) ONE(log10) ONE(log1p) ONE(sin) ONE(cos) ONE(tanh)
ONE(erf) ONE(erfc) ONE(cbrt) ONE(floor) ONE(ceil) ONE(trunc) ONE(round) ONE(rint) ONE(fabs)
TWO(pow) TWO(fmod) TWO(fmax) TWO(fmin) TWO(copysign) TWO(hypot)
#undef ONE
#undef TWO
__forceinline__ float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
__forceinline__ float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
__forceinline__ double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
__forceinline__ float rsqrtf(float a) { return (float)(1.0 / __builtin_sqrt((double)a)); }
__forceinline__ double rsqrt(double a) { return 1.0 / __builtin_sqrt(a); }
__forceinline__ float __frsqrt_rn(float a) { return rsqrtf(a); }
__forceinline__ float __expf(float a) { return __builtin_expf(a); }
__forceinline__ float __exp10f(float a) { return __builtin_powf(10.0f, a); }
__forceinline__ float __logf(float a) { return __builtin_logf(a); }
__forceinline__ float __log2f(float a) { return __builtin_log2f(a); }
__forceinline__ float __log10f(float a) { return __builtin_log10f(a); }
__forceinline__ float __powf(float a, float b) { return __builtin_powf(a, b); }
__forceinline__ float __sinf(float a) { return __builtin_sinf(a); }
__forceinline__ float __cosf(float a) { return __builtin_cosf(a); }
__forceinline__ float __fdividef(float a, float b) { return a / b; }
__forceinline__ float __saturatef(float a) { return a > 0.0f ? a < 1.0f ? a : 1.0f : 0.0f; }

#define CLASSES(type)                                                             \
    __forceinline__ bool isnan(type a) { return __builtin_isnan(a); }             \
    __forceinline__ bool isinf(type a) { return __builtin_isinf(a); }             \
    __forceinline__ bool isfinite(type a) { return __builtin_isfinite(a); }       \
    __forceinline__ bool signbit(type a) { return __builtin_signbit(a); }
CLASSES(float)
CLASSES(double)
#undef CLASSES

#define EXTREMES(type)                                                \
    __forceinline__ type min(type a, type b) { return b < a ? b : a; } \
    __forceinline__ type max(type a, type b) { return a < b ? b : a; }
EXTREMES(int)
EXTREMES(unsigned)
EXTREMES(long)
EXTREMES(unsigned long)
EXTREMES(long long)
EXTREMES(unsigned long long)
#undef EXTREMES
__forceinline__ unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
__forceinline__ unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
__forceinline__ unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
__forceinline__ unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
// Of a number and a NaN these give the number, as CUDA's do.
__forceinline__ float min(float a, float b) { return __builtin_fminf(a, b); }
__forceinline__ float max(float a, float b) { return __builtin_fmaxf(a, b); }
__forceinline__ double min(double a, double b) { return __builtin_fmin(a, b); }
__forceinline__ double max(double a, double b) { return __builtin_fmax(a, b); }
__forceinline__ int abs(int a) { return a < 0 ? -a : a; }
__forceinline__ float abs(float a) { return __builtin_fabsf(a); }
__forceinline__ double abs(double a) { return __builtin_fabs(a); }

__forceinline__ unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
__forceinline__ int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
__forceinline__ int __popc(unsigned a) { return __builtin_popcount(a); }
__forceinline__ int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
__forceinline__ int __clz(int a) { return a ? __builtin_clz((unsigned)a) : 32; }
__forceinline__ int __clzll(long long a) { return a ? __builtin_clzll((unsigned long long)a) : 64; }
__forceinline__ int __ffs(int a) { return __builtin_ffs(a); }
__forceinline__ unsigned __brev(unsigned a) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; ++i) reversed |= (a >> i & 1u) << (31 - i);
    return reversed;
}

__forceinline__ int __float2int_rn(float a) { return (int)__builtin_rintf(a); }
__forceinline__ int __float2int_rz(float a) { return (int)a; }
__forceinline__ int __float2int_rd(float a) { return (int)__builtin_floorf(a); }
__forceinline__ int __float2int_ru(float a) { return (int)__builtin_ceilf(a); }
__forceinline__ unsigned __float2uint_rn(float a) { return (unsigned)__builtin_rintf(a); }
__forceinline__ unsigned __float2uint_rz(float a) { return (unsigned)a; }
__forceinline__ float __int2float_rn(int a) { return (float)a; }
__forceinline__ float __uint2float_rn(unsigned a) { return (float)a; }
__forceinline__ float __double2float_rn(double a) { return (float)a; }
