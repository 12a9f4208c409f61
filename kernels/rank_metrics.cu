// Precision, recall and NDCG of ranked lists against sorted truth (paper, 4.1.1). A warp takes a
// user: its lanes look the tracks up, then each lane sums up one length of list.
#include "common.cuh"

// indptr, indices: the users' truth, no row empty
// ks: lengths of list, at most m
// discounts, ideals: 1 / log2(place + 2), and their running sum
// precision, recall, ndcg: written
// dynamic shared memory: 4 * ceil(m / 32) bytes for each warp of a block
extern "C" __global__ void rank_metrics(
    const int* tracks /*[n, m]*/, const int64* indptr /*[n + 1]*/, const int* indices /*[entries]*/,
    const int* ks /*[n_ks]*/, const double* discounts /*[m]*/, const double* ideals /*[m]*/,
    double* precision /*[n_ks, n]*/, double* recall /*[n_ks, n]*/, double* ndcg /*[n_ks, n]*/,
    int64 n, int m, int n_ks) {
    DYNAMIC_SHARED(unsigned, all_hits);
    const int words = (m + 31) / 32;
    unsigned* hits = all_hits + warp_number() * words;
    for (int64 user = global_warp(); user < n; user += global_warps()) {
        const int64 start = indptr[user], stop = indptr[user + 1];
        for (int word = 0; word < words; ++word) {
            const int place = 32 * word + lane_number();
            const bool hit = place < m && holds(indices, start, stop, tracks[user * m + place]);
            const unsigned mask = __ballot_sync(FULL_MASK, hit);
            if (lane_number() == 0) hits[word] = mask;
        }
        __syncwarp();
        for (int which = lane_number(); which < n_ks; which += 32) {
            const int k = ks[which];
            const int64 size = stop - start, reachable = size < k ? size : k;
            int found = 0;
            double gain = 0;
            for (int place = 0; place < k; ++place) {
                if (!(hits[place / 32] >> (place % 32) & 1u)) continue;
                ++found;
                gain += discounts[place];
            }
            precision[which * n + user] = static_cast<double>(found) / reachable;
            recall[which * n + user] = static_cast<double>(found) / size;
            // Gain and ideal may be summed in different orders: a perfect list is 1, no ulp more.
            const double relative = gain / ideals[reachable - 1];
            ndcg[which * n + user] = relative < 1.0 ? relative : 1.0;
        }
        __syncwarp();  // before the hits are written again
    }
}
