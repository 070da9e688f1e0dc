//! The contract with a Supabase project: every request that Levi makes, and every answer that it must understand.
//!
//! Written once and run against every server: the fake Supabase of this crate, Supabase Lite, a real project.
//! A case is a name, some requests, and what Levi must make of the last answer: a [`Verdict`] by the same
//! [`classify`](levi_transport::classify) that Levi uses, the exact code where one is documented, and the effect
//! that the requests had on the tables. PostgREST's documentation is the measure; where a server is known to differ,
//! the case says so by the server's name, and then the server must differ in just that way.
//!
//! Each case works on rows that it made itself, under two users, and a run deletes its rows at the end.
//!
//! [`Verdict`]: levi_transport::Verdict

mod case;
mod cases;
mod client;
mod report;
mod run;
mod stage;
mod target;
mod token;
mod trouble;

pub use report::{Line, Outcome, Report};
pub use run::run;
pub use target::{Accounts, Server, Target};
pub use trouble::Trouble;
