//! How much memory a process has held at most.

/// The most that this process has had in memory so far, in bytes (`VmHWM` of Linux). `None` elsewhere.
pub fn peak_bytes() -> Option<u64> {
    field("VmHWM:")
}

/// What this process has in memory now, in bytes (`VmRSS` of Linux). `None` elsewhere.
pub fn present_bytes() -> Option<u64> {
    field("VmRSS:")
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
