// Sums over the points of a chunk. Twin: Tally of snel-core/src/statistics.rs.
//
// Thread t keeps the sums of the points t of all tiles; at the end of the chunk they are added in
// an order that depends on the tile size alone.
#pragma once
#include "arguments.cuh"
#include "shape.cuh"

namespace snel {

// A weight above exp of this is an overflow.
constexpr double WEIGHT_LIMIT = 80.0;

struct PointTally {
    u32 overflows = 0, not_finite = 0;
    double max_u = -infinity();
    double row_log_density = 0.0, weight = 0.0, weight_squared = 0.0;
    double cotangent = 0.0;  // the gradient of b

    __device__ __forceinline__ void add_row(double tilted) {
        if (isfinite(tilted)) {
            row_log_density += tilted;
        } else {
            not_finite++;
        }
    }

    // True if the weight is usable; u = -inf is a weight of zero.
    __device__ __forceinline__ bool add_sample(double u, double w) {
        if (isnan(u)) {
            not_finite++;
            return false;
        }
        max_u = fmax(max_u, u);
        if (u > WEIGHT_LIMIT) {
            overflows++;
            return false;
        }
        weight += w;
        weight_squared += w * w;
        return true;
    }

    __device__ __forceinline__ void add(const PointTally& other) {
        overflows += other.overflows;
        not_finite += other.not_finite;
        max_u = fmax(max_u, other.max_u);
        row_log_density += other.row_log_density;
        weight += other.weight;
        weight_squared += other.weight_squared;
        cotangent += other.cotangent;
    }

    // The same sums of another lane.
    __device__ __forceinline__ PointTally of_lane_across(int mask) const {
        PointTally other;
        other.overflows = __shfl_xor_sync(0xffffffffu, overflows, mask);
        other.not_finite = __shfl_xor_sync(0xffffffffu, not_finite, mask);
        other.max_u = __shfl_xor_sync(0xffffffffu, max_u, mask);
        other.row_log_density = __shfl_xor_sync(0xffffffffu, row_log_density, mask);
        other.weight = __shfl_xor_sync(0xffffffffu, weight, mask);
        other.weight_squared = __shfl_xor_sync(0xffffffffu, weight_squared, mask);
        other.cotangent = __shfl_xor_sync(0xffffffffu, cotangent, mask);
        return other;
    }
};

// Leaves the sum of a warp in its place of `tallies`. All threads; a barrier follows.
__device__ __forceinline__ void gather_tallies(PointTally mine, PointTally* tallies) {
#pragma unroll
    for (int mask = WARP / 2; mask > 0; mask /= 2) mine.add(mine.of_lane_across(mask));
    if (threadIdx.x % WARP == 0) tallies[threadIdx.x / WARP] = mine;
}

// The sum over all points; after the barrier. Threads from TILE on had no point.
__device__ __forceinline__ PointTally total_of(const PointTally* tallies) {
    PointTally total = tallies[0];
    for (int warp = 1; warp < (TILE + WARP - 1) / WARP; warp++) total.add(tallies[warp]);
    return total;
}

}  // namespace snel
