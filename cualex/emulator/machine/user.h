// CUDA C++ as nvcc has it for kernels of users: cuda.h, variables in __shared__ memory, and the names that programs
// expect without a header. cualex/emulator/source.py puts this before the user's text, and ENTRY behind it.
#pragma once
#define CUALEX_USER
#define __CUDACC__ 1
#define __NVCC__ 1
#define __CUDA_ARCH__ 900
#include <float.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda.h"

// Threads of a block are fibers of one thread of the CPU: its thread-local variables are theirs together, also in
// templates, where g++ ignores a section. Those of extern __shared__ are an array of the assembler's.
#define __shared__ static thread_local
// So that the library has such memory, and dlsym a name in it:
extern "C" __attribute__((visibility("default"))) thread_local char cualex_mark;
thread_local char cualex_mark;
asm(".pushsection .bss.cualex,\"aw\",@nobits\n.balign 128\n.globl cualex_dynamic\n.protected cualex_dynamic\n"
    "cualex_dynamic: .zero 262144\n.popsection");

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define CUDART_INF_F INFINITY
#define CUDART_NAN_F NAN
#define M_PI 3.14159265358979323846
#define __managed__
#define __inline__ inline
#define __device_builtin__
typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned char uchar;
typedef int cudaError_t;
typedef void* cudaStream_t;
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    dim3(emulator::Index index) : x(index.x), y(index.y), z(index.z) {}
};
namespace std {}

#define printf(...) emulator::print(__VA_ARGS__)
#define assert(condition) ((condition) ? (void)0 : emulator::fail("assertion failed: " #condition))
__forceinline__ void __threadfence_system() { emulator::fence(); }
__forceinline__ void sincosf(float a, float* sine, float* cosine) { *sine = sinf(a), *cosine = cosf(a); }
__forceinline__ void __sincosf(float a, float* sine, float* cosine) { sincosf(a, sine, cosine); }
__forceinline__ float __tanhf(float a) { return tanhf(a); }
__forceinline__ float __tanf(float a) { return sinf(a) / cosf(a); }
__forceinline__ float normcdff(float a) { return 0.5f * erfcf(-a * 0.70710678f); }

// Types of arguments, for arguments.py: base + 100 * lanes, and what is added for pointers.
namespace emulator {

enum { POINTER = 10000, CONST_POINTER = 20000 };
template <class T>
constexpr int type_code = 0;
#define TYPE(type, code) \
    template <>          \
    constexpr int type_code<type> = code;
TYPE(bool, 101) TYPE(char, 102) TYPE(signed char, 103) TYPE(unsigned char, 104) TYPE(short, 105)
TYPE(unsigned short, 106) TYPE(int, 107) TYPE(unsigned, 108) TYPE(long, 109) TYPE(unsigned long, 110)
TYPE(long long, 111) TYPE(unsigned long long, 112) TYPE(float, 113) TYPE(double, 114) TYPE(void, 117)
#define VECTOR(name, code)                                            \
    TYPE(name##1, 100 + code) TYPE(name##2, 200 + code) TYPE(name##3, 300 + code) TYPE(name##4, 400 + code)
VECTOR(char, 3) VECTOR(uchar, 4) VECTOR(short, 5) VECTOR(ushort, 6) VECTOR(int, 7) VECTOR(uint, 8)
VECTOR(longlong, 11) VECTOR(ulonglong, 12) VECTOR(float, 13) VECTOR(double, 14)
#undef VECTOR
template <class T>
constexpr int type_code<T*> = POINTER + type_code<T>;
template <class T>
constexpr int type_code<const T*> = CONST_POINTER + type_code<T>;
template <class T>
constexpr int type_code<volatile T*> = type_code<T*>;
template <class T>
constexpr int type_code<T**> = 0;

template <int... i>
struct Indices {};

template <auto kernel>
struct Entry;
template <class... A, void (*kernel)(A...)>
struct Entry<kernel> {
    static constexpr int types[] = {type_code<A>..., -1};

    // Not watched, and g++ puts no watched function into one that is not: the arguments lie in Python's memory.
    template <int... i>
    __attribute__((no_sanitize("thread"))) static void call(void** arguments, Indices<i...>) {
        kernel(*static_cast<A*>(arguments[i])...);
    }
    static void enter(void** arguments) { call(arguments, Indices<__integer_pack(sizeof...(A))...>()); }
};

}  // namespace emulator
