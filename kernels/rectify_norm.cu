// A hidden layer in training after its product (paper, 3.2.3): offset, rectifier and batch
// normalisation, and the way back, each in one launch. A block takes a strip of columns; a row
// belongs to partial sum `row % 32`, whoever computes it.
#include "common.cuh"

constexpr int STRIP = 8;

// Sum of term(row) over the rows, for the column of each thread. All threads of the block must call
// it; `partials` and `totals` are shared.
template <typename Term>
__device__ __forceinline__ float column_sum(Term term, bool there, int64 n,
                                            float* partials /*[32 * STRIP]*/,
                                            float* totals /*[STRIP]*/) {
    const int mine = threadIdx.x % STRIP;
    for (int part = threadIdx.x / STRIP; part < 32; part += blockDim.x / STRIP) {
        float sum = 0.0f;
        if (there) {
            for (int64 row = part; row < n; row += 32) sum += term(row);
        }
        partials[part * STRIP + mine] = sum;
    }
    __syncthreads();
    for (int column = warp_number(); column < STRIP; column += warps_in_block()) {
        const float total = warp_sum(partials[lane_number() * STRIP + column]);
        if (lane_number() == 0) totals[column] = total;
    }
    __syncthreads();
    const float total = totals[mine];
    __syncthreads();  // before anyone writes a total again
    return total;
}

// n: at least 2
// before: the layer's product, to which the offset is added
// mean, inverse: written, the batch's mean and 1 / deviation of what the rectifier passes
// running_mean, running_variance: moved by `momentum` towards the batch's
// out: written
extern "C" __global__ void rectify_norm(
    float* before /*[n, m]*/, const float* offset /*[m]*/, const float* weight /*[m]*/,
    const float* bias /*[m]*/, float* running_mean /*[m]*/, float* running_variance /*[m]*/,
    float* mean /*[m]*/, float* inverse /*[m]*/, float* out /*[n, m]*/, int64 n, int64 m,
    float momentum, float eps) {
    __shared__ float partials[32 * STRIP], totals[STRIP];
    const int mine = threadIdx.x % STRIP;
    for (int64 strip = blockIdx.x; strip * STRIP < m; strip += gridDim.x) {
        const int64 column = strip * STRIP + mine;
        const bool there = column < m;
        const auto passed = [&](int64 row) { return fmaxf(before[row * m + column], 0.0f); };
        const float shift = there ? offset[column] : 0.0f;
        const auto shifted = [&](int64 row) {
            before[row * m + column] += shift;
            return passed(row);
        };
        const float middle = column_sum(shifted, there, n, partials, totals) / n;
        const auto square = [&](int64 row) {
            const float apart = passed(row) - middle;
            return apart * apart;
        };
        const float variance = column_sum(square, there, n, partials, totals) / n;
        if (!there) continue;
        const float root = 1.0f / sqrtf(variance + eps);
        for (int64 row = threadIdx.x / STRIP; row < n; row += blockDim.x / STRIP) {
            out[row * m + column] = (passed(row) - middle) * (root * weight[column]) + bias[column];
        }
        if (threadIdx.x < STRIP) {
            const float unbiased = variance * (static_cast<float>(n) / (n - 1));
            mean[column] = middle;
            inverse[column] = root;
            running_mean[column] += momentum * (middle - running_mean[column]);
            running_variance[column] += momentum * (unbiased - running_variance[column]);
        }
    }
}

// gradient: of the loss by rectify_norm's `out`
// of_before, of_weight, of_bias, of_offset: written, its gradients by these
extern "C" __global__ void rectify_norm_back(
    const float* before /*[n, m]*/, const float* gradient /*[n, m]*/, const float* weight /*[m]*/,
    const float* mean /*[m]*/, const float* inverse /*[m]*/, float* of_before /*[n, m]*/,
    float* of_weight /*[m]*/, float* of_bias /*[m]*/, float* of_offset /*[m]*/, int64 n, int64 m) {
    __shared__ float partials[32 * STRIP], totals[STRIP];
    const int mine = threadIdx.x % STRIP;
    for (int64 strip = blockIdx.x; strip * STRIP < m; strip += gridDim.x) {
        const int64 column = strip * STRIP + mine;
        const bool there = column < m;
        const float middle = there ? mean[column] : 0.0f, root = there ? inverse[column] : 0.0f;
        const float factor = there ? weight[column] * root : 0.0f;
        const auto met = [&](int64 row) { return gradient[row * m + column]; };
        const auto scaled = [&](int64 row) {
            return (fmaxf(before[row * m + column], 0.0f) - middle) * root;
        };
        const auto along = [&](int64 row) { return met(row) * scaled(row); };
        const float sum = column_sum(met, there, n, partials, totals);
        const float product = column_sum(along, there, n, partials, totals);
        const auto back = [&](int64 row) {
            const float whole = factor * (met(row) - sum / n - scaled(row) * (product / n));
            const float through = before[row * m + column] > 0.0f ? whole : 0.0f;
            of_before[row * m + column] = through;
            return through;
        };
        const float through = column_sum(back, there, n, partials, totals);
        if (there && threadIdx.x < STRIP) {
            of_weight[column] = product;
            of_bias[column] = sum;
            of_offset[column] = through;
        }
    }
}
