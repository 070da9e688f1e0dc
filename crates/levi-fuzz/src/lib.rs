//! What the fuzz targets check. Each target is one function that takes any bytes and panics where a
//! promise is broken.
//!
//! libFuzzer calls these functions through the programs of `fuzz/` (`cargo xtask fuzz`), which are
//! no part of the workspace because they need its instrumentation. An ordinary test calls them with
//! the inputs of `fuzz/corpus`.
#![forbid(unsafe_code)]

mod batcher;
mod classify;
mod crypto;
mod damaged_outbox;
mod devices;
mod ndjson;
mod rows;
mod stored_list;

/// A target: the name of its program and of its folder in `fuzz/corpus`, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("batcher", batcher::batcher),
    ("classify", classify::classify),
    ("damaged_outbox", damaged_outbox::damaged_outbox),
    ("device_keys", crypto::device_keys),
    ("device_list", devices::device_list),
    ("envelopes", crypto::envelopes),
    ("keyrings", devices::keyrings),
    ("ndjson", ndjson::ndjson),
    ("pairing", devices::pairing),
    ("recovery_keys", devices::recovery_keys),
    ("rows", rows::rows),
    ("stored_list", stored_list::stored_list),
];

/// Runs the target `name` on `input`.
///
/// # Panics
/// Where the target finds a broken promise, or there is no such target.
pub fn check(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    assert!(target.is_some(), "there is no target {name}");
    if let Some((_, check)) = target {
        check(input);
    }
}

/// The next line of `input`, which becomes the rest.
fn take_line<'i>(input: &mut &'i [u8]) -> &'i [u8] {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (line, rest) = input.split_at(end);
    *input = rest.get(1..).unwrap_or_default();
    line
}

#[cfg(test)]
mod tests {
    use super::take_line;

    #[test]
    fn lines_are_taken_one_after_the_other() {
        let mut input = &b"a\n\nb"[..];
        assert_eq!(take_line(&mut input), b"a");
        assert_eq!(take_line(&mut input), b"");
        assert_eq!(take_line(&mut input), b"b");
        assert_eq!(take_line(&mut input), b"");
    }
}
