// The type of maps in memory, and loads and stores: float32, or bfloat16 as 16 bits.
//
//   FP32  float32 maps, multiplied in float32 (FFMA)
//   TF32  float32 maps, multiplied with operands rounded to TF32 (10 bits behind the point), sums in float32
//   BF16  bfloat16 maps and weight copies, multiplied in bfloat16, sums in float32
//
// Every kernel that touches maps has the choice PRECISION. Rounding is to nearest, ties to even; NaN stays
// NaN.
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
__device__ __forceinline__ float rounded(float value) { return from_bf16(to_bf16(value)); }
#else
__device__ __forceinline__ float load(const Value* address) { return *address; }
__device__ __forceinline__ void store(Value* address, float value) { *address = value; }
__device__ __forceinline__ float rounded(float value) { return value; }
#endif
