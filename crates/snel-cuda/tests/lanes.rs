//! Where the tensor cores' operands lie: which element of a matrix is in which lane's registers.
//!
//! The emulator has its lanes from the same description as the kernels, so that both could be wrong
//! together. Only a GPU can tell: `SNEL_TEST_DEVICE=cuda:0`. The numbers are small and whole, so
//! every product is exact, and one misplaced element shows.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test may

use snel_cuda::device::{Device, Grid, Memory, Program};
use snel_cuda::driver::Gpu;
use snel_cuda::driver::compilation::{Compilation, Sources};
use snel_cuda::driver::nvrtc::Nvrtc;
use snel_cuda::driver::target::Target;

/// Loads A (16 x K) and B (K x 8) by lane and stores D = A B, all row-major floats.
const SOURCES: Sources = &[(
    "lanes.cu",
    r#"
struct Arguments { const float* a; const float* b; float* d; };

__device__ unsigned half_pair(float low, float high) {
    return __float_as_uint(low) >> 16 | (__float_as_uint(high) >> 16) << 16;
}

extern "C" __global__ void bf16(Arguments m) {
    const int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned a[4], b[2];
    float d[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4; i++) {
        const float* from = m.a + (g + 8 * (i % 2)) * 16 + 2 * t + 8 * (i / 2);
        a[i] = half_pair(from[0], from[1]);
    }
    for (int i = 0; i < 2; i++) {
        const float* from = m.b + (2 * t + 8 * i) * 8 + g;
        b[i] = half_pair(from[0], from[8]);
    }
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    for (int i = 0; i < 4; i++) m.d[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = d[i];
}

extern "C" __global__ void tf32(Arguments m) {
    const int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned a[4], b[2];
    float d[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4; i++) {
        a[i] = __float_as_uint(m.a[(g + 8 * (i % 2)) * 8 + t + 4 * (i / 2)]);
    }
    for (int i = 0; i < 2; i++) b[i] = __float_as_uint(m.b[(t + 4 * i) * 8 + g]);
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    for (int i = 0; i < 4; i++) m.d[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = d[i];
}

// Lane 8 i + r names row r of matrix i; word i of a lane must be M_i[g][2t], M_i[g][2t + 1].
extern "C" __global__ void rows(Arguments m) {
    __shared__ __align__(16) unsigned short s[32 * 8];
    for (int i = threadIdx.x; i < 256; i += 32) s[i] = __float_as_uint(m.a[i]) >> 16;
    __syncthreads();
    const unsigned from = (unsigned)__cvta_generic_to_shared(s + 8 * threadIdx.x);
    unsigned w[4];
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3]) : "r"(from) : "memory");
    const int g = threadIdx.x / 4, t = threadIdx.x % 4;
    for (int i = 0; i < 4; i++) {
        float* to = m.d + (8 * i + g) * 8 + 2 * t;
        to[0] = __uint_as_float(w[i] << 16);
        to[1] = __uint_as_float(w[i] & 0xffff0000u);
    }
}
"#,
)];

/// Whole numbers from -8 to 8 that repeat in no pattern of the lanes.
fn numbers(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + i * i * 3 + salt) % 17) as f32 - 8.0).collect()
}

fn product(a: &[f32], b: &[f32], depth: usize) -> Vec<f32> {
    let at = |i: usize, j: usize| (0..depth).map(|k| a[i * depth + k] * b[k * 8 + j]).sum();
    (0..16 * 8).map(|e| at(e / 8, e % 8)).collect()
}

fn run(gpu: &mut Gpu, kernel: &str, a: &[f32], b: &[f32], results: usize) -> Vec<f32> {
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let kernel = gpu.compile(&Program { definitions: Vec::new() }, &[kernel]).unwrap().remove(0);
    let [mut on_a, mut on_b, on_d] =
        [4 * a.len(), 4 * b.len(), 4 * results].map(|bytes| gpu.allocate(bytes).unwrap());
    gpu.upload(&bytes(a), &mut on_a).unwrap();
    gpu.upload(&bytes(b), &mut on_b).unwrap();
    let addresses = [on_a.address(), on_b.address(), on_d.address()];
    let arguments: Vec<u8> = addresses.iter().flat_map(|address| address.to_le_bytes()).collect();
    let warp = Grid { blocks: 1, threads: 32, shared: 0 };
    // SAFETY: three addresses of living memory with the room that the kernel reads and writes.
    #[allow(unsafe_code)]
    unsafe { gpu.launch(&kernel, warp, &arguments) }.unwrap();
    let mut back = vec![0; 4 * results];
    gpu.download(&on_d, &mut back).unwrap();
    back.chunks_exact(4).map(|v| f32::from_le_bytes(v.try_into().unwrap())).collect()
}

#[test]
fn operands_lie_where_the_kernels_think() {
    let Ok(device) = std::env::var("SNEL_TEST_DEVICE") else {
        eprintln!("lanes skipped: SNEL_TEST_DEVICE names no GPU (as in cuda:0)");
        return;
    };
    let index = device.strip_prefix("cuda:").unwrap().parse().unwrap();
    let mut gpu = Gpu::open(index, SOURCES).unwrap().with_cache(None);
    for (kernel, depth) in [("bf16", 16), ("tf32", 8)] {
        let (a, b) = (numbers(16 * depth, 1), numbers(depth * 8, 5));
        let d = run(&mut gpu, kernel, &a, &b, 16 * 8);
        assert_eq!(d, product(&a, &b, depth), "{kernel}");
    }
    let matrices = numbers(256, 2);
    assert_eq!(run(&mut gpu, "rows", &matrices, &[0.0], 256), matrices);
}

/// Without a GPU at least the compiler takes the probe.
#[test]
fn the_probe_compiles() {
    let compiler = match Nvrtc::load() {
        Ok(compiler) => compiler,
        Err(error) => {
            assert!(std::env::var_os("SNEL_REQUIRE_NVRTC").is_none(), "{error}");
            eprintln!("the probe skipped: {error}");
            return;
        }
    };
    let program = Program { definitions: Vec::new() };
    for target in [Target::Machine(80), Target::Machine(90)] {
        let version = compiler.version();
        let sources = SOURCES;
        let compilation = Compilation { sources, program: &program, target, compiler: version };
        let image = compiler.compile(&compilation).unwrap();
        let names = ["bf16", "tf32", "rows"];
        let has = |name: &str| image.windows(name.len()).any(|w| w == name.as_bytes());
        assert!(names.into_iter().all(has), "{target:?}");
    }
}
