// The type of maps in memory, and loads and stores: float32, or bfloat16 as 16 bits.
//
//   FP32  float32
//   TF32  float32 of TF32's values, 10 bits behind the point: what gemms on tensor cores read in precision tf32. What
//         no gemm reads is FP32 there (cualex/plan/operands.py)
//   BF16  bfloat16
//
// Every kernel that touches maps has the choice PRECISION: how it stores them, and the copy of weights. Sums are
// float32. Rounding is to nearest, ties to even in bfloat16, away from zero in TF32; NaN stays NaN, Inf stays Inf.
//
// expects: PRECISION
#pragma once
#include "bf16.cuh"

#define FP32 0
#define TF32 1
#define BF16 2

#if PRECISION == BF16
typedef unsigned short Value;
#else
typedef float Value;
#endif

#define MINUS_INFINITY __uint_as_float(0xff800000u)

#if PRECISION == BF16
__device__ __forceinline__ float load(const Value* address) { return from_bf16(*address); }
__device__ __forceinline__ void store(Value* address, float value) { *address = to_bf16(value); }
// Unrounded where Value is float32.
__device__ __forceinline__ void store_unrounded(Value* address, float value) { store(address, value); }
__device__ __forceinline__ float rounded(float value) { return from_bf16(to_bf16(value)); }  // as stored in between
#else
// Round to TF32. Tensor cores ignore the last 13 bits, all that some NaN have: a bit is set above them. (cvt.rna.tf32
// leaves those 13 bits open, and sums of biases and FFMA read them.)
__device__ __forceinline__ float to_tf32(float value) {
    const unsigned bits = __float_as_uint(value);
    return __uint_as_float((value != value ? bits | 0x400000u : bits + 0x1000u) & 0xffffe000u);
}

__device__ __forceinline__ float load(const Value* address) { return *address; }
__device__ __forceinline__ void store(Value* address, float value) {
    *address = PRECISION == TF32 ? to_tf32(value) : value;
}
__device__ __forceinline__ void store_unrounded(Value* address, float value) { *address = value; }
__device__ __forceinline__ float rounded(float value) { return value; }
#endif
