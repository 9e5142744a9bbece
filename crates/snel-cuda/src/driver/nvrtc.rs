//! The compiler of kernels, NVRTC. The only module that names its bindings.

#![allow(unsafe_code)]

use std::ffi::{CString, NulError, c_char, c_int};

use cudarc::nvrtc::sys;

use super::compilation::Compilation;
use super::library::{Library, Missing};
use super::target::Target;

/// A loaded compiler.
#[derive(Debug, Clone)]
pub struct Nvrtc {
    version: (u32, u32),
    supported: Vec<u32>,
}

/// Why nothing was compiled.
#[derive(Debug, thiserror::Error)]
pub enum NvrtcError {
    /// There is no compiler.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// It does not take the sources.
    #[error("the kernels do not compile for {architecture}:\n{log}")]
    Rejected {
        /// For what.
        architecture: String,
        /// What it said.
        log: String,
    },
    /// It failed.
    #[error("NVRTC's {call} failed: {code}")]
    Failed {
        /// The function.
        call: &'static str,
        /// Its error code, by name.
        code: String,
    },
    /// There is nothing to compile.
    #[error("no kernel source ends in .cu")]
    NoMain,
    /// A source or option is no C string.
    #[error("a kernel source or option has a zero byte in it")]
    Nul(#[from] NulError),
}

impl Nvrtc {
    /// Finds the compiler and asks what it is.
    ///
    /// # Errors
    /// [`NvrtcError::Missing`] if there is none.
    pub fn load() -> Result<Self, NvrtcError> {
        Library::Nvrtc.find()?;
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: the library is there (invariant 1 of `driver`), and each call writes to the
        // numbers it is given and keeps nothing.
        unsafe {
            check("nvrtcVersion", sys::nvrtcVersion(&raw mut major, &raw mut minor))?;
            check("nvrtcGetNumSupportedArchs", sys::nvrtcGetNumSupportedArchs(&raw mut count))?;
        }
        let mut supported: Vec<c_int> = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: the array has room for as many numbers as the compiler has just said.
        let status = unsafe { sys::nvrtcGetSupportedArchs(supported.as_mut_ptr()) };
        check("nvrtcGetSupportedArchs", status)?;
        let supported = supported.into_iter().map(|n| n as u32).collect();
        Ok(Self { version: (major as u32, minor as u32), supported })
    }

    /// Major and minor version.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Architectures it makes machine code for, as in `90` for `sm_90`.
    pub fn supported(&self) -> &[u32] {
        &self.supported
    }

    /// Compiles: machine code (an ELF file), or PTX (text ending in a zero).
    ///
    /// # Errors
    /// [`NvrtcError`].
    pub fn compile(&self, compilation: &Compilation) -> Result<Vec<u8>, NvrtcError> {
        let source = Source::create(compilation)?;
        let options = strings(compilation.options())?;
        let pointers = pointers(&options);
        let count = pointers.len() as c_int;
        // SAFETY: the program lives, and so do the options until the call is over.
        let status = unsafe { sys::nvrtcCompileProgram(source.0, count, pointers.as_ptr()) };
        if status == sys::nvrtcResult::NVRTC_ERROR_COMPILATION {
            let architecture = compilation.target.architecture();
            return Err(NvrtcError::Rejected { architecture, log: source.log()? });
        }
        check("nvrtcCompileProgram", status)?;
        match compilation.target {
            Target::Machine(_) => source.output(
                ("nvrtcGetCUBINSize", sys::nvrtcGetCUBINSize),
                ("nvrtcGetCUBIN", sys::nvrtcGetCUBIN),
            ),
            Target::Ptx(_) => source.output(
                ("nvrtcGetPTXSize", sys::nvrtcGetPTXSize),
                ("nvrtcGetPTX", sys::nvrtcGetPTX),
            ),
        }
    }
}

type SizeOf = unsafe fn(sys::nvrtcProgram, *mut usize) -> sys::nvrtcResult;
type Get = unsafe fn(sys::nvrtcProgram, *mut c_char) -> sys::nvrtcResult;

/// A program of the compiler.
struct Source(sys::nvrtcProgram);

impl Source {
    fn create(compilation: &Compilation) -> Result<Self, NvrtcError> {
        let (name, text) = compilation.main().ok_or(NvrtcError::NoMain)?;
        let (name, text) = (CString::new(name)?, CString::new(text)?);
        let names = strings(compilation.headers().map(|(name, _)| name))?;
        let texts = strings(compilation.headers().map(|(_, text)| text))?;
        let (names, texts) = (pointers(&names), pointers(&texts));
        let mut program = std::ptr::null_mut();
        // SAFETY: all strings end in a zero and live until the call is over; it copies them.
        let status = unsafe {
            sys::nvrtcCreateProgram(
                &raw mut program,
                text.as_ptr(),
                name.as_ptr(),
                names.len() as c_int,
                texts.as_ptr(),
                names.as_ptr(),
            )
        };
        check("nvrtcCreateProgram", status)?;
        Ok(Self(program))
    }

    /// The result of a pair of functions, one for its length and one for itself.
    fn output(
        &self,
        size: (&'static str, SizeOf),
        get: (&'static str, Get),
    ) -> Result<Vec<u8>, NvrtcError> {
        let mut bytes = 0;
        // SAFETY: the program lives; the call writes one number.
        check(size.0, unsafe { size.1(self.0, &raw mut bytes) })?;
        let mut output = vec![0u8; bytes];
        // SAFETY: the program lives; the call writes as many bytes as the one before has said.
        check(get.0, unsafe { get.1(self.0, output.as_mut_ptr().cast()) })?;
        Ok(output)
    }

    fn log(&self) -> Result<String, NvrtcError> {
        let log = self.output(
            ("nvrtcGetProgramLogSize", sys::nvrtcGetProgramLogSize),
            ("nvrtcGetProgramLog", sys::nvrtcGetProgramLog),
        )?;
        Ok(String::from_utf8_lossy(&log).trim_end_matches(['\0', '\n']).to_owned())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: it was created and is destroyed once. A failure could only leak.
        let _ = unsafe { sys::nvrtcDestroyProgram(&raw mut self.0) };
    }
}

fn check(call: &'static str, status: sys::nvrtcResult) -> Result<(), NvrtcError> {
    match status {
        sys::nvrtcResult::NVRTC_SUCCESS => Ok(()),
        code => Err(NvrtcError::Failed { call, code: format!("{code:?}{}", remark(code)) }),
    }
}

/// What the code alone does not tell.
fn remark(code: sys::nvrtcResult) -> &'static str {
    if code == sys::nvrtcResult::NVRTC_ERROR_BUILTIN_OPERATION_FAILURE {
        ". Its second library, libnvrtc-builtins, is missing: add the folder of libnvrtc.so, where it \
         lies too, to LD_LIBRARY_PATH"
    } else {
        ""
    }
}

fn strings<S: Into<Vec<u8>>>(texts: impl IntoIterator<Item = S>) -> Result<Vec<CString>, NulError> {
    texts.into_iter().map(CString::new).collect()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).collect()
}
