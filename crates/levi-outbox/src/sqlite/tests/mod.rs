mod twins;

use super::{SqliteOptions, SqliteOutbox};
use crate::conformance;

fn in_memory(max_pending_bytes: u64) -> SqliteOutbox {
    SqliteOutbox::in_memory(SqliteOptions { max_pending_bytes, ..SqliteOptions::default() }).unwrap()
}

#[test]
fn sqlite_passes_the_suite() {
    conformance::run(|max_pending_bytes| Box::new(in_memory(max_pending_bytes)));
}
