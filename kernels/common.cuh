// What the kernels share. NVRTC knows no standard headers, so nothing is included here.
//
// Every kernel of this folder
//   * is launched with a grid and a block of one dimension, the block a multiple of 32;
//   * gives the same bits for every such launch: work is cut into units (a row, a row's PARTS)
//     that do not depend on the launch, and each unit is summed in one order;
//   * adds no floating-point numbers atomically;
//   * counts entries and rows of matrices in 64 bits.
#pragma once

typedef long long int64;
typedef unsigned long long uint64;

#define FULL_MASK 0xffffffffu

#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(type, name)                                \
    extern __shared__ __align__(16) unsigned char name##_bytes[]; \
    type* name = reinterpret_cast<type*>(name##_bytes)
#endif

// Partial sums of a matrix row: entry j belongs to partial j % PARTS, whoever computes it.
constexpr int PARTS = 8;

__device__ __forceinline__ int lane_number() { return threadIdx.x % 32; }
__device__ __forceinline__ int warp_number() { return threadIdx.x / 32; }
__device__ __forceinline__ int warps_in_block() { return blockDim.x / 32; }

// This warp's number among all of the grid, and how many there are.
__device__ __forceinline__ int64 global_warp() {
    return static_cast<int64>(blockIdx.x) * warps_in_block() + warp_number();
}
__device__ __forceinline__ int64 global_warps() {
    return static_cast<int64>(gridDim.x) * warps_in_block();
}

// Sum over a warp, the same bits in every lane (each step adds the same two numbers in both).
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
    for (int offset = 16; offset > 0; offset /= 2) {
        value += __shfl_xor_sync(FULL_MASK, value, offset);
    }
    return value;
}

__device__ __forceinline__ uint64 warp_max(uint64 value) {
    for (int offset = 16; offset > 0; offset /= 2) {
        const uint64 other = __shfl_xor_sync(FULL_MASK, value, offset);
        value = other > value ? other : value;
    }
    return value;
}

// Maximum over a block, in every thread; `scratch` is shared and holds 32 numbers.
// All threads of the block must call it.
__device__ __forceinline__ uint64 block_max(uint64 value, uint64* scratch) {
    value = warp_max(value);
    if (lane_number() == 0) scratch[warp_number()] = value;
    __syncthreads();
    value = lane_number() < warps_in_block() ? scratch[lane_number()] : 0;
    value = warp_max(value);
    __syncthreads();  // before anyone writes scratch again
    return value;
}

// One number that ranks (score, item): higher score first, then smaller item. Bits of floats that
// are not negative order like the floats. No key is 0, so 0 can mean "none".
__device__ __forceinline__ uint64 rank_key(float score, int item) {
    const uint64 bits = __float_as_uint(score);
    return (bits << 32) | (0xffffffffu - static_cast<unsigned>(item));
}
__device__ __forceinline__ int key_item(uint64 key) {
    return static_cast<int>(0xffffffffu - static_cast<unsigned>(key & 0xffffffffu));
}
__device__ __forceinline__ float key_score(uint64 key) {
    return __uint_as_float(static_cast<unsigned>(key >> 32));
}

// Whether ascending `values`[low, high) hold `wanted`.
__device__ __forceinline__ bool holds(const int* values, int64 low, int64 high, int wanted) {
    while (low < high) {
        const int64 middle = low + (high - low) / 2;
        const int found = values[middle];
        if (found == wanted) return true;
        if (found < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}
