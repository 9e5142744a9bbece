// What hardware and emulator do differently: the only file with two bodies.
//
// Tensor-core products, matrix loads, asynchronous copies, approximate functions, conversions and
// dynamic shared memory. Both bodies have the same contract, stated once, above the declaration.
#pragma once

namespace snel {

using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;

// A bf16 number by its bits: the upper half of a float.
struct Bf16 {
    u16 bits;
};

// Four words: a Philox block, a fragment of a matrix, or 16 bytes on the move.
struct alignas(16) Words {
    u32 w[4];
};

// Values that are moved at once, 4, 8 or 16 bytes, and lie aligned to that.
template <class T, int COUNT>
struct alignas(COUNT * sizeof(T)) Columns {
    T at[COUNT];
};

constexpr int WARP = 32;

// NVRTC has no <cmath> and no INFINITY.
__device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000u); }

__device__ __forceinline__ float float_of(Bf16 v) {
    return __uint_as_float(static_cast<u32>(v.bits) << 16);
}

// Two bf16 in one word, the first in the lower half; rounded to nearest, ties to even.
__device__ __forceinline__ u32 pack_bf16(float low, float high);

// The block's dynamic shared memory, aligned to 128 bytes.
__device__ __forceinline__ unsigned char* dynamic_shared();

// D += A B on a warp. A is 16 x 16, B is 16 x 8, D is 16 x 8. With g = lane / 4 and t = lane % 4:
//   a.w[0] = A[g][2t..], a.w[1] = A[g+8][2t..], a.w[2] = A[g][2t+8..], a.w[3] = A[g+8][2t+8..]
//   b0 = B[2t..][g], b1 = B[2t+8..][g];  d = D[g][2t], D[g][2t+1], D[g+8][2t], D[g+8][2t+1]
__device__ __forceinline__ void mma_bf16(float (&d)[4], const Words& a, u32 b0, u32 b1);

// The same in tf32: A is 16 x 8, B is 8 x 8.
//   a.w[0] = A[g][t], a.w[1] = A[g+8][t], a.w[2] = A[g][t+4], a.w[3] = A[g+8][t+4]
//   b0 = B[t][g], b1 = B[t+4][g]
__device__ __forceinline__ void mma_tf32(float (&d)[4], const Words& a, u32 b0, u32 b1);

// A float rounded to tf32 (10 bits of fraction), ties away from zero.
__device__ __forceinline__ u32 tf32_of(float v);

// Loads four 8 x 8 matrices of bf16 from shared memory. Lane 8 i + r names row r (16 bytes,
// aligned) of matrix i; every lane gets M_i[g][2t], M_i[g][2t+1] in w[i].
__device__ __forceinline__ Words load_matrices(const Bf16* row);

// The same with each matrix transposed on the way: M_i[2t][g], M_i[2t+1][g].
__device__ __forceinline__ Words load_matrices_transposed(const Bf16* row);

// Starts copying 16 bytes from global to shared memory, both aligned to 16 bytes. They are there
// after `wait_for_copies` in the same thread, and for others after a barrier that follows it.
__device__ __forceinline__ void copy_async(void* shared, const void* global);
__device__ __forceinline__ void wait_for_copies();

// tanh with a relative error of up to 2^-11.
__device__ __forceinline__ float fast_tanh(float x);

// 1 / x for normal x, with an error of up to one unit in the last place.
__device__ __forceinline__ float fast_reciprocal(float x);

#ifndef SNEL_EMULATOR

__device__ __forceinline__ u32 pack_bf16(float low, float high) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

__device__ __forceinline__ unsigned char* dynamic_shared() {
    extern __shared__ __align__(128) unsigned char snel_dynamic_shared[];
    return snel_dynamic_shared;
}

__device__ __forceinline__ void mma_bf16(float (&d)[4], const Words& a, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.w[0]), "r"(a.w[1]), "r"(a.w[2]), "r"(a.w[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void mma_tf32(float (&d)[4], const Words& a, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.w[0]), "r"(a.w[1]), "r"(a.w[2]), "r"(a.w[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ u32 tf32_of(float v) {
    u32 rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(v));
    return rounded;
}

__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ Words load_matrices(const Bf16* row) {
    Words m;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m.w[0]), "=r"(m.w[1]), "=r"(m.w[2]), "=r"(m.w[3])
                 : "r"(shared_address(row))
                 : "memory");
    return m;
}

__device__ __forceinline__ Words load_matrices_transposed(const Bf16* row) {
    Words m;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m.w[0]), "=r"(m.w[1]), "=r"(m.w[2]), "=r"(m.w[3])
                 : "r"(shared_address(row))
                 : "memory");
    return m;
}

__device__ __forceinline__ void copy_async(void* shared, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)),
                 "l"(global)
                 : "memory");
}

__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_all;" ::: "memory");
}

