// half and __nv_bfloat16 for kernels of users: cuda_fp16.h and cuda_bf16.h. Every operation is one of floats, rounded once.
#pragma once
#include "user.h"

namespace emulator {

// Round to nearest even: `exponent` bits of exponent, `fraction` bits behind the point.
template <int exponent, int fraction>
inline unsigned short narrow(float value) {
    const unsigned bits = __float_as_uint(value), sign = bits >> 31 << 15, magnitude = bits & 0x7fffffffu;
    constexpr int bias = (1 << (exponent - 1)) - 1, spare = 23 - fraction;
    constexpr unsigned infinite = ((1u << exponent) - 1) << fraction;
    if (magnitude > 0x7f800000u) return sign | infinite | 1u << (fraction - 1);
    if (exponent == 8) return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const int power = (int)(magnitude >> 23) - 127 + bias;
    if (power >= (1 << exponent) - 1) return sign | infinite;
    const int lost = power > 0 ? spare : spare + 1 - power;  // the smallest numbers lose more
    if (lost > 24) return sign;
    const unsigned whole = (magnitude & 0x7fffffu) | 0x800000u, kept = whole >> lost;
    const unsigned rest = whole & ((1u << lost) - 1), tie = 1u << (lost - 1);
    const unsigned base = power > 0 ? (unsigned)(power - 1) << fraction : 0u;
    return sign | (base + kept + (rest > tie || (rest == tie && kept & 1u)));
}

// To odd, so that the rounding that follows is the only one.
inline float toward_odd(double value) {
    float narrowed = (float)value;
    if ((double)narrowed == value || isnan(value) || isinf(narrowed)) return narrowed;
    unsigned bits = __float_as_uint(narrowed);
    if (fabs((double)narrowed) > fabs(value)) --bits;
    return __uint_as_float(bits | 1u);
}

template <int exponent, int fraction>
inline float widen(unsigned short bits) {
    const unsigned sign = (unsigned)(bits >> 15) << 31, magnitude = bits & 0x7fffu;
    if (exponent == 8) return __uint_as_float((unsigned)bits << 16);
    const unsigned power = magnitude >> fraction, rest = magnitude & ((1u << fraction) - 1);
    constexpr int bias = (1 << (exponent - 1)) - 1;
    if (power == (1u << exponent) - 1) return __uint_as_float(sign | 0x7f800000u | rest << (23 - fraction));
    const float scale = __uint_as_float((unsigned)(127 + 1 - bias - fraction) << 23);  // of the last place
    if (!power) return sign ? -(rest * scale) : rest * scale;
    return __uint_as_float(sign | (power - bias + 127) << 23 | rest << (23 - fraction));
}

template <int exponent, int fraction>
struct Narrow {
    unsigned short bits;
    Narrow() = default;
    Narrow(float value) : bits(narrow<exponent, fraction>(value)) {}
    Narrow(double value) : Narrow(toward_odd(value)) {}
    Narrow(int value) : Narrow((float)value) {}
    Narrow(unsigned value) : Narrow((float)value) {}
    operator float() const { return widen<exponent, fraction>(bits); }
    Narrow& operator+=(Narrow other) { return *this = Narrow((float)*this + (float)other); }
    Narrow& operator-=(Narrow other) { return *this = Narrow((float)*this - (float)other); }
    Narrow& operator*=(Narrow other) { return *this = Narrow((float)*this * (float)other); }
    Narrow& operator/=(Narrow other) { return *this = Narrow((float)*this / (float)other); }
};
#define OPERATOR(sign)                                                      \
    template <int e, int f>                                                 \
    inline Narrow<e, f> operator sign(Narrow<e, f> a, Narrow<e, f> b) {     \
        return Narrow<e, f>((float)a sign(float) b);                        \
    }
OPERATOR(+) OPERATOR(-) OPERATOR(*) OPERATOR(/)
#undef OPERATOR
#define COMPARISON(sign)                                                    \
    template <int e, int f>                                                 \
    inline bool operator sign(Narrow<e, f> a, Narrow<e, f> b) {             \
        return (float)a sign(float) b;                                      \
    }
COMPARISON(<) COMPARISON(>) COMPARISON(<=) COMPARISON(>=) COMPARISON(==) COMPARISON(!=)
#undef COMPARISON

template <class T>
struct alignas(4) Two {
    T x, y;
};

}  // namespace emulator

