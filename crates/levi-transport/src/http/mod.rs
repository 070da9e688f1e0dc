//! The port over HTTPS, with ureq.

mod address;
mod append;
mod exchange;
mod failure;
mod options;
mod sign_in;
mod supabase;

pub use options::{HttpConfigError, HttpOptions, PlainHttp, ProxyUse, Timeouts};
pub use sign_in::HttpSignIn;
pub use supabase::HttpSupabase;
