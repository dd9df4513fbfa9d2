// VECTOR values that lie in a row, read and written as one access: 16 bytes where the sizes allow, else one by one.
//
// VECTOR is a choice: 1, 4 (float or bfloat16) or 8 (bfloat16). Addresses are multiples of the access: the engine
// chooses VECTOR so that it divides the length of every row.
#pragma once
#include "values.cuh"

__device__ __forceinline__ void load_floats(float (&values)[VECTOR], const float* place) {
#if VECTOR == 1
    values[0] = *place;
#else
#pragma unroll
    for (int i = 0; i < VECTOR; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(place + i);
        values[i] = four.x, values[i + 1] = four.y, values[i + 2] = four.z, values[i + 3] = four.w;
    }
#endif
}

__device__ __forceinline__ void store_floats(float* place, const float (&values)[VECTOR]) {
#if VECTOR == 1
    *place = values[0];
#else
#pragma unroll
    for (int i = 0; i < VECTOR; i += 4)
        *reinterpret_cast<float4*>(place + i) = make_float4(values[i], values[i + 1], values[i + 2], values[i + 3]);
#endif
}

#if PRECISION == BF16 && VECTOR > 1
__device__ __forceinline__ void unpack_pair(float& low, float& high, unsigned pair) {
    low = __uint_as_float(pair << 16);
    high = __uint_as_float(pair & 0xffff0000u);
}

__device__ __forceinline__ unsigned pack_pair(float low, float high) {
    return (unsigned)to_bf16(low) | (unsigned)to_bf16(high) << 16;
}
#endif

__device__ __forceinline__ void load_vector(float (&values)[VECTOR], const Value* place) {
#if PRECISION != BF16
    load_floats(values, place);
#elif VECTOR == 8
    const uint4 words = *reinterpret_cast<const uint4*>(place);
    unpack_pair(values[0], values[1], words.x);
    unpack_pair(values[2], values[3], words.y);
    unpack_pair(values[4], values[5], words.z);
    unpack_pair(values[6], values[7], words.w);
#elif VECTOR == 4
    const uint2 words = *reinterpret_cast<const uint2*>(place);
    unpack_pair(values[0], values[1], words.x);
    unpack_pair(values[2], values[3], words.y);
#else
    values[0] = load(place);
#endif
}

__device__ __forceinline__ void store_vector(Value* place, const float (&values)[VECTOR]) {
#if PRECISION != BF16
    store_floats(place, values);
#elif VECTOR == 8
    *reinterpret_cast<uint4*>(place) = make_uint4(pack_pair(values[0], values[1]), pack_pair(values[2], values[3]),
                                                  pack_pair(values[4], values[5]), pack_pair(values[6], values[7]));
#elif VECTOR == 4
    *reinterpret_cast<uint2*>(place) = make_uint2(pack_pair(values[0], values[1]), pack_pair(values[2], values[3]));
#else
    store(place, values[0]);
#endif
}

// VECTOR bytes in a row: the choices of max-pooling.
__device__ __forceinline__ void load_bytes(unsigned (&bytes)[VECTOR], const unsigned char* place) {
#if VECTOR == 1
    bytes[0] = *place;
#else
#pragma unroll
    for (int i = 0; i < VECTOR; i += 4) {
        const unsigned word = *reinterpret_cast<const unsigned*>(place + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) bytes[i + j] = word >> 8 * j & 255u;
    }
#endif
}

__device__ __forceinline__ void store_bytes(unsigned char* place, const unsigned (&bytes)[VECTOR]) {
#if VECTOR == 1
    *place = (unsigned char)bytes[0];
#else
#pragma unroll
    for (int i = 0; i < VECTOR; i += 4)
        *reinterpret_cast<unsigned*>(place + i) =
            bytes[i] | bytes[i + 1] << 8 | bytes[i + 2] << 16 | bytes[i + 3] << 24;
#endif
}