typedef emulator::Narrow<5, 10> __half;
typedef emulator::Narrow<8, 7> __nv_bfloat16;
typedef emulator::Two<__half> __half2;
typedef emulator::Two<__nv_bfloat16> __nv_bfloat162;
typedef __half half;
typedef __half2 half2;
typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

namespace emulator {
TYPE(__half, 115) TYPE(__half2, 215) TYPE(__nv_bfloat16, 116) TYPE(__nv_bfloat162, 216)
}

inline __half __float2half(float a) { return a; }
inline __half __float2half_rn(float a) { return a; }
inline float __half2float(__half a) { return a; }
inline __nv_bfloat16 __float2bfloat16(float a) { return a; }
inline __nv_bfloat16 __float2bfloat16_rn(float a) { return a; }
inline float __bfloat162float(__nv_bfloat16 a) { return a; }
inline __half __int2half_rn(int a) { return a; }
inline int __half2int_rz(__half a) { return (int)(float)a; }
inline __half2 __floats2half2_rn(float a, float b) { return {a, b}; }
inline __half2 __float2half2_rn(float a) { return {a, a}; }
inline float2 __half22float2(__half2 a) { return {a.x, a.y}; }
inline float __low2float(__half2 a) { return a.x; }
inline float __high2float(__half2 a) { return a.y; }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {a, b}; }
inline __nv_bfloat162 __float2bfloat162_rn(float a) { return {a, a}; }
inline float2 __bfloat1622float2(__nv_bfloat162 a) { return {a.x, a.y}; }
#define EACH(type, pair, two)                                                                                    \
    inline type __hadd(type a, type b) { return a + b; }                                                        \
    inline type __hsub(type a, type b) { return a - b; }                                                        \
    inline type __hmul(type a, type b) { return a * b; }                                                        \
    inline type __hdiv(type a, type b) { return a / b; }                                                        \
    inline type __hneg(type a) { return -(float)a; }                                                            \
    inline type __habs(type a) { return fabsf(a); }                                                             \
    inline type __hmax(type a, type b) { return fmaxf(a, b); }                                                  \
    inline type __hmin(type a, type b) { return fminf(a, b); }                                                  \
    inline type __hfma(type a, type b, type c) { return (double)(float)a * (double)(float)b + (double)(float)c; }  \
    inline bool __hgt(type a, type b) { return a > b; }                                                         \
    inline bool __hlt(type a, type b) { return a < b; }                                                         \
    inline bool __hge(type a, type b) { return a >= b; }                                                        \
    inline bool __hle(type a, type b) { return a <= b; }                                                        \
    inline bool __heq(type a, type b) { return a == b; }                                                        \
    inline bool __hisnan(type a) { return isnan((float)a); }                                                    \
    inline type hexp(type a) { return expf(a); }                                                                \
    inline type hlog(type a) { return logf(a); }                                                                \
    inline type hsqrt(type a) { return sqrtf(a); }                                                              \
    inline type hrcp(type a) { return 1.0f / (float)a; }                                                        \
    inline pair __hadd2(pair a, pair b) { return {a.x + b.x, a.y + b.y}; }                                      \
    inline pair __hsub2(pair a, pair b) { return {a.x - b.x, a.y - b.y}; }                                      \
    inline pair __hmul2(pair a, pair b) { return {a.x * b.x, a.y * b.y}; }                                      \
    inline pair __hfma2(pair a, pair b, pair c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }      \
    inline pair operator+(pair a, pair b) { return __hadd2(a, b); }                                             \
    inline pair operator-(pair a, pair b) { return __hsub2(a, b); }                                             \
    inline pair operator*(pair a, pair b) { return __hmul2(a, b); }                                             \
    inline type __low2##two(pair a) { return a.x; }                                                             \
    inline type __high2##two(pair a) { return a.y; }                                                            \
    inline pair __##two##2##two##2(type a) { return {a, a}; }                                                   \
    inline pair __halves2##two##2(type a, type b) { return {a, b}; }                                            \
    inline pair make_##two##2(type a, type b) { return {a, b}; }
EACH(__half, __half2, half)
EACH(__nv_bfloat16, __nv_bfloat162, bfloat16)
#undef EACH
