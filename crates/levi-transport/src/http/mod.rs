//! The port over HTTPS, with ureq.

mod address;
mod agents;
mod early_answer;
mod exchange;
mod failure;
mod headers;
mod off_thread;
mod options;
mod pace;
mod proxy;
mod sign_in;
mod supabase;
mod tcp;
mod tls;

pub use options::{HttpConfigError, HttpOptions, PlainHttp, ProxyUse, Timeouts};
pub use sign_in::HttpSignIn;
pub use supabase::HttpSupabase;
