// The largest positive entries of each row of a sparse matrix, best first: the top lists of the
// segments (paper, 3.1.3).
//
// A block takes a row. Each thread keeps the best key of the entries it looks after; the best of
// all is taken, and only the thread it came from looks again. Keys are distinct, so who looks
// after what changes nothing.
#include "common.cuh"

// Best key below `limit` among every blockDim.x-th entry of the row.
__device__ __forceinline__ uint64 best_below(const int* indices, const float* values, int64 start,
                                             int64 stop, uint64 limit) {
    uint64 best = 0;
    for (int64 entry = start + threadIdx.x; entry < stop; entry += blockDim.x) {
        if (!(values[entry] > 0)) continue;
        const uint64 key = rank_key(values[entry], indices[entry]);
        if (key < limit && key > best) best = key;
    }
    return best;
}

// Complete a list of `held` columns with the smallest columns it does not hold, at value 0; the
// first warp's work. What is missing lies among the first `depth` columns.
__device__ __forceinline__ void fill_up(int* columns, float* values, int held, int depth) {
    const unsigned before = (1u << lane_number()) - 1u;
    for (int first = 0, listed = held; listed < depth; first += 32) {
        const int column = first + lane_number();
        bool free = column < depth;
        for (int place = 0; place < held; ++place) free = free && columns[place] != column;
        const unsigned mask = __ballot_sync(FULL_MASK, free);
        const int place = listed + __popc(mask & before);
        if (free && place < depth) {
            columns[place] = column;
            values[place] = 0.0f;
        }
        listed += __popc(mask);
    }
}

// columns, values: written; depth is at most the matrix's number of columns.
extern "C" __global__ void row_top(const int64* indptr /*[n + 1]*/,
                                   const int* indices /*[entries]*/,
                                   const float* data /*[entries]*/, int* columns /*[n, depth]*/,
                                   float* values /*[n, depth]*/, int64 n, int depth) {
    __shared__ uint64 scratch[32];
    for (int64 row = blockIdx.x; row < n; row += gridDim.x) {
        const int64 start = indptr[row], stop = indptr[row + 1];
        uint64 mine = best_below(indices, data, start, stop, ~0ull);
        int held = 0;
        for (; held < depth; ++held) {
            const uint64 best = block_max(mine, scratch);
            if (best == 0) break;
            if (mine == best) {
                columns[row * depth + held] = key_item(best);
                values[row * depth + held] = key_score(best);
                mine = best_below(indices, data, start, stop, best);
            }
        }
        __syncthreads();  // the list is read by other threads than wrote it
        if (warp_number() == 0) {
            fill_up(columns + row * depth, values + row * depth, held, depth);
        }
    }
}
