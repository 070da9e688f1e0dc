//! The contract with a Supabase project: every request that Levi makes, and every answer that it
//! must understand.
//!
//! The same suite runs against every server: the fake Supabase of this crate, Supabase Lite, a real
//! project. A case is a name, some requests, and how Levi must classify the last answer: the
//! [`Verdict`] of the same [`classify`](levi_transport::classify) that Levi uses, the exact code
//! where one is documented, and the effect of the requests on the tables. PostgREST's documentation
//! decides. Where a server is known to differ, the case lists the difference under the server's
//! name, and the server must then differ in exactly that way.
//!
//! Each case creates its own rows for two users, and a run deletes them at the end.
//!
//! [`Verdict`]: levi_transport::Verdict

mod case;
mod cases;
mod client;
mod environment;
mod error;
mod report;
mod run;
mod target;
mod token;

pub use error::ContractError;
pub use report::{Line, Outcome, Report};
pub use run::run;
pub use target::{Accounts, Server, Target};
