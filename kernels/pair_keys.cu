// Exact keys of queries with some items each: squared distances, or negated inner products. They
// settle which neighbours are the best. A thread sums a pair dimension by dimension, in double
// precision and without fused steps: the same bits in any company, and as the CPU engine's.
#include "common.cuh"

// chosen: the items of each query, or one list for all of them (rows = 1)
// distances: 1 for squared distances, 0 for negated inner products
// keys: written
extern "C" __global__ void pair_keys(const float* queries /*[n, d]*/, const float* items /*[m, d]*/,
                                     const int* chosen /*[rows, width]*/,
                                     double* keys /*[n, width]*/, int64 n, int64 rows, int width,
                                     int d, int distances) {
    const int64 first = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    for (int64 pair = first; pair < n * width; pair += static_cast<int64>(gridDim.x) * blockDim.x) {
        const float* query = queries + pair / width * d;
        const float* item = items + static_cast<int64>(chosen[rows == 1 ? pair % width : pair]) * d;
        double key = 0;
        for (int j = 0; j < d; ++j) {
            const double ours = query[j], theirs = item[j];
            if (distances) {
                const double apart = __dsub_rn(ours, theirs);
                key = __dadd_rn(key, __dmul_rn(apart, apart));
            } else {
                key = __dsub_rn(key, __dmul_rn(ours, theirs));
            }
        }
        keys[pair] = key;
    }
}
