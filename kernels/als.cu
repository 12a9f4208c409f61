// Weighted ALS by conjugate gradients (Hu, Koren & Volinsky 2008; Takacs, Pilaszy & Tikk 2011),
// all rows of one side at once.
//
// The normal equations of a row are (gram + sum_i (c_i - 1) y_i y_i^T) x = sum_i c_i y_i, where
// gram = Y^T Y + l I is common to all rows. Its products with all rows' vectors are one dense
// matrix product, made by the caller between the launches; what is left to the kernels is the
// sum over the row's own entries. A block takes a row and its warps the row's partial sums; a lane
// holds PER_LANE = ceil(d / 32) numbers of each vector in registers.
//
// variants: PER_LANE=1 PER_LANE=4 PER_LANE=8 PER_LANE=16
#include "common.cuh"

constexpr int WIDTH = 32 * PER_LANE;

__device__ __forceinline__ void load(float (&target)[PER_LANE], const float* source, int d) {
#pragma unroll
    for (int c = 0; c < PER_LANE; ++c) {
        const int column = lane_number() + 32 * c;
        target[c] = column < d ? source[column] : 0.0f;
    }
}

__device__ __forceinline__ void store(float* target, const float (&source)[PER_LANE], int d) {
#pragma unroll
    for (int c = 0; c < PER_LANE; ++c) {
        const int column = lane_number() + 32 * c;
        if (column < d) target[column] = source[c];
    }
}

__device__ __forceinline__ float dot(const float (&a)[PER_LANE], const float (&b)[PER_LANE]) {
    float sum = 0;
#pragma unroll
    for (int c = 0; c < PER_LANE; ++c) sum += a[c] * b[c];
    return warp_sum(sum);
}

__device__ __forceinline__ void add(float (&target)[PER_LANE], float scale,
                                    const float (&source)[PER_LANE]) {
#pragma unroll
    for (int c = 0; c < PER_LANE; ++c) target[c] += scale * source[c];
}

// sum over the row's entries of (base * c_i + slope * (c_i - 1) * (y_i . v)) y_i, returned to the
// first warp; every thread of the block must call it.
__device__ __forceinline__ void entry_sum(float (&result)[PER_LANE], const int* indices,
                                          const float* confidence, const float* factors,
                                          const float* vector, int64 start, int64 stop, int d,
                                          float base, float slope) {
    __shared__ float sums[PARTS][WIDTH];
    float v[PER_LANE];
    load(v, vector, d);
    for (int part = warp_number(); part < PARTS; part += warps_in_block()) {
        float sum[PER_LANE] = {};
        for (int64 entry = start + part; entry < stop; entry += PARTS) {
            float y[PER_LANE];
            load(y, factors + static_cast<int64>(indices[entry]) * d, d);
            const float c = confidence[entry];
            add(sum, base * c + slope * (c - 1.0f) * dot(y, v), y);
        }
        store(sums[part], sum, WIDTH);
    }
    __syncthreads();
    if (warp_number() == 0) {
        load(result, sums[0], WIDTH);
        for (int part = 1; part < PARTS; ++part) {
#pragma unroll
            for (int c = 0; c < PER_LANE; ++c) result[c] += sums[part][lane_number() + 32 * c];
        }
    }
    __syncthreads();  // before the partial sums are written again
}

// Residual of each row's equations at x, where the search begins: r = p = b - A x.
//
// factors, x: of the other side, and of this one; a row of x without entries becomes null
// product: x gram
// residual, direction, squares: written, the last |r|^2
extern "C" __global__ void als_begin(const int64* indptr /*[n + 1]*/,
                                     const int* indices /*[entries]*/,
                                     const float* confidence /*[entries]*/,
                                     const float* factors /*[any, d]*/, float* x /*[n, d]*/,
                                     const float* product /*[n, d]*/, float* residual /*[n, d]*/,
                                     float* direction /*[n, d]*/, float* squares /*[n]*/, int64 n,
                                     int d) {
    for (int64 row = blockIdx.x; row < n; row += gridDim.x) {
        const int64 start = indptr[row], stop = indptr[row + 1], at = row * d;
        float r[PER_LANE] = {};
        entry_sum(r, indices, confidence, factors, x + at, start, stop, d, 1.0f, -1.0f);
        if (warp_number() != 0) continue;
        if (start == stop) {
            const float null[PER_LANE] = {};
            store(x + at, null, d);
        } else {
            float common[PER_LANE];
            load(common, product + at, d);
            add(r, -1.0f, common);
        }
        store(residual + at, r, d);
        store(direction + at, r, d);
        const float square = dot(r, r);
        if (lane_number() == 0) squares[row] = square;
    }
}

