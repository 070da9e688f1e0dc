//! What others send is small when it is read. A process of its own, because it measures its own
//! memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use levi_transport::rows::{DeviceRow, MessageRow, decode_rows};
use levi_transport::{ResponseHead, classify};

const BODY: usize = 8 << 20;

/// The peak resident memory in KiB (Linux's `VmHWM`).
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Eight mebibytes of `piece` in an array.
fn array_of(piece: &str) -> Vec<u8> {
    let mut body = format!("[{piece}");
    let more = format!(",{piece}");
    while body.len() < BODY {
        body.push_str(&more);
    }
    body.push(']');
    body.into_bytes()
}

#[test]
fn eight_mebibytes_of_anything_take_no_more_than_a_few_times_as_much() {
    let bodies = [
        array_of("{\"\":0}"),
        array_of("0"),
        array_of("[]"),
        format!("{{\"message\":{}}}", String::from_utf8(array_of("{\"\":0}")).unwrap()).into_bytes(),
        array_of("{\"sequence_number\":1}"),
        vec![b'['; BODY],
    ];
    let before = peak();
    for body in &bodies {
        for status in [200, 400, 503] {
            let _ = classify(status, ResponseHead::default(), body);
        }
        let _ = decode_rows::<DeviceRow>(body);
        let _ = decode_rows::<MessageRow>(body);
    }
    let (Some(before), Some(after)) = (before, peak()) else { return };
    let grown = after - before;
    println!("{} MiB more at most", grown >> 10);
    assert!(grown < 64 << 10, "{grown} KiB for bodies of 8 MiB");
}
