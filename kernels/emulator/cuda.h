// The words of CUDA C++ that kernels use, for g++.
//
// Only what is plain in CUDA too; instructions that need assembly there have their second body in
// ../primitives.cuh.
#pragma once
#include <cmath>
#include <cstring>

#include "machine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

namespace emulator {

struct Index {
    unsigned x;
};

template <class To, class From>
inline To bits_of(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &value, sizeof(to));
    return to;
}

// Every lane's value to all lanes; each picks one.
template <class T>
inline T shuffle_xor(Site site, T value, unsigned mask) {
    static_assert(sizeof(T) <= 8);
    struct { T value; unsigned mask; } in{value, mask};
    T out;
    machine->collective(site, &in, sizeof(in), &out, sizeof(out), [](Mail* mail) {
        for (unsigned lane = 0; lane < WARP; lane++) {
            decltype(in) mine;
            std::memcpy(&mine, mail[lane].in, sizeof(mine));
            std::memcpy(mail[lane].out, mail[lane ^ mine.mask].in, sizeof(T));
        }
    });
    return out;
}

inline void warp_barrier(Site site) {
    char nothing = 0;
    machine->collective(site, &nothing, 1, &nothing, 0, [](Mail*) {});
}

}  // namespace emulator

#define threadIdx (emulator::Index{emulator::machine->thread().index})
#define blockIdx (emulator::Index{emulator::machine->block().index})
#define blockDim (emulator::Index{emulator::machine->threads()})
#define gridDim (emulator::Index{emulator::machine->blocks()})

#define __syncthreads() emulator::machine->block_barrier({__FILE__, __LINE__})
#define __syncwarp() emulator::warp_barrier({__FILE__, __LINE__})
#define __shfl_xor_sync(lanes, value, mask) \
    emulator::shuffle_xor({__FILE__, __LINE__}, value, mask)

using std::isfinite;
using std::isnan;

inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline unsigned __float_as_uint(float v) { return emulator::bits_of<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return emulator::bits_of<float>(v); }

// Compiled with -ffp-contract=off, so these are never fused.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __int2float_rn(int v) { return static_cast<float>(v); }
inline float __uint2float_rn(unsigned v) { return static_cast<float>(v); }
inline double __ll2double_rn(long long v) { return static_cast<double>(v); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
// The default rounding mode is to nearest, ties to even.
inline long long __double2ll_rn(double v) { return std::llrint(v); }

// One OS thread runs everything, so an ordinary addition is atomic.
template <class T>
inline T atomicAdd(T* to, T value) {
    const T old = *to;
    *to = old + value;
    return old;
}
template <class T>
inline T atomicMax(T* to, T value) {
    const T old = *to;
    *to = old < value ? value : old;
    return old;
}
