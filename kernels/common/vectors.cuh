// Vectorised loads and stores of 1, 2, 4 or 8 contiguous values: up to 16 bytes per access.
//
// The length of the array says how many. Addresses are multiples of the access: the engine chooses VECTOR, the values
// that a thread has, so that it divides the length of every row. `store_shared` writes to shared memory, every other
// store to global memory.
//
// expects: PRECISION
#pragma once
#include "primitives.cuh"
#include "values.cuh"

__device__ __forceinline__ void load_floats(float (&values)[1], const float* address) { values[0] = *address; }

__device__ __forceinline__ void load_floats(float (&values)[2], const float* address) {
    const float2 two = *reinterpret_cast<const float2*>(address);
    values[0] = two.x, values[1] = two.y;
}

__device__ __forceinline__ void load_floats(float (&values)[4], const float* address) {
    const float4 four = *reinterpret_cast<const float4*>(address);
    values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
}

__device__ __forceinline__ void store_floats(float* address, const float (&values)[1]) { *address = values[0]; }

__device__ __forceinline__ void store_floats(float* address, const float (&values)[4]) {
    store_global_16(address, make_uint4(__float_as_uint(values[0]), __float_as_uint(values[1]),
                                      __float_as_uint(values[2]), __float_as_uint(values[3])));
}

__device__ __forceinline__ void store_shared(float* address, const float (&values)[1]) { address[0] = values[0]; }

__device__ __forceinline__ void store_shared(float* address, const float (&values)[4]) {
    *reinterpret_cast<float4*>(address) = make_float4(values[0], values[1], values[2], values[3]);
}

#if PRECISION == BF16

__device__ __forceinline__ void unpack_pair(float& low, float& high, unsigned pair) {
    low = __uint_as_float(pair << 16);
    high = __uint_as_float(pair & 0xffff0000u);
}

__device__ __forceinline__ void load_vector(float (&values)[1], const Value* address) { values[0] = load(address); }

__device__ __forceinline__ void load_vector(float (&values)[4], const Value* address) {
    const uint2 words = *reinterpret_cast<const uint2*>(address);
    unpack_pair(values[0], values[1], words.x);
    unpack_pair(values[2], values[3], words.y);
}

__device__ __forceinline__ void load_vector(float (&values)[8], const Value* address) {
    const uint4 words = *reinterpret_cast<const uint4*>(address);
    unpack_pair(values[0], values[1], words.x);
    unpack_pair(values[2], values[3], words.y);
    unpack_pair(values[4], values[5], words.z);
    unpack_pair(values[6], values[7], words.w);
}

__device__ __forceinline__ uint2 rounded_words(const float (&values)[4]) {
    return make_uint2(round_bf16_pair(values[0], values[1]), round_bf16_pair(values[2], values[3]));
}

__device__ __forceinline__ uint4 rounded_words(const float (&values)[8]) {
    return make_uint4(round_bf16_pair(values[0], values[1]), round_bf16_pair(values[2], values[3]),
                      round_bf16_pair(values[4], values[5]), round_bf16_pair(values[6], values[7]));
}

__device__ __forceinline__ void store_vector(Value* address, const float (&values)[1]) { store(address, values[0]); }

__device__ __forceinline__ void store_vector(Value* address, const float (&values)[4]) {
    store_global_8(address, rounded_words(values));
}

__device__ __forceinline__ void store_vector(Value* address, const float (&values)[8]) {
    store_global_16(address, rounded_words(values));
}

__device__ __forceinline__ void store_shared(Value* address, const float (&values)[1]) { store(address, values[0]); }

__device__ __forceinline__ void store_shared(Value* address, const float (&values)[8]) {
    *reinterpret_cast<uint4*>(address) = rounded_words(values);
}

// Round numbers as if they were stored and read again.
template <int count>
__device__ __forceinline__ void round_vector(float (&values)[count]) {
    if (count == 1) values[0] = rounded(values[0]);
#pragma unroll
    for (int i = 0; i + 1 < count; i += 2)
        unpack_pair(values[i], values[i + 1], round_bf16_pair(values[i], values[i + 1]));
}

#else

template <int count>
__device__ __forceinline__ void round_vector(float (&values)[count]) {}

template <int count>
__device__ __forceinline__ void load_vector(float (&values)[count], const Value* address) {
    load_floats(values, address);
}

template <int count>
__device__ __forceinline__ void store_vector(Value* address, const float (&values)[count]) {
#if PRECISION == TF32
    float stored[count];
#pragma unroll
    for (int i = 0; i < count; ++i) stored[i] = to_tf32(values[i]);
    store_floats(address, stored);
#else
    store_floats(address, values);
#endif
}

#endif

// Contiguous bytes, four to a word: the choices of max-pooling.
template <int count>
struct Bytes {
    unsigned words[(count + 3) / 4];

    __device__ __forceinline__ void load(const unsigned char* address) {
        if (count == 1) words[0] = *address;
        if (count == 4) words[0] = *reinterpret_cast<const unsigned*>(address);
        if (count == 8) {
            const uint2 both = *reinterpret_cast<const uint2*>(address);
            words[0] = both.x, words[(count - 1) / 4] = both.y;
        }
    }

    __device__ __forceinline__ void store(unsigned char* address) const {
        if (count == 1) *address = (unsigned char)words[0];
        if (count == 4) *reinterpret_cast<unsigned*>(address) = words[0];
        if (count == 8) store_global_8(address, make_uint2(words[0], words[(count - 1) / 4]));
    }

    __device__ __forceinline__ void pack(const unsigned (&bytes)[count]) {
#pragma unroll
        for (int i = 0; i < count; ++i) words[i / 4] = i % 4 == 0 ? bytes[i] : words[i / 4] | bytes[i] << i % 4 * 8;
    }

    // Compare all bytes with one; `equal` tells how that ended.
    __device__ __forceinline__ void compare(unsigned byte) {
#pragma unroll
        for (int i = 0; i < (count + 3) / 4; ++i) words[i] ^= byte * 0x01010101u;
    }

    __device__ __forceinline__ bool equal(int i) const { return (words[i / 4] & 255u << i % 4 * 8) == 0; }
};
