//! A sign-in that lasts: one refresher for a device, and tokens that are never lost between two places.

mod error;
mod keeper;
mod session;
mod stored;

pub use error::TokenError;
pub use keeper::{SignedIn, TokenKeeper};
