//! Checks a daemon's records for what a server can never accept, before anything is stored or sent.

use crate::message::{InvalidMessage, check_id};
use crate::{CodingSession, Repository};

/// The longest text of a record, in bytes of UTF-8: a name, title, path, branch or URL.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

/// The longest path of a repository's folder, in bytes of UTF-8. The table's unique key holds it, and
/// an entry of a PostgreSQL B-tree takes 2,704 bytes (error 54000), of which a device's id and the
/// entry's heads take up to 48. Paths that compress could be longer, but that is no rule to rely on.
pub const MAX_PATH_BYTES: usize = 2656;

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
    /// A text is longer than [`MAX_TEXT_BYTES`], or a path than [`MAX_PATH_BYTES`].
    #[error("{field} is {bytes} bytes long; the limit is {limit}")]
    TooLong {
        /// The record's field.
        field: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The most bytes that it may have.
        limit: usize,
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
        check_lengths(MAX_PATH_BYTES, [("local_path", Some(&self.local_path))])?;
        check_lengths(
            MAX_TEXT_BYTES,
            [
                ("name", Some(&self.name)),
                ("remote_url", self.remote_url.as_ref()),
                ("default_branch", self.default_branch.as_ref()),
                ("worktree_branch", self.worktree_branch.as_ref()),
            ],
        )
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
        check_lengths(
            MAX_TEXT_BYTES,
            [
                ("title", self.title.as_ref()),
                ("current_branch", self.current_branch.as_ref()),
                ("working_directory", self.working_directory.as_ref()),
                ("worktree_path", self.worktree_path.as_ref()),
            ],
        )
    }
}

fn check_lengths<const N: usize>(
    limit: usize,
    texts: [(&'static str, Option<&String>); N],
) -> Result<(), InvalidRecord> {
    let lengths = texts.into_iter().filter_map(|(field, text)| Some((field, text?.len())));
    match lengths.into_iter().find(|(_, bytes)| *bytes > limit) {
        Some((field, bytes)) => Err(InvalidRecord::TooLong { field, bytes, limit }),
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
        let too_long = |field, bytes, limit| Err(InvalidRecord::TooLong { field, bytes, limit });
        let path = "p".repeat(MAX_PATH_BYTES);
        assert_eq!(repository(&path), Ok(()));
        assert_eq!(repository(&(path + "p")), too_long("local_path", MAX_PATH_BYTES + 1, MAX_PATH_BYTES));
        let session = |title: &str, repository: &str| {
            CodingSession { title: Some(title.into()), ..CodingSession::new("s", repository) }.check()
        };
        assert_eq!(session("a\0b", "r"), Ok(()), "it is cleaned when it is sent");
        assert_eq!(session(&long, "r"), too_long("title", bytes, MAX_TEXT_BYTES));
        let nul = InvalidMessage::ControlInId { field: "repository_id" };
        assert_eq!(session("t", "r\0"), Err(InvalidRecord::Id(nul)));
    }
}
