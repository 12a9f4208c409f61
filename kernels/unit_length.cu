// Vectors scaled to length 1, and the way back, each in one launch. A warp takes a row.
#include "common.cuh"

// out, lengths: written; a length is at least `least`
extern "C" __global__ void unit_length(const float* vectors /*[n, d]*/, float* out /*[n, d]*/,
                                       float* lengths /*[n]*/, int64 n, int64 d, float least) {
    for (int64 row = global_warp(); row < n; row += global_warps()) {
        const float* vector = vectors + row * d;
        float sum = 0.0f;
        for (int64 place = lane_number(); place < d; place += 32) {
            sum += vector[place] * vector[place];
        }
        const float length = fmaxf(sqrtf(warp_sum(sum)), least);
        for (int64 place = lane_number(); place < d; place += 32) {
            out[row * d + place] = vector[place] / length;
        }
        if (lane_number() == 0) lengths[row] = length;
    }
}

// scaled, lengths: what unit_length wrote
// gradient: of the loss by scaled
// of_vectors: written, its gradient by vectors; one of length `least` was scaled by a constant
extern "C" __global__ void unit_length_back(const float* scaled /*[n, d]*/,
                                            const float* lengths /*[n]*/,
                                            const float* gradient /*[n, d]*/,
                                            float* of_vectors /*[n, d]*/, int64 n, int64 d,
                                            float least) {
    for (int64 row = global_warp(); row < n; row += global_warps()) {
        const float* unit = scaled + row * d;
        const float* met = gradient + row * d;
        float sum = 0.0f;
        for (int64 place = lane_number(); place < d; place += 32) sum += unit[place] * met[place];
        sum = warp_sum(sum);
        const float along = lengths[row] > least ? sum : 0.0f;
        for (int64 place = lane_number(); place < d; place += 32) {
            of_vectors[row * d + place] = (met[place] - unit[place] * along) / lengths[row];
        }
    }
}
