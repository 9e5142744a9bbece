// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), the only source of randomness. Word for word
// what snel-core/src/philox.rs makes.
#pragma once
#include "primitives.cuh"

namespace snel {

// Which family of random numbers: seed and stream, and the step.
struct Source {
    u32 seed, stream, step;
};

// Block `draw` of sample `sample`: four uniform words.
__device__ __forceinline__ Words philox(const Source& source, u64 sample, u32 draw) {
    u32 key0 = source.seed, key1 = source.stream;
    u32 c0 = source.step, c1 = static_cast<u32>(sample), c2 = static_cast<u32>(sample >> 32);
    u32 c3 = draw;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const u32 high0 = __umulhi(c0, 0xD2511F53u), low0 = c0 * 0xD2511F53u;
        const u32 high1 = __umulhi(c2, 0xCD9E8D57u), low1 = c2 * 0xCD9E8D57u;
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// A uniform number inside (0, 1), exact: (word + 1/2) 2^-32.
__device__ __forceinline__ double uniform(u32 word) {
    return (static_cast<double>(word) + 0.5) * (1.0 / 4294967296.0);
}

}  // namespace snel
