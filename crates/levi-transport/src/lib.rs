#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod classify;
#[cfg(feature = "http")]
mod http;
mod port;
pub mod rows;
mod table;
#[cfg(feature = "http")]
mod tokens;

pub use answer::{Answer, Failure, Verdict};
pub use classify::{ResponseHead, classify, culprits};
#[cfg(feature = "http")]
pub use http::{HttpConfigError, HttpOptions, HttpSignIn, HttpSupabase, PlainHttp, ProxyUse, Timeouts};
#[cfg(feature = "mock")]
pub use port::{MockSignIn, MockSupabase};
pub use port::{Select, SignIn, SignInError, Supabase, Table, Tokens, Upsert};
#[cfg(feature = "http")]
pub use tokens::{SignedIn, TokenError, TokenKeeper};
