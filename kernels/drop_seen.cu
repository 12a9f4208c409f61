// The first tracks of each ranked list that the user has not seen. A warp takes a user.
#include "common.cuh"

// indptr, indices: what each user has seen
// out_tracks, out_scores: written; where fewer than k are unseen, the first of the seen follow
extern "C" __global__ void drop_seen(const int* tracks /*[n, m]*/, const float* scores /*[n, m]*/,
                                     const int64* indptr /*[n + 1]*/,
                                     const int* indices /*[entries]*/, int* out_tracks /*[n, k]*/,
                                     float* out_scores /*[n, k]*/, int64 n, int m, int k) {
    const unsigned before = (1u << lane_number()) - 1u;
    for (int64 user = global_warp(); user < n; user += global_warps()) {
        int listed = 0;
        for (int seen = 0; seen < 2; ++seen) {
            for (int first = 0; first < m && listed < k; first += 32) {
                const int64 place = user * m + first + lane_number();
                const bool there = first + lane_number() < m;
                const int track = there ? tracks[place] : 0;
                const bool known = there && holds(indices, indptr[user], indptr[user + 1], track);
                const bool taken = there && known == (seen == 1);
                const unsigned mask = __ballot_sync(FULL_MASK, taken);
                const int rank = listed + __popc(mask & before);
                if (taken && rank < k) {
                    out_tracks[user * k + rank] = track;
                    out_scores[user * k + rank] = scores[place];
                }
                listed += __popc(mask);
            }
        }
    }
}