// One conjugate-gradient step of every row; a row that has arrived stays where it is.
//
// product: direction gram
// arrived: a row whose |r|^2 is no larger is left alone
extern "C" __global__ void als_step(const int64* indptr /*[n + 1]*/,
                                    const int* indices /*[entries]*/,
                                    const float* confidence /*[entries]*/,
                                    const float* factors /*[any, d]*/, float* x /*[n, d]*/,
                                    const float* product /*[n, d]*/, float* residual /*[n, d]*/,
                                    float* direction /*[n, d]*/, float* squares /*[n]*/, int64 n,
                                    int d, float arrived) {
    for (int64 row = blockIdx.x; row < n; row += gridDim.x) {
        const float square = squares[row];
        if (square <= arrived) continue;  // the same in all threads of the block
        const int64 start = indptr[row], stop = indptr[row + 1], at = row * d;
        float a[PER_LANE] = {};
        entry_sum(a, indices, confidence, factors, direction + at, start, stop, d, 0.0f, 1.0f);
        if (warp_number() != 0) continue;
        float p[PER_LANE], other[PER_LANE];
        load(other, product + at, d);
        add(a, 1.0f, other);
        load(p, direction + at, d);
        const float step = square / dot(p, a);
        load(other, x + at, d);
        add(other, step, p);
        store(x + at, other, d);
        load(other, residual + at, d);
        add(other, -step, a);
        store(residual + at, other, d);
        const float next = dot(other, other);
        add(other, next / square, p);
        store(direction + at, other, d);
        if (lane_number() == 0) squares[row] = next;
    }
}

// Each row's part of the objective: sum over all cells c (p - x.y)^2, without regularisation.
// Cells without an entry come from x gram x, of which the entries' share is taken back.
//
// product: x Y^T Y
// loss: written
extern "C" __global__ void als_loss(const int64* indptr /*[n + 1]*/,
                                    const int* indices /*[entries]*/,
                                    const float* confidence /*[entries]*/,
                                    const float* factors /*[any, d]*/, const float* x /*[n, d]*/,
                                    const float* product /*[n, d]*/, double* loss /*[n]*/, int64 n,
                                    int d) {
    __shared__ double sums[PARTS];
    for (int64 row = blockIdx.x; row < n; row += gridDim.x) {
        const int64 start = indptr[row], stop = indptr[row + 1];
        float v[PER_LANE];
        load(v, x + row * d, d);
        for (int part = warp_number(); part < PARTS; part += warps_in_block()) {
            double sum = 0;
            for (int64 entry = start + part; entry < stop; entry += PARTS) {
                float y[PER_LANE];
                load(y, factors + static_cast<int64>(indices[entry]) * d, d);
                const double score = dot(y, v), missed = 1.0 - score;
                sum += confidence[entry] * missed * missed - score * score;
            }
            if (lane_number() == 0) sums[part] = sum;
        }
        __syncthreads();
        if (warp_number() == 0) {
            float g[PER_LANE];
            load(g, product + row * d, d);
            double all = 0;
            for (int c = 0; c < PER_LANE; ++c) all += static_cast<double>(v[c]) * g[c];
            all = warp_sum(all);
            for (int part = 0; part < PARTS; ++part) all += sums[part];
            if (lane_number() == 0) loss[row] = all;
        }
        __syncthreads();  // before the partial sums are written again
    }
}
