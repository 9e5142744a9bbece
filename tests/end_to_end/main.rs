//! End-to-end tests: the real binary, as a user runs it.

#![allow(clippy::unwrap_used)] // a test may panic

mod snel;

use snel::Snel;

#[test]
fn version_is_told() {
    let output = Snel::new().args(["--version"]).run();
    assert_eq!(output.code, 0);
    assert!(output.stdout.starts_with("snel "));
}
