//! The role of a request.

use super::value::Uuid;

/// The PostgreSQL role of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The publishable key without a user.
    Anon,
    /// A signed-in user.
    Authenticated(Uuid),
    /// The secret key: row level security does not apply.
    Service,
}