__device__ __forceinline__ float fast_tanh(float x) {
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float fast_reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#else

__device__ __forceinline__ u32 round_to_bf16(float v) {
    const u32 bits = __float_as_uint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
}

__device__ __forceinline__ u32 pack_bf16(float low, float high) {
    return round_to_bf16(low) | round_to_bf16(high) << 16;
}

__device__ __forceinline__ unsigned char* dynamic_shared() {
    return emulator::machine->block().shared.get();
}

// What a lane brings to a product.
struct MmaMail {
    Words a;
    u32 b[2];
    float d[4];
};

// D += A B of depth DEPTH; `element` finds element `half` of a word. Sums go up in k.
template <int DEPTH, class Element>
inline void multiply_mail(emulator::Mail* mail, Element element) {
    constexpr int HALVES = DEPTH / 8;  // elements in a word
    float a[16][DEPTH], b[DEPTH][8];
    for (int lane = 0; lane < WARP; lane++) {
        MmaMail in;
        std::memcpy(&in, mail[lane].in, sizeof(in));
        const int g = lane / 4, t = lane % 4;
        for (int half = 0; half < HALVES; half++) {
            const int k = t * HALVES + half;
            for (int i = 0; i < 4; i++) {
                a[g + 8 * (i % 2)][k + DEPTH / 2 * (i / 2)] = element(in.a.w[i], half);
            }
            for (int i = 0; i < 2; i++) b[k + DEPTH / 2 * i][g] = element(in.b[i], half);
        }
    }
    for (int lane = 0; lane < WARP; lane++) {
        MmaMail in;
        std::memcpy(&in, mail[lane].in, sizeof(in));
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) {
            for (int k = 0; k < DEPTH; k++) in.d[i] += a[g + 8 * (i / 2)][k] * b[k][2 * t + i % 2];
        }
        std::memcpy(mail[lane].out, in.d, sizeof(in.d));
    }
}

inline void multiply_bf16_mail(emulator::Mail* mail) {
    multiply_mail<16>(mail, [](u32 word, int half) {
        return __uint_as_float(half ? word & 0xffff0000u : word << 16);
    });
}

inline void multiply_tf32_mail(emulator::Mail* mail) {
    multiply_mail<8>(mail, [](u32 word, int) { return __uint_as_float(word & ~0x1fffu); });
}

inline void mma(float (&d)[4], const Words& a, u32 b0, u32 b1, void (*multiply)(emulator::Mail*),
                int line) {
    const MmaMail in{a, {b0, b1}, {d[0], d[1], d[2], d[3]}};
    emulator::machine->collective({__FILE__, line}, &in, sizeof(in), d, sizeof(d), multiply);
}

__device__ __forceinline__ void mma_bf16(float (&d)[4], const Words& a, u32 b0, u32 b1) {
    mma(d, a, b0, b1, multiply_bf16_mail, __LINE__);
}

__device__ __forceinline__ void mma_tf32(float (&d)[4], const Words& a, u32 b0, u32 b1) {
    mma(d, a, b0, b1, multiply_tf32_mail, __LINE__);
}

__device__ __forceinline__ u32 tf32_of(float v) {
    return (__float_as_uint(v) + 0x1000u) & ~0x1fffu;
}

template <bool TRANSPOSED>
inline void load_mail(emulator::Mail* mail) {
    u16 m[4][8][8];
    for (int lane = 0; lane < WARP; lane++) {
        const Bf16* row;
        std::memcpy(&row, mail[lane].in, sizeof(row));
        std::memcpy(m[lane / 8][lane % 8], row, 16);
    }
    for (int lane = 0; lane < WARP; lane++) {
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) {
            const u32 low = TRANSPOSED ? m[i][2 * t][g] : m[i][g][2 * t];
            const u32 high = TRANSPOSED ? m[i][2 * t + 1][g] : m[i][g][2 * t + 1];
            mail[lane].out[i] = low | high << 16;
        }
    }
}

template <bool TRANSPOSED>
inline Words load_matrices_from(const Bf16* row) {
    const auto address = reinterpret_cast<unsigned long long>(row);
    if (address % 16 != 0) emulator::machine->fail("a row of a matrix is not aligned to 16 bytes");
    Words words;
    emulator::machine->collective({__FILE__, __LINE__ + TRANSPOSED}, &row, sizeof(row), &words,
                                  sizeof(words), load_mail<TRANSPOSED>);
    return words;
}

__device__ __forceinline__ Words load_matrices(const Bf16* row) {
    return load_matrices_from<false>(row);
}

__device__ __forceinline__ Words load_matrices_transposed(const Bf16* row) {
    return load_matrices_from<true>(row);
}

__device__ __forceinline__ void copy_async(void* shared, const void* global) {
    const auto to = reinterpret_cast<unsigned long long>(shared);
    const auto from = reinterpret_cast<unsigned long long>(global);
    if (to % 16 != 0 || from % 16 != 0) {
        emulator::machine->fail("an asynchronous copy is not aligned to 16 bytes");
    }
    emulator::machine->thread().copies.push_back({shared, global});
}

__device__ __forceinline__ void wait_for_copies() {
    auto& copies = emulator::machine->thread().copies;
    for (const emulator::Copy& copy : copies) std::memcpy(copy.to, copy.from, 16);
    copies.clear();
}

// The documented error at its worst: the last 13 bits are rounded away.
__device__ __forceinline__ float fast_tanh(float x) {
    return __uint_as_float((__float_as_uint(std::tanh(x)) + 0x1000u) & ~0x1fffu);
}

// Here too: the last bit is lost.
__device__ __forceinline__ float fast_reciprocal(float x) {
    return __uint_as_float(__float_as_uint(1.0f / x) & ~1u);
}

#endif

}  // namespace snel
