// CUDA C++ as host C++: what a kernel file needs to be compiled by g++ and run without a GPU.
//
// Offered is what kernels may use. Left out on purpose: atomics on floats (their order would change
// results), fast-math intrinsics (they differ from the host's in the last bits) and anything that
// the oldest architecture lacks. Blocks run one after another, so that an atomic is a plain
// operation and waiting for another block never ends.
#pragma once

#include <math.h>

#include "shim_launch.h"

// -- keywords ------------------------------------------------------------------------------------

#ifndef SHIM_SCAN  // the scan for kernels looks for these
#define __global__
#define __launch_bounds__(...)
#endif
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
// "used" tells the compiler that others write there as well (the poison, see shim.ld).
#define __shared__ static __attribute__((used))
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(shim::dynamic_memory)

// Where a call stands, for messages and to tell one barrier from another.
#define SHIM_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SHIM_HERE shim::Site{__func__, file, line}

// -- barriers ------------------------------------------------------------------------------------

static inline void __syncthreads(SHIM_SITE) { shim::barrier(SHIM_HERE, false); }
static inline int __syncthreads_count(int predicate, SHIM_SITE) {
  return shim::barrier(SHIM_HERE, predicate != 0);
}
static inline int __syncthreads_or(int predicate, SHIM_SITE) {
  return shim::barrier(SHIM_HERE, predicate != 0) > 0;
}
static inline int __syncthreads_and(int predicate, SHIM_SITE) {
  return shim::barrier(SHIM_HERE, predicate != 0) == static_cast<int>(blockDim.x);
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// -- warp collectives ----------------------------------------------------------------------------

static inline void __syncwarp(unsigned mask = 0xffffffffu, SHIM_SITE) {
  shim::collective(SHIM_HERE, mask, 0, -1);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, SHIM_SITE) {
  return static_cast<unsigned>(shim::collective(SHIM_HERE, mask, predicate != 0, -1));
}
static inline int __any_sync(unsigned mask, int predicate, SHIM_SITE) {
  return shim::collective(SHIM_HERE, mask, predicate != 0, -1) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, SHIM_SITE) {
  return shim::collective(SHIM_HERE, mask, predicate != 0, -1) == mask;
}

namespace shim {

template <class T> static T shuffle(const Site& site, unsigned mask, T value, int source) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = collective(site, mask, bits, source);
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline int lane() { return static_cast<int>(threadIdx.x) % WARP; }
static inline int segment_begin(int width) { return lane() & ~(width - 1); }

}  // namespace shim

template <class T>
static T __shfl_sync(unsigned mask, T value, int source, int width = 32, SHIM_SITE) {
  const int from = shim::segment_begin(width) | (source & (width - 1));
  return shim::shuffle(SHIM_HERE, mask, value, from);
}
template <class T>
static T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SHIM_SITE) {
  const int from = shim::lane() - static_cast<int>(delta);
  const bool inside = from >= shim::segment_begin(width);
  return shim::shuffle(SHIM_HERE, mask, value, inside ? from : shim::lane());
}
template <class T>
static T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SHIM_SITE) {
  const int from = shim::lane() + static_cast<int>(delta);
  const bool inside = from < shim::segment_begin(width) + width;
  return shim::shuffle(SHIM_HERE, mask, value, inside ? from : shim::lane());
}
template <class T>
static T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, SHIM_SITE) {
  const int from = shim::lane() ^ lane_mask;
  const bool inside = from < shim::segment_begin(width) + width;
  return shim::shuffle(SHIM_HERE, mask, value, inside ? from : shim::lane());
}

// -- atomics, of integers alone ------------------------------------------------------------------

#define SHIM_ATOMIC(name, type, result)                                        \
  static inline type name(type* address, type value) {                         \
    const type old = *address;                                                 \
    *address = result;                                                         \
    return old;                                                                \
  }
#define SHIM_ATOMICS(type)                                                     \
  SHIM_ATOMIC(atomicMax, type, old > value ? old : value)                      \
  SHIM_ATOMIC(atomicMin, type, old < value ? old : value)                      \
  SHIM_ATOMIC(atomicAnd, type, old & value)                                    \
  SHIM_ATOMIC(atomicOr, type, old | value)                                     \
  SHIM_ATOMIC(atomicXor, type, old ^ value)
SHIM_ATOMICS(int)
SHIM_ATOMICS(unsigned)
SHIM_ATOMICS(long long)
SHIM_ATOMICS(unsigned long long)
SHIM_ATOMIC(atomicAdd, int, static_cast<int>(static_cast<unsigned>(old) + value))
SHIM_ATOMIC(atomicAdd, unsigned, old + value)
SHIM_ATOMIC(atomicAdd, unsigned long long, old + value)
#undef SHIM_ATOMICS
#undef SHIM_ATOMIC
float atomicAdd(float*, float) = delete;    // the order of the sum would change the result
double atomicAdd(double*, double) = delete;

// -- bits ----------------------------------------------------------------------------------------

template <class To, class From> static inline To shim_bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static inline int __float_as_int(float x) { return shim_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return shim_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return shim_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return shim_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return shim_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return shim_bits<double>(x); }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
static inline int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

// -- arithmetic (compiled without contraction, each operation rounds by itself) ------------------

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double x) { return sqrt(x); }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline float __double2float_rn(double x) { return static_cast<float>(x); }
static inline float __int2float_rn(int x) { return static_cast<float>(x); }
static inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
static inline float __ll2float_rn(long long x) { return static_cast<float>(x); }
static inline double __ll2double_rn(long long x) { return static_cast<double>(x); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

#define SHIM_EXTREMES(type)                                                    \
  static inline type min(type a, type b) { return b < a ? b : a; }             \
  static inline type max(type a, type b) { return a < b ? b : a; }
SHIM_EXTREMES(int)
SHIM_EXTREMES(unsigned)
SHIM_EXTREMES(long)
SHIM_EXTREMES(unsigned long)
SHIM_EXTREMES(long long)
SHIM_EXTREMES(unsigned long long)
#undef SHIM_EXTREMES
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

template <class T> static inline T __ldg(const T* address) { return *address; }

// -- vectors -------------------------------------------------------------------------------------

#define SHIM_VECTORS(base, type, align2, align4)                                                 \
  struct alignas(align2) base##2 { type x, y; };                                                 \
  struct base##3 { type x, y, z; };                                                              \
  struct alignas(align4) base##4 { type x, y, z, w; };                                           \
  static inline base##2 make_##base##2(type x, type y) { return {x, y}; }                        \
  static inline base##3 make_##base##3(type x, type y, type z) { return {x, y, z}; }             \
  static inline base##4 make_##base##4(type x, type y, type z, type w) { return {x, y, z, w}; }
SHIM_VECTORS(float, float, 8, 16)
SHIM_VECTORS(int, int, 8, 16)
SHIM_VECTORS(uint, unsigned, 8, 16)
SHIM_VECTORS(double, double, 16, 16)
SHIM_VECTORS(longlong, long long, 16, 16)
SHIM_VECTORS(ulonglong, unsigned long long, 16, 16)
#undef SHIM_VECTORS
