//! Two implementations of [`Auth`](levi_types::Auth) on stored credentials: one that refreshes
//! tokens, one that reads them.

mod detached;
#[cfg(feature = "http")]
mod error;
#[cfg(feature = "http")]
mod listeners;
mod pace;
#[cfg(feature = "http")]
mod refreshing;
#[cfg(feature = "http")]
mod state;
mod stored;
mod token;

#[cfg(feature = "http")]
pub use error::TokenError;
pub use pace::{SignInPace, WaitLeft};
#[cfg(feature = "http")]
pub use refreshing::RefreshingAuth;
pub use stored::StoredAuth;
pub use token::{expiry_of_token, user_of_token};
