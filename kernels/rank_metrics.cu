// Precision, recall and NDCG of ranked lists against sorted truth (paper, 4.1.1). A warp takes a
// user: its lanes look 32 tracks up at a time, and each adds the hits to one length of list.
#include "common.cuh"

// indptr, indices: the users' truth, no row empty
// ks: lengths of list, at most m
// discounts, ideals: 1 / log2(place + 2), and their running sum
// precision, recall, ndcg: written
extern "C" __global__ void rank_metrics(
    const int* tracks /*[n, m]*/, const int64* indptr /*[n + 1]*/, const int* indices /*[entries]*/,
    const int* ks /*[n_ks]*/, const double* discounts /*[m]*/, const double* ideals /*[m]*/,
    double* precision /*[n_ks, n]*/, double* recall /*[n_ks, n]*/, double* ndcg /*[n_ks, n]*/,
    int64 n, int m, int n_ks) {
    for (int64 user = global_warp(); user < n; user += global_warps()) {
        const int64 start = indptr[user], stop = indptr[user + 1], size = stop - start;
        for (int first = 0; first < n_ks; first += 32) {
            const int which = first + lane_number();
            const int k = which < n_ks ? ks[which] : 0;
            int found = 0;
            double gain = 0;
            for (int at = 0; at < m; at += 32) {
                const int mine = at + lane_number();
                const bool hit = mine < m && holds(indices, start, stop, tracks[user * m + mine]);
                unsigned hits = __ballot_sync(FULL_MASK, hit);
                for (; hits; hits &= hits - 1) {
                    const int place = at + __ffs(hits) - 1;
                    if (place >= k) break;
                    ++found;
                    gain += discounts[place];
                }
            }
            if (which >= n_ks) continue;
            const int64 reachable = size < k ? size : k;
            precision[which * n + user] = static_cast<double>(found) / reachable;
            recall[which * n + user] = static_cast<double>(found) / size;
            // Gain and ideal may be summed in different orders: a perfect list is 1, no ulp more.
            const double relative = gain / ideals[reachable - 1];
            ndcg[which * n + user] = relative < 1.0 ? relative : 1.0;
        }
    }
}
