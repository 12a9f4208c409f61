// Soft allocation: a list shared among a user's segments, each track once, ordered by the user's
// blend of the segments' popularities.
//
// A block takes a user. The blend is one dense row of scratch memory a block, in which a track that
// the list holds already is marked TAKEN; as in row_top.cu, only the thread that a pick came from
// looks again. Sums follow the segments in ascending order without fused multiply-add, which makes
// the blend the CPU engine's bit by bit.
#include "common.cuh"

constexpr float TAKEN = -1.0f;

// Best key among every blockDim.x-th track that is not taken.
__device__ __forceinline__ uint64 best_free(const float* blend, int n_tracks) {
    uint64 best = 0;
    for (int track = threadIdx.x; track < n_tracks; track += blockDim.x) {
        if (blend[track] == TAKEN) continue;
        const uint64 key = rank_key(blend[track], track);
        if (key > best) best = key;
    }
    return best;
}

// blend = sum over the segments of weight * share; every thread of the block must call it.
__device__ __forceinline__ void mix(float* blend, int n_tracks, const int* segments,
                                    const float* weights, const int* ascending, int s,
                                    const int64* indptr, const int* indices, const float* shares) {
    for (int track = threadIdx.x; track < n_tracks; track += blockDim.x) blend[track] = 0.0f;
    __syncthreads();
    for (int place = 0; place < s; ++place) {
        const int segment = segments[ascending[place]];
        const float weight = weights[ascending[place]];
        const int64 stop = indptr[segment + 1];
        for (int64 entry = indptr[segment] + threadIdx.x; entry < stop; entry += blockDim.x) {
            float* target = blend + indices[entry];
            *target = __fadd_rn(*target, __fmul_rn(weight, shares[entry]));
        }
        __syncthreads();
    }
}

// The first k distinct favourites of the user's segments, each segment's as far as its slots go;
// one warp's work. Marks them as taken and returns how many there are.
__device__ __forceinline__ int take_favourites(uint64* keys, float* blend, const int* segments,
                                               const int* slots, int s, const int* favourites,
                                               const int* held, int depth, int k) {
    int listed = 0;
    for (int place = 0; place < s && listed < k; ++place) {
        const int segment = segments[place];
        const int offered = min(slots[place], held[segment]);
        for (int rank = 0; rank < offered && listed < k; ++rank) {
            const int track = favourites[static_cast<int64>(segment) * depth + rank];
            const float score = blend[track];
            __syncwarp();  // all lanes have read before one marks
            if (score == TAKEN) continue;
            if (lane_number() == 0) {
                keys[listed] = rank_key(score, track);
                blend[track] = TAKEN;
            }
            __syncwarp();
            ++listed;
        }
    }
    return listed;
}

// segments, weights, slots: heaviest first
// ascending: places of a user's segments in ascending order of segment
// favourites: each segment's top list, of which the first `held` are real
// indptr, indices, shares: popularity of tracks in segments
// scratch: a row for each block
// tracks, scores: written; k is at most n_tracks
// dynamic shared memory: 8 k bytes
extern "C" __global__ void soft_allocate(
    const int* segments /*[n, s]*/, const float* weights /*[n, s]*/, const int* slots /*[n, s]*/,
    const int* ascending /*[n, s]*/, const int* favourites /*[groups, depth]*/,
    const int* held /*[groups]*/, const int64* indptr /*[groups + 1]*/,
    const int* indices /*[entries]*/, const float* shares /*[entries]*/,
    float* scratch /*[blocks, n_tracks]*/, int* tracks /*[n, k]*/, float* scores /*[n, k]*/,
    int64 n, int s, int depth, int n_tracks, int k) {
    DYNAMIC_SHARED(uint64, keys);
    __shared__ uint64 best_of_warps[32];
    __shared__ int listed_by_favourites;
    float* blend = scratch + static_cast<int64>(blockIdx.x) * n_tracks;
    for (int64 user = blockIdx.x; user < n; user += gridDim.x) {
        const int64 at = user * s;
        mix(blend, n_tracks, segments + at, weights + at, ascending + at, s, indptr, indices,
            shares);
        if (warp_number() == 0) {
            const int found = take_favourites(keys, blend, segments + at, slots + at, s,
                                              favourites, held, depth, k);
            if (lane_number() == 0) listed_by_favourites = found;
        }
        __syncthreads();
        int listed = listed_by_favourites;
        if (listed < k) {
            uint64 mine = best_free(blend, n_tracks);
            for (; listed < k; ++listed) {
                const uint64 best = block_max(mine, best_of_warps);
                if (mine == best) {
                    keys[listed] = best;
                    blend[key_item(best)] = TAKEN;
                    mine = best_free(blend, n_tracks);
                }
            }
        }
        __syncthreads();
        for (int place = threadIdx.x; place < k; place += blockDim.x) {
            int rank = 0;
            for (int other = 0; other < k; ++other) rank += keys[other] > keys[place];
            tracks[user * k + rank] = key_item(keys[place]);
            scores[user * k + rank] = key_score(keys[place]);
        }
        __syncthreads();  // before the list and the blend are written again
    }
}
