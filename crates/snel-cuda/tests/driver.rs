//! What can be tested of the GPU device without a GPU: the compiler, the cache of what it makes, and
//! what users read where something is missing.
//!
//! The compiler needs no GPU, only `libnvrtc`: `.ci/kernels` fetches it and runs these tests with it.
//! Where it is absent they say so and pass, unless `SNEL_REQUIRE_NVRTC` is set.

// Clippy's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use snel_cuda::device::{Device, Grid, Memory, Program};
use snel_cuda::driver::cache::Cache;
use snel_cuda::driver::compilation::{Compilation, Sources};
use snel_cuda::driver::library::Library;
use snel_cuda::driver::nvrtc::{Nvrtc, NvrtcError};
use snel_cuda::driver::target::Target;
use snel_cuda::driver::{Gpu, GpuKernel, OpenError, gpus};
use snel_cuda::multiply::{self, MultiplyError};

const SOURCES: Sources = &[
    (
        "scale.cu",
        r#"
#include "scale.cuh"
extern "C" __global__ void scale(Arguments a) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < a.n) a.x[i] = a.x[i] * FACTOR + a.y;
}
"#,
    ),
    (
        "scale.cuh",
        r"
struct Arguments { float* x; float y; unsigned n; };
",
    ),
];

fn program(factor: &str) -> Program {
    Program { definitions: vec![("FACTOR".to_owned(), factor.to_owned())] }
}

