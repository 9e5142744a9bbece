// A block's work in a step: chunks, one after the other, tile by tile.
//
// Blocks take chunks by a ticket. Which block takes which cannot matter: a chunk's gradient is a
// function of the chunk, and sums are integers.
#pragma once
#include "exact.cuh"
#include "gradient.cuh"
#include "objective.cuh"

namespace snel {

// Takes the next chunk's number, for all threads. The barriers keep the number until all have it.
__device__ __forceinline__ u32 next_chunk(const StepArguments& step, Shared& shared) {
    __syncthreads();
    if (threadIdx.x == 0) {
        shared.chunk = atomicAdd(&step.control[0], 1u);
        shared.largest = 0;
        shared.not_finite = 0;
    }
    __syncthreads();
    return shared.chunk;
}

// Makes the tile's points. Ends with a barrier.
__device__ __forceinline__ void make_points(const Block& block, const StepArguments& step,
                                            const Chunk& chunk, u32 done, int count) {
    float* points = block.values<0>();
    if (chunk.is_sample) {
        const Source source{step.model.seed, step.stream, step.step};
        draw_samples(step.model.proposal, source, chunk.first + done, count, block.shared.origins,
                     points);
    } else {
        load_points(step.rows + (chunk.first + done) * width(0), count, points);
    }
    __syncthreads();
}

__device__ __forceinline__ void write_tally(const PointTally& total, const Chunk& chunk,
                                            u32 not_finite, ChunkTally& to) {
    to.rows = chunk.is_sample ? 0 : chunk.count;
    to.samples = chunk.is_sample ? chunk.count : 0;
    to.overflows = total.overflows;
    to.not_finite = static_cast<u64>(total.not_finite) + not_finite;
    to.max_u = total.max_u;
    to.row_log_density = total.row_log_density;
    to.weight = total.weight;
    to.weight_squared = total.weight_squared;
}

__device__ __forceinline__ void work_on(const Block& block, const StepArguments& step, u32 index,
                                        double b, Sums& sums) {
    const Chunk chunk = step.chunks[index];
    PointTally tally;
    sums.clear();
    for (u32 done = 0; done < chunk.count; done += TILE) {
        const u32 left = chunk.count - done;
        const int count = left < TILE ? left : TILE;
        make_points(block, step, chunk, done, count);
        log_densities_for(block, step, chunk.is_sample);
        forward(block);
        weigh_tile(block, step, chunk.is_sample, count, b, tally);
        __syncthreads();
        backward(block, sums);
        __syncthreads();
    }
    gather_tallies(tally, block.shared.tallies);
    __syncthreads();
    const PointTally total = total_of(block.shared.tallies);
    const float b_gradient = static_cast<float>(total.cotangent);
    share_extent(sums, b_gradient, block.shared);
    __syncthreads();
    add_chunk(sums, b_gradient, block.shared, step, chunk.is_sample);
    if (threadIdx.x == 0) {
        atomicMax(&step.control[1], block.shared.largest);
        write_tally(total, chunk, block.shared.not_finite, step.tallies[index]);
    }
}

}  // namespace snel
