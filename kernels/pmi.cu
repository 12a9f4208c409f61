// Positive pointwise mutual information of co-occurrence counts (paper, 3.1.2; Levy, Goldberg &
// Dagan 2015): how many entries of each row stay, then the entries. A warp takes a row.
#include "common.cuh"

// Sum of each row's counts that are not below min_count.
extern "C" __global__ void pmi_totals(const int64* indptr /*[n + 1]*/,
                                      const float* counts /*[entries]*/, double* totals /*[n]*/,
                                      int64 n, float min_count) {
    for (int64 row = global_warp(); row < n; row += global_warps()) {
        double total = 0;
        for (int64 entry = indptr[row] + lane_number(); entry < indptr[row + 1]; entry += 32) {
            if (counts[entry] >= min_count) total += counts[entry];
        }
        total = warp_sum(total);
        if (lane_number() == 0) totals[row] = total;
    }
}

// log(n_ij) + offset - log(n_i) - log(n_j^a); 0 for a pair too rare to count.
__device__ __forceinline__ float information(float count, double row_log, double column_log,
                                             double offset, float min_count) {
    if (!(count >= min_count)) return 0.0f;
    return static_cast<float>(log(static_cast<double>(count)) + offset - row_log - column_log);
}

// kept: entries of each row that are positive, written.
extern "C" __global__ void pmi_count(const int64* indptr /*[n + 1]*/,
                                     const int* indices /*[entries]*/,
                                     const float* counts /*[entries]*/,
                                     const double* row_logs /*[n]*/,
                                     const double* column_logs /*[n]*/, int64* kept /*[n]*/,
                                     int64 n, double offset, float min_count) {
    for (int64 row = global_warp(); row < n; row += global_warps()) {
        int64 positive = 0;
        for (int64 entry = indptr[row] + lane_number(); entry < indptr[row + 1]; entry += 32) {
            positive += information(counts[entry], row_logs[row], column_logs[indices[entry]],
                                    offset, min_count) > 0;
        }
        positive = warp_sum(positive);
        if (lane_number() == 0) kept[row] = positive;
    }
}

// out_indptr: offsets made of kept. Entries keep their order.
extern "C" __global__ void pmi_write(const int64* indptr /*[n + 1]*/,
                                     const int* indices /*[entries]*/,
                                     const float* counts /*[entries]*/,
                                     const double* row_logs /*[n]*/,
                                     const double* column_logs /*[n]*/,
                                     const int64* out_indptr /*[n + 1]*/,
                                     int* out_indices /*[kept]*/, float* out_values /*[kept]*/,
                                     int64 n, double offset, float min_count) {
    const unsigned before = (1u << lane_number()) - 1u;
    for (int64 row = global_warp(); row < n; row += global_warps()) {
        int64 written = out_indptr[row];
        for (int64 first = indptr[row]; first < indptr[row + 1]; first += 32) {
            const int64 entry = first + lane_number();
            float value = 0;
            if (entry < indptr[row + 1]) {
                value = information(counts[entry], row_logs[row], column_logs[indices[entry]],
                                    offset, min_count);
            }
            const unsigned mask = __ballot_sync(FULL_MASK, value > 0);
            if (value > 0) {
                const int64 place = written + __popc(mask & before);
                out_indices[place] = indices[entry];
                out_values[place] = value;
            }
            written += __popc(mask);
        }
    }
}
