// Operands that are plain matrices: rows of `pitch` values, of which `count` rows are there.
#pragma once
#include "tile.cuh"

// Rows of the operand are rows of the matrix: its values lie along the depth.
struct Rows {
    const Value* first;
    int count, pitch, depth;

    __device__ __forceinline__ Place at(int, int row, int k) const {
        return {first + (long long)row * pitch + k, row < count && k < depth};
    }
};

// Rows of the matrix are the depth: values lie across it, `count` of them in each row.
struct Columns {
    const Value* first;
    int count, pitch, depth;

    __device__ __forceinline__ Place at(int, int place, int k) const {
        return {first + (long long)k * pitch + place, place < count && k < depth};
    }
};
