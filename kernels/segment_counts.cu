// In how many rows of each group a column occurs: the popularity of tracks in segments (paper,
// 3.1.3). A warp takes a row; counts are integers, so the order of adding them changes nothing.
#include "common.cuh"

// labels: group of each row
// table: counts, added to; its first row is first_group's, and other groups' rows are left out
extern "C" __global__ void segment_counts(const int* labels /*[n]*/,
                                          const int64* indptr /*[n + 1]*/,
                                          const int* indices /*[entries]*/,
                                          int* table /*[groups, columns]*/, int64 n,
                                          int first_group, int groups, int64 columns) {
    for (int64 row = global_warp(); row < n; row += global_warps()) {
        const int group = labels[row] - first_group;
        if (group < 0 || group >= groups) continue;
        for (int64 entry = indptr[row] + lane_number(); entry < indptr[row + 1]; entry += 32) {
            atomicAdd(table + group * columns + indices[entry], 1);
        }
    }
}
