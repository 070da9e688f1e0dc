//! Takes an open connection out of ureq, which has no other way out of HTTP.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

/// Where the connection is put.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Option<Box<dyn Transport>>>>);

impl Kept {
    pub(super) fn put(&self, transport: Box<dyn Transport>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(transport);
    }

    pub(super) fn take(&self) -> Option<Box<dyn Transport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The last of a chain of connectors: keeps the connection instead of passing it to ureq.
pub(super) struct KeepConnection {
    pub(super) uri: String,
    pub(super) kept: Kept,
}

impl fmt::Debug for KeepConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeepConnection")
    }
}

impl<In: Transport> Connector<In> for KeepConnection {
    type Out = In;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<In>, Error> {
        // The connection to a proxy comes through here first.
        if *details.uri != *self.uri {
            return Ok(chained);
        }
        let Some(transport) = chained else { return Ok(None) };
        self.kept.put(Box::new(transport));
        Err(Error::ConnectionFailed)
    }
}
