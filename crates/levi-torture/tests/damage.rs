//! Damaged files: every row that an independent reader finds in a file is delivered or listed, and
//! missing rows are reported.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use levi_torture::damage;

#[test]
fn what_is_readable_in_a_damaged_file_is_delivered_or_listed() {
    let figures = damage::run(0, 200).unwrap();
    assert!(figures.violations.is_empty(), "{figures}");
}
