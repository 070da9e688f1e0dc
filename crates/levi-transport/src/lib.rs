#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod api_error;
mod classify;
#[cfg(feature = "http")]
mod http;
mod port;
pub mod rows;
mod table;
#[cfg(feature = "http")]
mod tokens;

pub use api_error::{ApiError, Verdict};
pub use classify::{ResponseHead, classify, culprits};
#[cfg(feature = "http")]
pub use http::{HttpConfigError, HttpOptions, HttpSignIn, HttpSupabase, PlainHttp, ProxyUse, Timeouts};
#[cfg(feature = "mock")]
pub use port::{MockSignIn, MockSupabase};
pub use port::{Select, SignIn, SignInError, Supabase, Table, Tokens, Upsert};
#[cfg(feature = "http")]
pub use tokens::{SignedIn, TokenError, TokenKeeper};
