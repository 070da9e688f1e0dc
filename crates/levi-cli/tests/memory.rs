//! A line takes no more memory than its text. A process of its own, because it measures its own memory.

use levi_cli::ndjson;

/// The peak resident memory in KiB (Linux's `VmHWM`).
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn a_line_of_six_mebibytes_takes_no_more_than_a_few_times_as_much() {
    let zeros = format!("[{}0]", "0,".repeat(3 << 20));
    let objects = format!("[{}0]", "{\"\":0},".repeat((6 << 20) / 7));
    let lines = [
        format!("{{\"content\":{zeros}}}"),
        format!("{{\"content\":\"x\",\"session_id\":{objects}}}"),
        format!("{{\"content\":\"x\",\"sequence_number\":{objects}}}"),
        format!("{{\"content\":\"x\",\"other\":{objects}}}"),
        zeros,
    ];
    let before = peak();
    for line in &lines {
        let _ = ndjson::parse(line.as_bytes());
    }
    let (Some(before), Some(after)) = (before, peak()) else { return };
    assert!(after - before < 32 << 10, "{} KiB for lines of 6 MiB", after - before);
}
