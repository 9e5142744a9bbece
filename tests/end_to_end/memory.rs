//! Memory does not grow with the number of samples.

#[cfg(target_os = "linux")]
mod linux {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Child;
    use std::time::Duration;

    use crate::snel::{Output, Place};

    /// The peak of a child's resident memory, bytes, from the kernel's own high-water mark. The
    /// last reading before the end misses what comes after it: two milliseconds.
    fn peak(mut child: Child) -> u64 {
        let path = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0) << 10);
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), None);
        let output = Output::of(output);
        assert_eq!(output.code, 0, "{output:?}");
        peak
    }

    const LIMIT: u64 = 32 << 20;

    #[test]
    fn of_a_step_is_constant_in_samples() {
        let run = |samples: &str| {
            let place = Place::with_small();
            let samples = format!("train.samples={samples}");
            peak(place.start(&[
                "train",
                "small.toml",
                "--out",
                "run",
                "--set",
                &samples,
                "--set",
                "train.steps=1",
                "--set",
                "model={ energy = \"quadratic\" }",
            ]))
        };
        let (small, large) = (run("10_000"), run("10_000_000"));
        assert!(small > 1 << 20);
        assert!(large < small + LIMIT, "{small} {large}");
    }

    #[test]
    fn of_an_evaluation_is_constant_in_samples() {
        let place = Place::with_small();
        place.ok(&["train", "small.toml", "--out", "run"]);
        let run = |samples| peak(place.start(&["eval", "run", "--samples", samples]));
        let (small, large) = (run("100000"), run("3000000"));
        assert!(large < small + LIMIT, "{small} {large}");
    }
}
