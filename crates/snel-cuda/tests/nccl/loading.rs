//! Finding the library, and saying what is wrong with the one that is found.

#![allow(unsafe_code)] // calls the fake library's controls

use std::process::Command;
use std::sync::Arc;

use snel_cuda::nccl::{Communicator, Interrupt, Library, LoadError, NcclError, Place};

use crate::host::{Fake, PATIENCE, copy_to};

/// The error of loading a copy that `change` has changed.
fn refusal(change: impl FnOnce(&std::path::Path)) -> LoadError {
    let folder = tempfile::tempdir().unwrap();
    let file = copy_to(folder.path());
    change(&file);
    Library::open(&[&file]).unwrap_err()
}

#[test]
fn what_is_needed_is_said_when_nothing_is_found() {
    let error = Library::open(&["/nowhere/libnccl.so.2", "/nowhere/libnccl.so"]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("NCCL was not found: /nowhere/libnccl.so.2 ("), "{text}");
    assert!(text.contains("/nowhere/libnccl.so ("), "{text}");
    assert!(text.contains("install NCCL 2.25.0 or later"), "{text}");
    assert!(text.ends_with("or name its file in SNEL_NCCL_LIB"), "{text}");
}

#[test]
fn the_next_name_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let file = copy_to(folder.path());
    let library = Library::open(&[folder.path().join("libnccl.so"), file.clone()]).unwrap();
    assert_eq!(
        (library.file(), library.version().to_string().as_str()),
        (file.to_str().unwrap(), "2.30.7")
    );
    assert!(!library.abilities().shrink);
}

#[test]
fn versions_that_are_too_old_or_too_new_are_refused() {
    for (version, name) in [(2_804, "2.8.4"), (22_499, "2.24.99"), (30_000, "3.0.0")] {
        let error = refusal(|file| {
            // SAFETY: the function's type in the fake library, which stays open.
            unsafe {
                let library = Box::leak(Box::new(libloading::Library::new(file).unwrap()));
                let set: libloading::Symbol<extern "C" fn(i32)> =
                    library.get("fake_set_version").unwrap();
                set(version);
            }
        });
        let text = error.to_string();
        assert!(matches!(error, LoadError::Version { .. }), "{text}");
        let expected = format!("is NCCL {name}; needed is 2.25.0 or later, below 3.0");
        assert!(text.ends_with(&expected), "{text}");
    }
}

/// Each function that is called, taken out by a change of its name in the file.
#[test]
#[cfg(target_os = "linux")]
fn functions_that_are_missing_are_named() {
    for symbol in [
        "ncclGetVersion",
        "ncclGetErrorString",
        "ncclGetLastError",
        "ncclGetUniqueId",
        "ncclCommInitRankConfig",
        "ncclCommGetAsyncError",
        "ncclAllReduce",
        "ncclCommAbort",
        "ncclCommFinalize",
        "ncclCommDestroy",
    ] {
        let error = refusal(|file| {
            let mut bytes = std::fs::read(file).unwrap();
            let name = format!("\0{symbol}\0").into_bytes();
            let places: Vec<usize> = (0..bytes.len() - name.len())
                .filter(|&at| bytes[at..].starts_with(&name))
                .collect();
            assert!(!places.is_empty(), "the library has no {symbol} to take out");
            places.into_iter().for_each(|at| bytes[at + 1] = b'x');
            std::fs::write(file, bytes).unwrap();
        });
        let text = error.to_string();
        assert!(
            matches!(error, LoadError::Symbol { symbol: named, .. } if named == symbol),
            "{text}"
        );
        assert!(
            text.ends_with(&format!("has no function {symbol}: it is not NCCL, or not all of it"))
        );
    }
}

#[test]
fn a_file_that_is_no_library_is_told() {
    let error = refusal(|file| std::fs::write(file, "no library").unwrap());
    assert!(matches!(error, LoadError::NotFound { .. }), "{error}");
}

/// Runs the test of this name again in a process with this in its environment; true in there.
fn is_in_process_with(test: &str, variable: &str, value: &str) -> bool {
    if std::env::var_os("SNEL_TEST_AGAIN").is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let child = Command::new(program)
        .args(["--exact", test])
        .env("SNEL_TEST_AGAIN", "1")
        .env(variable, value)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
    false
}

#[test]
fn the_environment_names_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let file = copy_to(folder.path());
    let (test, file) = ("loading::the_environment_names_the_library", file.to_str().unwrap());
    if is_in_process_with(test, "SNEL_NCCL_LIB", file) {
        let library = Library::load().unwrap();
        assert_eq!(library.file(), std::env::var("SNEL_NCCL_LIB").unwrap());
    }
}

/// The environment goes over the config, and would make a lost rank stop the others for ever.
#[test]
fn a_blocking_environment_is_refused() {
    let test = "loading::a_blocking_environment_is_refused";
    if is_in_process_with(test, "NCCL_COMM_BLOCKING", "1") {
        let fake = Fake::new();
        let error = fake.join(fake.id(), (0, 1), PATIENCE, &Interrupt::default()).unwrap_err();
        assert!(matches!(error, NcclError::Blocking), "{error}");
        fake.assert_clean();
    }
}

/// What can be seen of a real NCCL without a GPU: that it has the functions, makes ids, and says in
/// its own words that there is no GPU. It says so before it looks at the config.
#[test]
#[ignore = "needs NCCL, and no GPU; name its file in SNEL_NCCL_LIB"]
fn the_real_library_answers() {
    let library = Arc::new(Library::load().unwrap());
    let place = Place { rank: 0, world: 1 };
    let id = || library.unique_id(place).unwrap();
    println!("{library:?}, {:?}", library.abilities());
    assert_ne!(id(), id());
    let (stream, interrupt) = (Box::new(Fake::new().stream()), Interrupt::default());
    let error =
        Communicator::join(library.clone(), id(), place, stream, PATIENCE, interrupt).unwrap_err();
    println!("{error}");
    let NcclError::Call { call, code, .. } = error else { panic!("{error}") };
    assert_eq!((call, code.name()), ("ncclCommInitRankConfig", "ncclUnhandledCudaError"));
}
