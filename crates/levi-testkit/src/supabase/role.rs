//! As whom a request runs.

use super::value::Uuid;

/// PostgreSQL's role for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A key, but no user.
    Anon,
    /// A signed-in user.
    Authenticated(Uuid),
    /// The secret key: row level security does not apply.
    Service,
}
