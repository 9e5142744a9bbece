//! How much memory this process took, as the system tells it (Linux).

/// The largest resident memory of this process since it began, or since [`forget_peak`], MiB.
pub(crate) fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Begins the search for the peak again. Where the system does not allow it, the peak stays that of
/// the whole process.
pub(crate) fn forget_peak() {
    // proc(5): 5 resets the high-water mark of the resident set.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
