#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod port;
pub mod rows;
mod table;

pub use answer::{Answer, Failure, Verdict};
#[cfg(feature = "mock")]
pub use port::{MockSignIn, MockSupabase};
pub use port::{Select, SignIn, SignInError, Supabase, Table, Tokens, Upsert};
