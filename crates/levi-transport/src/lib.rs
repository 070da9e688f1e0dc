#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod port;

pub use answer::{Answer, Failure, Verdict};
pub use port::{Select, SignIn, SignInError, Supabase, Table, Tokens, Upsert};
#[cfg(feature = "mock")]
pub use port::{MockSignIn, MockSupabase};
