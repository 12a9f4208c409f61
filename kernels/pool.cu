// Weighted mean of embedding rows for each wanted row of a sparse matrix (paper, 3.2.2), written
// straight into a block of a wider matrix; or the weighted sum, the product of a sparse matrix with a
// dense one, which cuSPARSE does not promise to repeat bit by bit.
//
// A block takes one row and TILE columns of the embeddings; its warps take the row's partial sums.
// Reads are whole lines of 128 bytes; the limit is the bandwidth of gathering embedding rows.
//
// variants: PER_LANE=4 PER_LANE=5 PER_LANE=8
#include "common.cuh"

#ifndef PER_LANE
#define PER_LANE 4  // columns a lane sums; how they are cut into tiles changes no bit
#endif
constexpr int TILE = 32 * PER_LANE;

// rows: which rows of the matrix, repeats allowed
// mean: 1 for the mean, 0 for the sum
// out: row i goes to out + (i / group) * stride + (i % group) * d
extern "C" __global__ void pool(const int64* rows /*[n]*/, const int64* indptr /*[any]*/,
                                const int* indices /*[entries]*/,
                                const float* weights /*[entries]*/,
                                const float* embeddings /*[any, d]*/,
                                float* out /*[any, any; stride]*/, int64 n, int d, int group,
                                int64 stride, int mean) {
    __shared__ float sums[PARTS][TILE];
    __shared__ float totals[PARTS];
    const int lane = lane_number();
    const int tiles = (d + TILE - 1) / TILE;
    for (int64 item = blockIdx.x; item < n * tiles; item += gridDim.x) {
        const int64 i = item / tiles;
        const int first = static_cast<int>(item % tiles) * TILE;
        const int64 start = indptr[rows[i]], stop = indptr[rows[i] + 1];
        for (int part = warp_number(); part < PARTS; part += warps_in_block()) {
            float sum[PER_LANE] = {};
            float total = 0;
            for (int64 entry = start + part; entry < stop; entry += PARTS) {
                const float weight = weights[entry];
                const float* embedding = embeddings + static_cast<int64>(indices[entry]) * d;
                total += weight;
#pragma unroll
                for (int c = 0; c < PER_LANE; ++c) {
                    const int column = first + lane + 32 * c;
                    if (column < d) sum[c] += weight * embedding[column];
                }
            }
#pragma unroll
            for (int c = 0; c < PER_LANE; ++c) sums[part][lane + 32 * c] = sum[c];
            if (lane == 0) totals[part] = total;
        }
        __syncthreads();
        float* target = out + i / group * stride + i % group * d;
        for (int c = threadIdx.x; c < TILE && first + c < d; c += blockDim.x) {
            float sum = 0, total = 0;
            for (int part = 0; part < PARTS; ++part) {
                sum += sums[part][c];
                total += totals[part];
            }
            target[first + c] = mean && start < stop ? sum / total : sum;
        }
        __syncthreads();  // before the partial sums are written again
    }
}
