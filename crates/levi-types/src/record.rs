//! Checks a daemon's records for what a server can never accept, before anything is stored or sent.

use crate::message::{InvalidMessage, check_id};
use crate::{CodingSession, Repository};

/// The longest text of a record, in bytes of UTF-8: a name, title, path, branch or URL.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

/// Why a repository or session cannot be synced as the daemon's store has it. No variant contains a
/// text of the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// An id cannot be used.
    #[error(transparent)]
    Id(#[from] InvalidMessage),
    /// A path with a NUL, which names no folder and which PostgreSQL does not store.
    #[error("{field} holds a NUL character; no folder has such a path")]
    NulInPath {
        /// The record's field.
        field: &'static str,
    },
    /// A text is longer than [`MAX_TEXT_BYTES`].
    #[error("{field} is {bytes} bytes long; the limit is {MAX_TEXT_BYTES}")]
    TooLong {
        /// The record's field.
        field: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
}

impl Repository {
    /// Checks the fields. A NUL in a text other than the path is no error: it is sent as U+FFFD.
    ///
    /// # Errors
    /// [`InvalidRecord`], which names the field.
    pub fn check(&self) -> Result<(), InvalidRecord> {
        check_id("repository_id", self.id.as_str())?;
        if self.local_path.contains('\0') {
            return Err(InvalidRecord::NulInPath { field: "local_path" });
        }
        check_lengths([
            ("name", Some(&self.name)),
            ("local_path", Some(&self.local_path)),
            ("remote_url", self.remote_url.as_ref()),
            ("default_branch", self.default_branch.as_ref()),
            ("worktree_branch", self.worktree_branch.as_ref()),
        ])
    }
}

impl CodingSession {
    /// Checks the fields. A NUL in a text is no error: it is sent as U+FFFD.
    ///
    /// # Errors
    /// [`InvalidRecord`], which names the field.
    pub fn check(&self) -> Result<(), InvalidRecord> {
        check_id("session_id", self.id.as_str())?;
        check_id("repository_id", self.repository_id.as_str())?;
        if let Some(owner) = &self.owner_device_id {
            check_id("owner_device_id", owner.as_str())?;
        }
        check_lengths([
            ("title", self.title.as_ref()),
            ("current_branch", self.current_branch.as_ref()),
            ("working_directory", self.working_directory.as_ref()),
            ("worktree_path", self.worktree_path.as_ref()),
        ])
    }
}

fn check_lengths<const N: usize>(texts: [(&'static str, Option<&String>); N]) -> Result<(), InvalidRecord> {
    let lengths = texts.into_iter().filter_map(|(field, text)| Some((field, text?.len())));
    match lengths.into_iter().find(|(_, bytes)| *bytes > MAX_TEXT_BYTES) {
        Some((field, bytes)) => Err(InvalidRecord::TooLong { field, bytes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_takes_is_named_by_its_field() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let repository = |path: &str| Repository::new("r", "name", path).check();
        assert_eq!(repository("/src\u{1}"), Ok(()), "PostgreSQL stores every other control character");
        assert_eq!(repository("/src\0"), Err(InvalidRecord::NulInPath { field: "local_path" }));
        let bytes = long.len();
        assert_eq!(repository(&long), Err(InvalidRecord::TooLong { field: "local_path", bytes }));
        let session = |title: &str, repository: &str| {
            CodingSession { title: Some(title.into()), ..CodingSession::new("s", repository) }.check()
        };
        assert_eq!(session("a\0b", "r"), Ok(()), "it is cleaned when it is sent");
        assert_eq!(session(&long, "r"), Err(InvalidRecord::TooLong { field: "title", bytes }));
        let nul = InvalidMessage::ControlInId { field: "repository_id" };
        assert_eq!(session("t", "r\0"), Err(InvalidRecord::Id(nul)));
    }
}