/// The compiler, or a line that says why the test does nothing.
fn compiler(test: &str) -> Option<Nvrtc> {
    match Nvrtc::load() {
        Ok(compiler) => Some(compiler),
        Err(error) if std::env::var_os("SNEL_REQUIRE_NVRTC").is_none() => {
            eprintln!("{test} skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn compilation<'a>(
    compiler: &Nvrtc,
    sources: Sources<'a>,
    program: &'a Program,
    target: Target,
) -> Compilation<'a> {
    Compilation { sources, program, target, compiler: compiler.version() }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn machine_code_is_made_for_each_architecture_and_is_the_same_each_time() {
    let Some(compiler) = compiler("machine code") else { return };
    let program = program("3.0f");
    let mut all = Vec::new();
    for architecture in [80, 86, 89, 90] {
        let target = Target::Machine(architecture);
        let compilation = compilation(&compiler, SOURCES, &program, target);
        let image = compiler.compile(&compilation).unwrap();
        assert!(image.starts_with(b"\x7fELF"), "{target:?}");
        assert!(has(&image, "scale"), "{target:?}");
        assert_eq!(compiler.compile(&compilation).unwrap(), image, "{target:?}");
        assert!(!all.contains(&image), "{target:?}");
        all.push(image);
    }
}

#[test]
fn products_and_sums_are_fused_only_where_the_source_says_so() {
    let Some(compiler) = compiler("fused operations") else { return };
    let program = program("3.0f");
    let target = Target::Ptx(80);
    let plain = compiler.compile(&compilation(&compiler, SOURCES, &program, target)).unwrap();
    assert!(has(&plain, "add.rn.f32") && !has(&plain, "fma.rn.f32"));
    let source = SOURCES[0].1.replace("a.x[i] * FACTOR + a.y", "fmaf(a.x[i], FACTOR, a.y)");
    let sources = [("scale.cu", source.as_str()), SOURCES[1]];
    let fused = compiler.compile(&compilation(&compiler, &sources, &program, target)).unwrap();
    assert!(has(&fused, "fma.rn.f32") && !has(&fused, ".ftz"));
}

#[test]
fn the_compilers_words_name_file_and_line() {
    let Some(compiler) = compiler("the compiler's words") else { return };
    let program = program("3.0f");
    let sources = [("scale.cu", "\n\nint wrong = ;\n")];
    let compilation = compilation(&compiler, &sources, &program, Target::Machine(90));
    let error = compiler.compile(&compilation).unwrap_err();
    let NvrtcError::Rejected { architecture, log } = &error else { panic!("{error}") };
    assert_eq!(architecture, "sm_90a");
    assert!(log.contains("scale.cu(3)"), "{log}");
}

#[test]
fn a_header_that_is_not_there_is_named() {
    let Some(compiler) = compiler("a missing header") else { return };
    let program = program("3.0f");
    let compilation = compilation(&compiler, &SOURCES[..1], &program, Target::Machine(90));
    let error = compiler.compile(&compilation).unwrap_err().to_string();
    assert!(error.contains("scale.cuh"), "{error}");
}

#[test]
fn a_second_start_compiles_nothing() {
    let Some(compiler) = compiler("the cache") else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().to_path_buf());
    let (three, four) = (program("3.0f"), program("4.0f"));
    let first = compilation(&compiler, SOURCES, &three, Target::Machine(90));
    let other = compilation(&compiler, SOURCES, &four, Target::Machine(90));
    let compiled = cache.get_or(&first.key(), || compiler.compile(&first)).unwrap();
    let again = cache.get_or(&first.key(), || panic!("compiled again") as Result<_, NvrtcError>);
    assert_eq!(again.unwrap().image, compiled.image);
    let changed = cache.get_or(&other.key(), || compiler.compile(&other)).unwrap();
    assert!(!changed.hit && changed.image != compiled.image);
}

#[test]
fn sources_without_a_program_are_refused() {
    let Some(compiler) = compiler("no program") else { return };
    let program = program("3.0f");
    let compilation = compilation(&compiler, &SOURCES[1..], &program, Target::Machine(90));
    assert!(matches!(compiler.compile(&compilation), Err(NvrtcError::NoMain)));
}

/// Where there is a driver, the GPUs are listed; where there is none, nothing panics and the error
/// says what to do.
#[test]
fn a_machine_without_a_driver_is_told_what_to_install() {
    if Library::Driver.find().is_ok() {
        let listed = gpus().unwrap();
        assert!(listed.iter().all(|gpu| gpu.memory_bytes > 0 && !gpu.name.is_empty()));
        return;
    }
    let listed = gpus().unwrap_err();
    let opened = Gpu::open(0, SOURCES).err().unwrap();
    for error in [listed, opened] {
        assert!(matches!(&error, OpenError::Missing(m) if m.library == Library::Driver), "{error}");
        let text = error.to_string();
        assert!(text.contains("libcuda.so.1") && text.contains("install the driver"), "{text}");
    }
}

/// A machine without cuBLASLt is told what to install; one with it may still lack a GPU to use it on.
#[test]
fn a_machine_without_cublaslt_is_told_what_to_install() {
    match multiply::Library::load() {
        Ok(library) => assert!(library.name().starts_with("cuBLASLt 1"), "{}", library.name()),
        Err(MultiplyError::Missing(missing)) => {
            assert_eq!(missing.library, Library::CublasLt);
            assert!(missing.to_string().contains("pip install nvidia-cublas"), "{missing}");
        }
        Err(error) => assert!(matches!(error, MultiplyError::Call { .. }), "{error}"),
    }
}

/// Numbers up and back, and a kernel on the GPU that `SNEL_TEST_DEVICE` names, as in `cuda:0`.
#[test]
fn a_gpu_runs_a_kernel() {
    let Ok(device) = std::env::var("SNEL_TEST_DEVICE") else {
        eprintln!("a kernel on a GPU skipped: SNEL_TEST_DEVICE names none (as in cuda:0)");
        return;
    };
    let index = device.strip_prefix("cuda:").unwrap_or_default().parse().unwrap();
    let mut gpu = Gpu::open(index, SOURCES).unwrap().with_cache(None);
    let kernel = gpu.compile(&program("3.0f"), &["scale"]).unwrap().remove(0);
    // The last is longer than what is staged, so that both ways of copying are taken.
    for n in [5, 1000, 1_000_003] {
        scale_on(&gpu, &kernel, n);
    }
}

/// `0, 1, …, n - 1`, times three, plus one.
fn scale_on(gpu: &Gpu, kernel: &GpuKernel, n: usize) {
    let bytes: Vec<u8> = (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let mut x = gpu.allocate(bytes.len()).unwrap();
    assert_eq!(x.address() % 256, 0);
    gpu.upload(&bytes, &mut x).unwrap();
    let mut arguments = x.address().to_le_bytes().to_vec();
    arguments.extend(1f32.to_le_bytes());
    arguments.extend((n as u32).to_le_bytes());
    let grid = Grid { blocks: n.div_ceil(128) as u32, threads: 128, shared: 0 };
    // SAFETY: the bytes are the kernel's struct, and `x` has room for `n` values.
    #[allow(unsafe_code)]
    unsafe { gpu.launch(kernel, grid, &arguments) }.unwrap();
    let mut back = vec![0; bytes.len()];
    gpu.download(&x, &mut back).unwrap();
    for (i, value) in back.chunks_exact(4).enumerate() {
        // Whole numbers below 2^24: exact.
        assert_eq!(f32::from_le_bytes(value.try_into().unwrap()), i as f32 * 3.0 + 1.0);
    }
    gpu.clear(&mut x).unwrap();
    gpu.download(&x, &mut back).unwrap();
    assert!(back.iter().all(|&byte| byte == 0));
}
