//! Which outbox a [`Levi`](crate::Levi) opens when it starts, and what wakes it up.

use levi_core::StartError;
use levi_outbox::{OutboxStore, RecoveryReport};

/// The outbox that the builder decided on.
pub(crate) enum OutboxChoice {
    /// Opened by the caller.
    Given(Box<dyn OutboxStore>),
    /// A SQLite file in the data directory.
    #[cfg(feature = "sqlite")]
    File { data_dir: levi_outbox::sqlite::DataDir, options: levi_outbox::sqlite::SqliteOptions },
}

/// An outbox that is open, with what its opening recovered.
pub(crate) struct OpenOutbox {
    pub(crate) store: Box<dyn OutboxStore>,
    pub(crate) recovered: Option<RecoveryReport>,
}

impl OutboxChoice {
    /// Where other processes find the outbox; `None` for one that the caller opened.
    #[cfg(feature = "sqlite")]
    pub(crate) fn path(&self) -> Option<std::path::PathBuf> {
        match self {
            Self::Given(_) => None,
            Self::File { data_dir, .. } => Some(data_dir.outbox_path()),
        }
    }

    pub(crate) fn open(self) -> Result<OpenOutbox, StartError> {
        match self {
            Self::Given(store) => Ok(OpenOutbox { store, recovered: None }),
            #[cfg(feature = "sqlite")]
            Self::File { data_dir, options } => {
                // Without the folder the outbox cannot be opened, and that error names the path.
                let _ = data_dir.create();
                let path = data_dir.outbox_path();
                let (outbox, recovered) = levi_outbox::sqlite::SqliteOutbox::open_or_recover(path, options)?;
                Ok(OpenOutbox { store: Box::new(outbox), recovered })
            }
        }
    }
}
