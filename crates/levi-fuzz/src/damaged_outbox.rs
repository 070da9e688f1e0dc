use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox};
use levi_outbox::{Encryption, LaneKey, NewRow, OutboxError, OutboxStore as _};
use levi_types::Wall;

/// How many bytes one edit takes: an offset, then the byte to write there.
const EDIT_BYTES: usize = 5;

/// Edits of a good outbox file. A rest that is no whole edit cuts the file, by its first byte.
///
/// Opening a damaged file either fails with an error or gives an outbox that takes new rows. Where
/// damage is met later, the next opening recovers what is readable and takes new rows.
pub(crate) fn damaged_outbox(edits: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("outbox.sqlite");
    let edits = edits.chunks_exact(EDIT_BYTES);
    let mut file = undamaged().to_vec();
    if let Some(cut) = edits.remainder().first() {
        file.truncate(file.len() * usize::from(*cut) / 256);
    }
    for edit in edits {
        let &[a, b, c, d, byte] = edit else { continue };
        let offset = u32::from_le_bytes([a, b, c, d]) as usize;
        let length = file.len().max(1);
        if let Some(at) = file.get_mut(offset % length) {
            *at = byte;
        }
    }
    if fs::write(&path, file).is_err() {
        return;
    }
    if let Err(OutboxError::Corrupt(_)) = use_outbox(&path) {
        let again = use_outbox(&path);
        assert!(!matches!(again, Err(OutboxError::Corrupt(_))), "not recovered: {again:?}");
    }
}

/// Opens, reads every row, and writes one.
fn use_outbox(path: &Path) -> Result<(), OutboxError> {
    let (mut outbox, _report) = SqliteOutbox::open_or_recover(path, SqliteOptions::default())?;
    let listed = outbox.list(None, 1_000)?;
    assert!(listed.is_sorted_by_key(|row| row.id), "not by id: {listed:?}");
    outbox.totals()?;
    outbox.commit(&[], &[message("after the damage", 1)]).map(drop)
}

fn message(session: &str, number: i64) -> NewRow {
    let payload = vec![7; 300];
    let id = format!("{session}/{number}").into();
    NewRow::message(session.into(), number, id, payload, Encryption::SessionKey, Wall::from_millis(1_000))
}

/// The file of an outbox with rows of every kind.
fn undamaged() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| create().unwrap_or_default())
}

fn create() -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("outbox.sqlite");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).ok()?;
    let at = Wall::from_millis(1_000);
    let repository = LaneKey::Repository("r".into());
    let mut rows = vec![
        NewRow::control(repository.clone(), None, b"r".to_vec(), at),
        NewRow::control(LaneKey::Session("s".into()), Some(repository), b"s".to_vec(), at),
        NewRow::control(LaneKey::Secret("s".into()), None, b"s".to_vec(), at),
    ];
    rows.extend(["s", "t"].into_iter().flat_map(|session| (0..40).map(move |n| message(session, n))));
    outbox.commit(&[], &rows).ok()?;
    drop(outbox);
    fs::read(&path).ok()
}
