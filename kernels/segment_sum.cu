// Sums of runs of a reordered array: equal places of triplets become one entry of a sparse matrix.
// A thread sums a run in its order, in double precision.
#include "common.cuh"

// starts: where each run begins in `order`
// order: which value comes where
// sums: written
extern "C" __global__ void segment_sum(const int64* starts /*[n + 1]*/,
                                       const int64* order /*[entries]*/,
                                       const float* values /*[entries]*/, float* sums /*[n]*/,
                                       int64 n) {
    const int64 first = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    for (int64 run = first; run < n; run += static_cast<int64>(gridDim.x) * blockDim.x) {
        double sum = 0;
        for (int64 place = starts[run]; place < starts[run + 1]; ++place) {
            sum += values[order[place]];
        }
        sums[run] = static_cast<float>(sum);
    }
}
